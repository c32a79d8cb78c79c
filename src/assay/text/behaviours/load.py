"""Behaviours by name: those of the package, and those of a file of your own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.errors import UnknownName, UsageError
from assay.text.behaviours.behaviour import Behaviour
from assay.text.behaviours.made import refusal, truth

_MADE: Mapping[str, Callable[[], Behaviour]] = {"refusal": refusal, "truth": truth}
_HINT = "(a concept to steer to is one of these names, or a .toml file)"
_PAIRS = ("pairs", "choices", "classified")
_TWO = ("actadd", "arithmetic")
_LISTS = ("prompts", "more", "less", "loaded")


def behaviour_names() -> list[str]:
    """The names of the behaviours that come with the package, sorted."""
    written = files("assay.text.behaviours").joinpath("written")
    return sorted([*_MADE, *(file.name.removesuffix(".toml") for file in written.iterdir())])


def load_behaviour(name: str) -> Behaviour:
    """A behaviour of the package, or that of a ``.toml`` file: its keys are the fields of :class:`Behaviour`.

    Raises:
        UnknownName: no such behaviour, file or key.
        UsageError: a file that can't be read, a field that is missing or not as it must be; see :class:`Behaviour`.
    """
    if name in behaviour_names():
        return _of_package(name)
    path = Path(name)
    if path.suffix != ".toml":
        raise UnknownName("concept", name, behaviour_names(), _HINT)
    try:
        told = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror or error}") from error
    except RuntimeError as error:  # ~ of nobody
        raise UsageError(f"can't read {path}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    return read_behaviour(re.sub(r"[^\w.-]+", "_", path.stem), told, f"the file {path.name}")


def read_behaviour(name: str, told: Mapping[str, Any], source: str = "written for assay") -> Behaviour:
    """A behaviour from what its file says. Errors are those of :func:`load_behaviour`."""
    known = {one.name: one for one in fields(Behaviour) if one.name not in ("name", "source")}
    for key in told:
        if key not in known:
            raise UnknownName(f"key of the concept {name}", key, known)
    missing = [key for key, one in known.items() if one.default is MISSING and key not in told]
    if missing:
        raise UsageError(f"the concept {name} lacks {', '.join(missing)}")
    return Behaviour(name=name, source=source, **{key: _value(name, key, value) for key, value in told.items()})


def _value(name: str, key: str, value: Any) -> Any:
    if key in _PAIRS:
        if _is_list(value) and all(_is_texts(pair) and len(pair) == 2 for pair in value):
            return tuple((pair[0], pair[1]) for pair in value)
        raise UsageError(f"{key} of the concept {name} must be a list of lists of two texts")
    if key in _TWO:
        if _is_texts(value) and len(value) == 2:
            return (value[0], value[1])
        raise UsageError(f"{key} of the concept {name} must be two texts")
    if key in _LISTS:
        if _is_texts(value):
            return tuple(value)
        raise UsageError(f"{key} of the concept {name} must be a list of texts")
    if isinstance(value, str):
        return value
    raise UsageError(f"{key} of the concept {name} must be a text. Got {value!r}.")


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_texts(value: Any) -> bool:
    return _is_list(value) and all(isinstance(one, str) for one in value)


@cache
def _of_package(name: str) -> Behaviour:
    if name in _MADE:
        return _MADE[name]()
    written = files("assay.text.behaviours").joinpath("written", f"{name}.toml")
    return read_behaviour(name, tomllib.loads(written.read_text(encoding="utf-8")))
