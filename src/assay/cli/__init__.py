"""The command line. Verbs are loaded when they are called, so that ``assay --help`` loads nothing heavy."""

from assay.cli.app import main

__all__ = ["main"]
