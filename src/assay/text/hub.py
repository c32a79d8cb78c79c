"""Datasets of the Hugging Face hub, as streams: read from the start until there is enough."""

from __future__ import annotations

import importlib
import logging
import lzma
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from assay.errors import CorpusError, DownloadError, UnknownName, UsageError

PREFIX = "hf:"
TIMEOUT = 10.0  # seconds for the hub's first answer
FORM = "hf:OWNER/NAME[:CONFIG][@REVISION][#SPLIT[.COLUMN]]"

_SPEC = re.compile(
    r"hf:(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^@#]+))?(?:@(?P<revision>[^#]+))?"
    r"(?:#(?P<split>\w+)(?:\.(?P<column>.+))?)?"
)
_OFFLINE = "offline, give --corpus a .txt, .jsonl or .parquet file"
_LOGIN = "accept its terms at https://huggingface.co/datasets/{} and log in with 'hf auth login'"
# What readers of compressed and columnar files raise over a connection that broke off: each its own.
_BROKEN = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError)


class HubSpec(NamedTuple):
    """Which column of which split of which dataset; ``config`` and ``revision`` None for the dataset's default."""

    repo: str
    config: str | None
    revision: str | None
    split: str
    column: str

    @classmethod
    def parse(cls, text: str) -> HubSpec:
        """Read ``hf:OWNER/NAME[:CONFIG][@REVISION][#SPLIT[.COLUMN]]``; split "train", column "text" if left out.

        Raises:
            UsageError: another form.
        """
        found = _SPEC.fullmatch(text)
        if not found:
            raise UsageError(f"{text!r} is not of the form {FORM}")
        repo, config, revision, split, column = found.group("repo", "config", "revision", "split", "column")
        return cls(repo, config, revision, split or "train", column or "text")

    def named(self, revision: str) -> str:
        """The same column at one resolved revision, as a spec that gives it again."""
        config = f":{self.config}" if self.config else ""
        return f"{PREFIX}{self.repo}{config}@{revision}#{self.split}.{self.column}"


class Stream(NamedTuple):
    """An opened split. ``rows`` have the column among their keys; ``total`` is their number, where the hub says it."""

    rows: Iterable[Mapping[str, Any]]
    revision: str
    total: int | None = None


Opener = Callable[[HubSpec], AbstractContextManager[Stream]]


class Taken(NamedTuple):
    """What was read: texts in the order of the stream, and whether it ended there."""

    texts: list[str]
    revision: str
    ended: bool


def take(spec: HubSpec, enough: Callable[[str], bool], progress: Callable[[str], None], opener: Opener) -> Taken:
    """Read the stream until ``enough``, told each text in turn, says so, or the stream ends.

    Raises:
        UnknownName: no such column.
        CorpusError: a row whose column holds no text, or a stream that ended before its last row.
        DownloadError: it broke off; what was read until then is not used.
    """
    texts: list[str] = []
    with opener(spec) as stream:
        rows = iter(stream.rows)
        ended = False
        while not ended:
            try:
                row = next(rows, None)
            except _broken() as error:
                raise DownloadError(
                    f"{spec.repo}: the stream broke off after {len(texts):,} documents ({_line(error)}); none of them "
                    f"is used. Try again, or give --corpus a local file"
                ) from error
            if row is None:
                ended = True
                continue
            texts.append(_text(row, spec, len(texts) + 1))
            if len(texts) % 1000 == 0:
                progress(f"streaming {spec.repo}: {len(texts):,} documents")
            if enough(texts[-1]):
                break
        if ended and stream.total is not None and len(texts) < stream.total:
            raise CorpusError(
                f"{spec.repo}: the stream of split {spec.split!r} ended after {len(texts):,} of {stream.total:,} rows; "
                "try again, or give --corpus a local file"
            )
    return Taken(texts, stream.revision, ended)


def _text(row: Mapping[str, Any], spec: HubSpec, number: int) -> str:
    if spec.column not in row:
        raise UnknownName("column", spec.column, list(row), f"(of {spec.repo}; write #{spec.split}.COLUMN)")
    text = row[spec.column]
    place = f"{spec.repo} split {spec.split!r} row {number}"
    if not isinstance(text, str):
        kind = "null" if text is None else type(text).__name__
        raise CorpusError(f"{place}: column {spec.column!r} must hold text. Got {kind} instead")
    return text


@contextmanager
def open_hub(spec: HubSpec) -> Generator[Stream]:
    """Open a split of a dataset on the hub, at the commit that its revision stands for now.

    Within the block the libraries are quiet and give up after a few seconds instead of minutes.

    Raises:
        UsageError: the package datasets is missing.
        UnknownName: no such configuration or split.
        CorpusError: no such dataset or revision, one that needs a login, or one that needs code of its own to be run.
        DownloadError: the hub can't be reached, or it fails.
    """
    datasets = _import_datasets()
    with _quiet(datasets):
        info = _look_up(spec)
        splits = _load(datasets, spec, info)
        if spec.split not in splits:
            raise UnknownName("split", spec.split, list(splits), f"(of {spec.repo})")
        rows: Any = splits[spec.split]
        known: list[str] | None = rows.column_names
        if known is not None:
            if spec.column not in known:
                raise UnknownName("column", spec.column, known, f"(of {spec.repo}; write #{spec.split}.COLUMN)")
            rows = rows.select_columns([spec.column])
        counts: Any = rows.info.splits or {}
        total = counts[spec.split].num_examples if spec.split in counts else None
        yield Stream(rows, str(info.sha), total)


