"""The verbs, and what happens when one fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from assay import __version__
from assay.cli.lazy import LazyGroup, Verb
from assay.cli.plain import plain
from assay.errors import AssayError

INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended

VERBS = {
    "explain": Verb("assay.cli.explain:explain", "Explain units of a model, and test the explanations."),
    "check": Verb("assay.cli.check:check", "Test claims that others made, like our own."),
    "record": Verb("assay.cli.record:record", "Record what every unit of whole sites does on a corpus."),
    "related": Verb("assay.cli.related:related", "List the units that drive a unit, and those that it drives."),
    "report": Verb("assay.cli.say:report", "Teach a model to say its neurons' values; test how."),
    "probe": Verb("assay.cli.concepts:probe", "Find directions that tell a concept; test them elsewhere."),
    "erase": Verb("assay.cli.concepts:erase", "Erase a concept in several ways; attack what is left."),
    "steer": Verb("assay.cli.steer:steer", "Steer a model to a behaviour; see whether it does anything."),
    "runs": Verb("assay.cli.runs:runs", "List the stored runs."),
    "show": Verb("assay.cli.show:show", "Show a stored run, or one unit of it."),
    "view": Verb("assay.cli.view:view", "Look at runs in a web browser."),
    "compare": Verb("assay.cli.compare:compare", "Set a run of whole layers beside that of its randomised twin."),
    "selftest": Verb("assay.cli.selftest:selftest", "Set the scores, the verdict and liars against planted truth."),
    "query": Verb("assay.cli.query:query", "Ask the tables of runs in SQL."),
    "ladder": Verb("assay.cli.ladder:ladder", "List the small models of the package, or train such a family."),
    "doctor": Verb("assay.cli.doctor:doctor", "Look at what this machine offers."),
}


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"assay {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    subcommand_metavar="VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
    Examples:
      assay explain
      assay explain --units L10.mlp_act:345 --rules 4 --no-behaviour
    """,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Version.")
def assay() -> None:
    """Test what is said about the inside of a language model."""


def main() -> NoReturn:
    """Entry point of the ``assay`` command."""
    # Idle threads of numpy's matrix products would spin for some 30 ms each time, on cores that compiled loops need.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit code.

    0 done, 1 the machine failed, 2 the request can't be carried out, 3 not as expected, 130 interrupted,
    141 whoever read the output stopped reading.
    """
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    try:
        with assay.make_context("assay", list(arguments)) as context:
            assay.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except AssayError as error:
        return _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return _fail(_click_message(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _give_up_output()
        return BROKEN_PIPE
    except OSError as error:
        _give_up_output()
        return _fail(" ".join(part for part in (error.strerror, error.filename) if part) or repr(error), 1)
    return 0


def _give_up_output() -> None:
    """Python flushes stdout once more as it ends, and would complain again; let what can't be written go nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    click.echo(f"assay: {plain(message)}", err=True)
    return code


def _click_message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        near = ", ".join(repr(name) for name in error.possibilities or ())
        message = f"no such option {error.option_name!r}" + (f"; did you mean {near}?" if near else "")
    else:
        message = error.format_message().strip().rstrip(".")
        message = message[:1].lower() + message[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{message}; see '{context.command_path} --help'" if context else message
