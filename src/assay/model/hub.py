"""Models on the Hugging Face hub: a name with a revision, brought into the local cache."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from assay.errors import DownloadError, StorageError, UsageError
from assay.model.refusals import check_directory, check_weights

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?:@([\w./-]+))?")
_CONFIGURATION = ["config.json", "tokenizer_config.json"]
_FILES = ["*.json", "model*.safetensors", "tokenizer*", "*.model", "vocab*", "merges.txt", "*.jinja"]
_EVERY = 0.5  # seconds between two messages
_PATIENCE = 10.0  # seconds that the hub may take to answer

Progress = Callable[[str], None]


class HubName(NamedTuple):
    """``owner/name`` and the branch, tag or commit that was asked for."""

    repository: str
    revision: str | None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


class Snapshot(NamedTuple):
    """A model in the local cache: its directory, the commit, and whether code of its own is to run."""

    directory: Path
    commit: str
    own_code: bool


def hub_name(text: str) -> HubName | None:
    """Read ``owner/name`` or ``owner/name@revision``; None if it is neither."""
    match = _NAME.fullmatch(text)
    return HubName(match[1], match[2]) if match else None


def fetch(name: HubName, trusted: str | None, progress: Progress) -> Snapshot:
    """Bring a model into the Hugging Face cache, unless it is there.

    A branch or tag is resolved once, and all files are of that commit. The configuration comes first: what can't be
    used is refused by it. If the hub can't be reached, a complete copy in the cache serves. ``trusted`` is the name
    of the model whose code may run.

    Raises:
        UsageError, UnsupportedModel: no such model or revision, or it is refused.
        DownloadError: the hub can't be reached and the model is not in the cache; or the fetch broke off.
        StorageError: the cache can't be written.
    """
    import huggingface_hub

    repository = name.repository
    progress(f"asking the Hugging Face hub for {name}")
    with _in_one_line(name):
        info = _ask(name)
        if info is None:
            progress(f"can't reach the Hugging Face hub; looking for {name} in the local cache")
            return _cached(name, trusted)
        here: dict[str, Any] = {"repo_id": repository, "tqdm_class": _counting(_quiet)}
        # by its name, not by the commit, so that the cache knows later, without the hub, what the name stood for
        first = huggingface_hub.snapshot_download(**here, revision=name.revision, allow_patterns=_CONFIGURATION)
        directory, commit = Path(first), Path(first).name
        if not (directory / "config.json").is_file():
            raise UsageError(f"{name} has no config.json on the Hugging Face hub; it is not a transformers model")
        own_code = check_directory(directory, repository, trusted)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if "/" not in file.rfilename}
        check_weights(sizes, str(name))
        weights = [file for file in sizes if file.startswith("model") and file.endswith(".safetensors")]
        missing = sum(sizes[file] for file in weights if not (directory / file).is_file())
        if missing:
            here["tqdm_class"] = _counting(_Telling(str(name), missing, progress))
        huggingface_hub.snapshot_download(**here, revision=commit, **_wanted(own_code))
    return Snapshot(directory, commit, own_code)


def _wanted(own_code: bool) -> dict[str, Any]:
    return {"allow_patterns": [*_FILES, "*.py"]} if own_code else {"allow_patterns": _FILES, "ignore_patterns": ["*/*"]}


def _ask(name: HubName) -> Any:
    """What the hub says of the model; None if it can't be reached, which is known after one try."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return HfApi().model_info(name.repository, revision=name.revision, files_metadata=True, timeout=_PATIENCE)
    except HfHubHTTPError:
        raise
    except (OfflineModeIsEnabled, *_client_errors()):
        return None


def _cached(name: HubName, trusted: str | None) -> Snapshot:
    import huggingface_hub

    def look(**patterns: Any) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                name.repository, revision=name.revision, local_files_only=True, **patterns
            )
        )

    directory = look(allow_patterns=_CONFIGURATION)
    own_code = check_directory(directory, name.repository, trusted)
    look(**_wanted(own_code))
    return Snapshot(directory, directory.name, own_code)


def _client_errors() -> tuple[type[Exception], ...]:
    """The errors of the HTTP client that this version of huggingface_hub is made with: its own derive from them."""
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(
        kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError" and issubclass(kind, Exception)
    )


@contextmanager
def _in_one_line(name: HubName) -> Iterator[None]:
    """Every failure of the hub's client within the block becomes an error of ours; its own warnings are left out."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except GatedRepoError:
        raise DownloadError(
            f"{name.repository} is gated; accept its terms on the hub and run 'hf auth login'"
        ) from None
    except RepositoryNotFoundError:
        raise UsageError(
            f"the Hugging Face hub has no model {name.repository!r} (or it is private); check the spelling"
        ) from None
    except RevisionNotFoundError:
        raise UsageError(
            f"{name.repository} has no revision {name.revision!r} on the hub; give a branch, a tag or a commit"
        ) from None
    except LocalEntryNotFoundError:
        raise DownloadError(
            f"can't reach the Hugging Face hub for {str(name)!r}, and it is not in the local cache; "
            "check the network, or give the directory of a copy"
        ) from None
    except HFValidationError as error:
        raise UsageError(f"{str(name)!r} is not a Hugging Face id: {first_line(error)}") from None
    except HfHubHTTPError as error:
        raise DownloadError(f"the Hugging Face hub failed on {str(name)!r}: {first_line(error)}; try again") from error
    except (OSError, *_client_errors()) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(
                f"can't store {str(name)!r} in the Hugging Face cache: {error.strerror or error}"
            ) from error
        raise DownloadError(f"fetching {str(name)!r} broke off: {first_line(error)}; try again") from error
    finally:
        logging.set_verbosity(level)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, else the error's name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")


def _quiet(done: int) -> None:
    """Progress that goes nowhere."""


class _Telling:
    """Turns bytes done into messages such as "fetching a/b: 1.25 of 4.92 GB after 31 s, 91 s to go"."""

    def __init__(self, name: str, size: int, progress: Progress) -> None:
        self.name, self.size, self.progress = name, size, progress
        self.begun = self.told = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.told < _EVERY and done < self.size:
            return
        self.told, took = now, now - self.begun
        left = f", {took * (self.size - done) / done:.0f} s to go" if 0 < done < self.size else ""
        self.progress(f"fetching {self.name}: {_amount(done, self.size)} after {took:.0f} s{left}")


def _amount(done: int, size: int) -> str:
    """ "1.25 of 4.92 GB"."""
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    return f"{min(done, size) / unit:.2f} of {size / unit:.2f} {name}"


def _counting(tell: Callable[[int], None]) -> type[Any]:
    """A progress bar for the hub's client that draws nothing and tells the bytes done.

    The client keeps two bars of bytes, received and written, of which either may stand still: the fuller one counts.
    """
    from tqdm import tqdm

    counts: dict[int, float] = {}

    class Counting(tqdm):
        monitor_interval = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "disable": False})

        def update(self, n: int | float | None = 1) -> bool | None:
            shown = super().update(n)
            if self.unit == "B":
                counts[id(self)] = self.n
                tell(int(max(counts.values())))
            return shown

    return Counting