def _import_datasets() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise UsageError(
            f"a corpus on the hub needs the package 'datasets' ({_line(error)}); pip install 'assay[datasets]'"
        ) from error


def _look_up(spec: HubSpec) -> Any:
    """What the hub says of the dataset. One request, and no second try: an offline machine is told at once."""
    hub: Any = importlib.import_module("huggingface_hub")
    errors: Any = importlib.import_module("huggingface_hub.errors")
    try:
        info = hub.HfApi().dataset_info(spec.repo, revision=spec.revision, timeout=TIMEOUT)
    except errors.GatedRepoError:
        raise CorpusError(f"{spec.repo} needs a login: {_LOGIN.format(spec.repo)}") from None
    except errors.RevisionNotFoundError:
        raise CorpusError(f"{spec.repo} has no revision {spec.revision!r}; look at its branches on the hub") from None
    except errors.RepositoryNotFoundError:
        raise CorpusError(
            f"the Hugging Face hub has no dataset {spec.repo!r}, or it is private: check the spelling, "
            "or log in with 'hf auth login'"
        ) from None
    except errors.HFValidationError as error:
        raise UsageError(f"{spec.repo!r} is not a dataset's id: {_line(error)}") from None
    except errors.HfHubHTTPError as error:
        raise DownloadError(f"the Hugging Face hub failed on {spec.repo} ({_line(error)}); {_OFFLINE}") from error
    except (errors.HTTPError, OSError) as error:
        raise DownloadError(f"can't reach the Hugging Face hub for {spec.repo} ({_line(error)}); {_OFFLINE}") from error
    script = f"{spec.repo.rpartition('/')[2]}.py"
    if any(file.rfilename == script for file in info.siblings or ()):
        raise CorpusError(_needs_code(spec))
    return info


def _load(datasets: Any, spec: HubSpec, info: Any) -> Mapping[str, Any]:
    """The splits as streams. The id is spelt so that no local directory of that name takes its place."""
    exceptions: Any = importlib.import_module("datasets.exceptions")
    try:
        return datasets.load_dataset(
            f"hf://datasets/{spec.repo}", name=spec.config, revision=str(info.sha), streaming=True
        )
    except exceptions.DataFilesNotFoundError as error:
        raise CorpusError(f"{spec.repo} holds no data files that can be streamed ({_line(error)})") from error
    except exceptions.DatasetNotFoundError as error:
        if info.gated:
            raise CorpusError(f"{spec.repo} needs a login: {_LOGIN.format(spec.repo)}") from None
        raise CorpusError(f"{spec.repo}: {_line(error)}") from error
    except _broken() as error:
        text = _line(error)
        if "scripts are no longer supported" in text:
            raise CorpusError(_needs_code(spec)) from None
        if isinstance(error, ValueError) and "onfig" in text:
            raise _no_config(spec, str(error)) from None
        raise DownloadError(f"{spec.repo} can't be streamed ({text}); try again, or give --corpus a file") from error


def _needs_code(spec: HubSpec) -> str:
    return (
        f"{spec.repo} needs code of its own to be run, which assay never does; "
        f"its Parquet copy may do: hf:{spec.repo}@refs/convert/parquet#{spec.split}.{spec.column}"
    )


def _no_config(spec: HubSpec, text: str) -> UsageError:
    """datasets lists the configurations in its message: in brackets, quoted."""
    known = re.findall(r"'([^']+)'", text.partition("[")[2].partition("]")[0])
    if spec.config is None:
        first = known[0] if known else "CONFIG"
        return CorpusError(f"{spec.repo} has several configurations, say which: hf:{spec.repo}:{first} ({_few(known)})")
    return UnknownName("configuration", spec.config, known, f"(of {spec.repo})")


def _few(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" ... {len(names)} in all" if len(names) > 8 else "")


def _broken() -> tuple[type[Exception], ...]:
    """Every way in which a stream breaks off. The hub's HTTP client has its own errors, and so has datasets."""
    errors: Any = importlib.import_module("huggingface_hub.errors")
    return (*_BROKEN, errors.HTTPError, importlib.import_module("datasets.exceptions").DatasetsError)


@contextmanager
def _quiet(datasets: Any) -> Generator[None]:
    """No warnings and progress bars of the libraries, and no retries on top of the hub client's own."""
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    settings = {name: getattr(datasets.config, name) for name in _PATIENCE}
    bars: bool = not datasets.utils.are_progress_bars_disabled()
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        for name, value in _PATIENCE.items():
            setattr(datasets.config, name, value)
        datasets.utils.disable_progress_bars()
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name, value in settings.items():
            setattr(datasets.config, name, value)
        if bars:
            datasets.utils.enable_progress_bars()


_PATIENCE = {"STREAMING_READ_MAX_RETRIES": 1, "STREAMING_OPEN_MAX_RETRIES": 1, "STREAMING_READ_RETRY_INTERVAL": 0}


def _line(error: BaseException) -> str:
    """A message's first line, at most 200 characters of it."""
    text = (str(error).strip().splitlines() or [""])[0].rstrip(".:")
    return text[:200] or type(error).__name__
