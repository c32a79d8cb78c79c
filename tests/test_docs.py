"""What is not documented is broken."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

import assay
from assay.cli.app import VERBS
from assay.cli.app import assay as command
from assay.cli.lazy import load_object
from assay.errors import AssayError

ROOT = Path(__file__).parents[1]
CLI = (ROOT / "docs/cli.md").read_text(encoding="utf-8")


def section(verb: str) -> str:
    """The part of docs/cli.md under the verb's heading."""
    found = re.search(rf"^## `assay {verb}.*?(?=^## |\Z)", CLI, re.DOTALL | re.MULTILINE)
    assert found, f"docs/cli.md has no section '## `assay {verb}'"
    return found[0]


def options() -> list[tuple[str, click.Parameter]]:
    return [(verb, parameter) for verb in VERBS for parameter in load_object(VERBS[verb].place).params]


@pytest.mark.parametrize(("verb", "parameter"), options(), ids=lambda item: getattr(item, "name", item))
def test_every_verb_and_option_is_documented(verb: str, parameter: click.Parameter) -> None:
    text = section(verb)
    if isinstance(parameter, click.Argument):
        assert parameter.make_metavar(click.Context(command)).strip("[]") in text
        return
    for name in (*parameter.opts, *parameter.secondary_opts):
        assert f"`{name}" in text or f" {name}`" in text or f"/{name}`" in text, f"{name} of assay {verb}"


@pytest.mark.parametrize(("verb", "parameter"), options(), ids=lambda item: getattr(item, "name", item))
def test_every_documented_default_is_the_real_one(verb: str, parameter: click.Parameter) -> None:
    if not isinstance(parameter, click.Option) or parameter.is_flag or parameter.show_default is not True:
        return
    row = next(line for line in section(verb).splitlines() if line.startswith(f"| `{parameter.opts[0]}"))
    assert row.split("|")[2].strip() == f"`{parameter.default}`"


def commands() -> list[str]:
    """Every command in the pages' blocks of code and in the examples of ``--help``, what it is piped into left out."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    blocks = [block for page in pages for block in re.findall(r"```\w*\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
    blocks += [load_object(verb.place).epilog or "" for verb in VERBS.values()]
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(line for line in lines if re.match(r"assay [a-z]+( |$)", line)))


@pytest.mark.parametrize("line", commands())
def test_every_command_that_is_shown_can_be_asked_for(line: str) -> None:
    words = shlex.split(re.split(r" [|>] | && ", line)[0], comments=True)
    verb = load_object(VERBS[words[1]].place)
    context = verb.make_context(words[1], words[2:])
    if words[1] == "report":
        asked = {name: value for name, value in context.params.items() if name != "as_json"}
        load_object("assay.introspect.request:ReportRequest")(**asked).check()


def test_the_pages_show_commands_of_every_verb() -> None:
    assert {line.split()[1] for line in commands()} == set(VERBS)


def test_nothing_is_documented_that_is_not_there() -> None:
    verbs = re.findall(r"^## `assay (\w+)", CLI, re.MULTILINE)
    assert verbs == list(VERBS)
    for verb in verbs:
        known = {name for owner, p in options() if owner == verb for name in (*p.opts, *p.secondary_opts)}
        written = set(re.findall(r"^\| `(--[\w-]+)", section(verb), re.MULTILINE))
        assert written <= known | {"--help"}


@pytest.mark.parametrize("name", assay.__all__)
def test_every_name_of_the_door_is_documented(name: str) -> None:
    assert f"`{name}" in (ROOT / "docs/python.md").read_text(encoding="utf-8")


def test_every_setting_of_a_judge_is_documented() -> None:
    from assay.judge.choose import JudgeFile

    text = (ROOT / "docs/judges.md").read_text(encoding="utf-8")
    for name, setting in JudgeFile.__dataclass_fields__.items():
        row = next(line for line in text.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1])
        if isinstance(setting.default, int | float):
            assert float(row.split("|")[2].strip().strip("`")) == setting.default, name


def test_every_prompt_and_simulator_is_documented() -> None:
    from assay.explain.request import SIMULATORS

    text = (ROOT / "docs/judges.md").read_text(encoding="utf-8")
    prompts = {path.name.split(".")[0] for path in (ROOT / "src/assay/judge/prompts").glob("*.txt")}
    assert all(f"`{name}`" in text for name in (*prompts, *SIMULATORS))


def test_every_error_stands_in_the_tree_of_errors() -> None:
    import assay.errors

    def below(kind: type[AssayError]) -> set[str]:
        return {kind.__name__}.union(*(below(child) for child in kind.__subclasses__()))

    tree = assay.errors.__doc__ or ""
    for name in below(AssayError):
        assert re.search(rf"\b{name}\b", tree), name


def test_the_readme_names_both_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install -c constraints.txt . && assay explain" in readme
    assert "pip install -c constraints.txt -e '.[dev]' && pytest" in readme


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin), pin
    pinned = {normal(pin.split("==")[0]) for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
    wanted = [line for line in wanted if not line.startswith("assay[")]
    assert {normal(re.match(r"[\w-]+", line)[0]) for line in wanted} <= pinned
    assert "torch==2.13.0" in pins


def test_links_between_documents_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
