"""From what a person names as the judge to the judge."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai

from assay.errors import UnknownName, UsageError
from assay.judge.base import Judge
from assay.judge.cache import ReplyCache
from assay.judge.endpoint import NO_KEY, Endpoint, Line
from assay.judge.exchange import read_recording
from assay.judge.local import LocalJudge
from assay.judge.remote import Price, RemoteJudge

KEY, OPENAI_KEY = "ASSAY_JUDGE_KEY", "OPENAI_API_KEY"
REPLAY = "replay:"
_OPENAI = "api.openai.com"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class JudgeFile:
    """What a TOML file may say of a judge; times in seconds, prices a million tokens."""

    url: str
    model: str = ""
    key_env: str = ""
    concurrency: int = 16
    timeout: float = 60.0
    retries: int = 4
    prompt_price: float = 0.0
    reply_price: float = 0.0
    body: dict[str, Any] = field(default_factory=dict)


_LEAST = {"concurrency": 1, "timeout": 0.001, "retries": 0, "prompt_price": 0, "reply_price": 0}


def choose_judge(
    name: str,
    load_local: Callable[[str], Judge],
    most_calls: int | None = None,
    progress: Callable[..., None] = lambda message, share=None: None,
) -> Judge:
    """The judge of that name.

    Args:
        name: a URL of an endpoint, ``http://127.0.0.1:8000/v1#MODEL``, without ``#MODEL`` where it serves one only; a
            ``.toml`` file (:class:`JudgeFile`); ``replay:`` and the recording of a run; or the name of a model, which
            ``load_local`` makes a judge.
        most_calls: see :class:`RemoteJudge`.

    Raises:
        UsageError: there is no such thing, or a value is wrong.
        UnknownName: a key that no such file has.
    """
    if name.startswith(REPLAY):
        judge, heard = read_recording(name.removeprefix(REPLAY))
        return RemoteJudge(judge, None, heard)
    if name.endswith(".toml"):
        return _endpoint(_read(name), most_calls, progress)
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        return _endpoint(JudgeFile(url, model), most_calls, progress)
    if most_calls is not None:
        raise UsageError(f"--max-judge-calls is of judges at an endpoint, and {name!r} is a model that runs here")
    return load_local(name)


def find_judge(
    name: str,
    device: str | None,
    trust_remote_code: str | None,
    most_calls: int | None,
    progress: Callable[..., None] = lambda message, share=None: None,
) -> Judge:
    """The same; a model is loaded onto ``device`` and runs here."""

    def load_local(name: str) -> Judge:
        from assay.model import load

        progress(f"loading the judge {name}")
        return LocalJudge(load(name, None, device, progress, trust_remote_code=trust_remote_code))

    return choose_judge(name, load_local, most_calls, progress)


def _endpoint(said: JudgeFile, most_calls: int | None, progress: Callable[..., None]) -> RemoteJudge:
    url = _checked(said.url)
    key = _key(said, url)
    model = said.model or _only_model(url, key)
    endpoint = Endpoint(url, model, key, said.concurrency, said.timeout, said.retries, said.body)
    price = Price(said.prompt_price, said.reply_price) if said.prompt_price or said.reply_price else None
    return RemoteJudge(endpoint.name, Line(endpoint), ReplyCache(), most_calls, price, progress)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"a judge's url must begin with http:// or https:// and name a host. Got {url!r} instead.")
    if "@" in parts.netloc or parts.query:
        raise UsageError(f"a judge's url must hold no key, user or query; put the key into ${KEY}")
    return url.rstrip("/")


def _key(said: JudgeFile, url: str) -> str:
    default = OPENAI_KEY if urlsplit(url).hostname == _OPENAI else ""
    if said.key_env and not _NAME.fullmatch(said.key_env):
        raise UsageError("'key_env' of a judge must be the name of a variable of the environment, never the key itself")
    if said.key_env and said.key_env not in os.environ:
        raise UsageError(f"the judge's key is to come from ${said.key_env}, which is not set")
    return os.environ.get(said.key_env or KEY) or os.environ.get(default) or NO_KEY


def _only_model(url: str, key: str) -> str:
    hint = f"name the model: {url}#MODEL"
    try:
        with openai.OpenAI(api_key=key, base_url=url, max_retries=1, timeout=10) as client:
            names = [model.id for model in client.models.list().data]
    except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"the judge at {url} does not say which models it has ({type(error).__name__}); {hint}"
        ) from None
    if len(names) != 1:
        raise UsageError(f"the judge at {url} has {len(names)} models ({', '.join(names[:8])}); {hint}")
    return names[0]


def _read(path: str) -> JudgeFile:
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror or error}; give a TOML file of a judge") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    known = JudgeFile.__dataclass_fields__
    for name, value in table.items():
        if name in ("key", "api_key"):
            raise UsageError(f"{path} holds a key; put it into ${KEY}, or name another variable in 'key_env'")
        if name not in known:
            raise UnknownName("setting of a judge", name, known)
        _check_value(path, name, value)
    if "url" not in table:
        raise UsageError(f"{path} says no 'url' of a judge")
    numbers: dict[str, Any] = {name: float(v) for name, v in table.items() if known[name].type == "float"}
    return JudgeFile(**table | numbers)


def _check_value(path: str, name: str, value: object) -> None:
    kind = str(JudgeFile.__dataclass_fields__[name].type)
    wanted = {"str": (str,), "int": (int,), "float": (int, float)}.get(kind, (dict,))
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise UsageError(f"{path}: {name!r} must be {'a table' if wanted == (dict,) else kind}. Got {value!r} instead.")
    if isinstance(value, (int, float)) and value < _LEAST[name]:
        raise UsageError(f"{path}: {name!r} must be {_LEAST[name]} or more. Got {value!r} instead.")
