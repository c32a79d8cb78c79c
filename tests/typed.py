"""Types of arguments and shapes of arrays, checked at the first calls of each function of a worker.

Checking every call takes up to half of the time of tests, and what is called a hundred thousand times is mostly called
with the same types.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from types import CodeType
from typing import Any

import jaxtyping

FIRST = 100  # calls of a function that are checked, however often it is defined anew

_strict = jaxtyping.jaxtyped
_checked: Counter[CodeType] = Counter()


def at_first(*, typechecker: Any) -> Any:
    """In the place of :func:`jaxtyping.jaxtyped`, which its import hook puts over everything."""
    return functools.partial(_typed, _strict(typechecker=typechecker))


def _typed(strict: Any, thing: Any) -> Any:
    code = getattr(thing, "__code__", None)
    if code is None or inspect.iscoroutinefunction(thing) or inspect.isasyncgenfunction(thing):
        return strict(thing)
    if _checked[code] >= FIRST:
        return thing
    typed = strict(thing)

    @functools.wraps(thing)
    def call(*args: Any, **kwargs: Any) -> Any:
        if _checked[code] >= FIRST:
            return thing(*args, **kwargs)
        _checked[code] += 1
        return typed(*args, **kwargs)

    return call
