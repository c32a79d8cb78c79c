"""A click group whose verbs are dotted strings until one is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from assay.errors import UnknownName


class Verb(NamedTuple):
    """Where a verb's click command stands, ``module:name``, and its line in the listing."""

    place: str
    help: str


def load_object(place: str) -> Any:
    """The object that ``module:name`` names, its module imported now."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


class LazyGroup(click.Group):
    """A group of :class:`Verb`. Listing them imports none."""

    def __init__(self, *, verbs: Mapping[str, Verb], **settings: Any) -> None:
        super().__init__(**settings)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs, in the order of the registry."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The click command of a verb, imported now, or None."""
        verb = self.verbs.get(cmd_name)
        return load_object(verb.place) if verb else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that ``args`` starts with.

        Raises:
            UnknownName: there is none of that name.
        """
        name = args[0]
        if name not in self.verbs and not name.startswith("-"):
            raise UnknownName("verb", name, self.verbs)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs and their lines, from the registry alone."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.help) for name, verb in self.verbs.items()])
