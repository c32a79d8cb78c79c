"""What is typed, read: lists of names and of layers."""

from __future__ import annotations

import click

from assay.errors import UsageError


def names(_: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Names between commas; None where nothing was given."""
    return None if value is None else tuple(name.strip() for name in value.split(",") if name.strip())


def layers(_: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Layers between commas; None where nothing was given.

    Raises:
        UsageError: something that is no number.
    """
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"--layers must be numbers from 0, such as 5,20,29. Got {value!r} instead.")
    return tuple(int(part) for part in parts)


def numbers(_: click.Context, option: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """``.1,.2`` as numbers; None where nothing was said.

    Raises:
        UsageError: something that is no number.
    """
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"--{option.name} must be numbers such as .1,.2. Got {value!r}.") from error
