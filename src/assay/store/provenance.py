"""Where a run comes from: the code, the packages and the command."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TypedDict

# Packages that can change a number.
PACKAGES = (
    "assay",
    "gguf",
    "numpy",
    "pyarrow",
    "safetensors",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)


class GitState(TypedDict):
    """The commit of the source tree, and whether the package differs from it."""

    commit: str
    dirty: bool


class Provenance(TypedDict):
    """What ``spec.json`` says about where a run comes from."""

    argv: list[str]
    git: GitState | None
    packages: dict[str, str]
    python: str


def git_state(package: Path | None = None) -> GitState | None:
    """The git state of the directory ``package`` (default: assay's own), None if it is not tracked by git.

    An assay that is installed into a virtual environment inside somebody's repository is not tracked there,
    and so is not mistaken for that repository's code.
    """
    place = package or Path(__file__).parents[1]
    if _git(place, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(place, "rev-parse", "HEAD")
    changes = _git(place, "status", "--porcelain", "--", ".")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(place: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(place), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def package_versions() -> dict[str, str]:
    """Installed versions of :data:`PACKAGES`; those that are not installed are left out."""
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def provenance() -> Provenance:
    """Everything a spec says about where its run comes from."""
    return {
        "argv": list(sys.argv),
        "git": git_state(),
        "packages": package_versions(),
        "python": platform.python_version(),
    }
