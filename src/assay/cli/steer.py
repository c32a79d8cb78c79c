"""``assay steer``."""

from __future__ import annotations

from typing import Any

import click

from assay.cli.concepts import carry_out
from assay.cli.options import MOST_CALLS, RUN, shared
from assay.cli.read import layers, names, numbers


@click.command(
    short_help="Steer a model to a behaviour; see whether it does anything.",
    epilog="""\b
    Examples:
      assay steer --concept sentiment --methods actadd,mean_diff,lat,prompt,random --layers 6,12,18,24
      assay steer --concept weddings --methods mean_diff,prompt,lora --json > weddings.json

    \b
    Concepts:
      certainty, feminine, formality, french, lists, past_tense, politeness,
      questions, refusal, second_person, sentiment, space, truth, weddings,
      or a .toml file of your own
    Methods:
      actadd, mean_diff, lat, logistic, lda, ccs, arithmetic, neuron, iti,
      prompt, few_shot, lora, random
    Experiments:
      silence  directions held still: does the behaviour go, and what else?
      scale    the same trial over models of several sizes
    """,
)
@click.option(
    "--concept", metavar="NAME", help="What to steer to, or a .toml file.  [sentiment; for scale second_person]"
)
@click.option("--methods", callback=names, metavar="NAME[,NAME]", help="How.  [actadd,mean_diff,lat,prompt,random]")
@click.option("--layers", callback=layers, metavar="N[,N]", help="Layers at whose end vectors are added.  [by effort]")
@click.option("--doses", callback=numbers, metavar="X[,X]", help="Doses to choose from.  [each method's own]")
@click.option(
    "--direction",
    "directions",
    multiple=True,
    metavar="FILE",
    help="A direction of your own: .safetensors, .json or .gguf; L20.resid_post:@FILE where it has several.",
)
@click.option(
    "--where", default="all", show_default=True, help="Tokens that vectors are added at: all, prompt, generated."
)
@click.option("--kl-cap", default=0.5, show_default=True, metavar="NATS", help="Most divergence on neutral text.")
@click.option("--pad/--no-pad", default=True, show_default=True, help="Pad the shorter of actadd's two prompts.")
@click.option(
    "--export", metavar="FILE", help="Write the best direction: .gguf, .safetensors, .json, or a model (no suffix)."
)
@click.option(
    "--judge",
    metavar="JUDGE",
    help="Also let a judge rate what is written: http://HOST/v1#MODEL, a .toml file, replay:FILE, or a model.",
)
@shared((MOST_CALLS,))
@click.option("--experiment", metavar="NAME", help="One of the experiments below.")
@click.option("--models", callback=names, metavar="NAME[,NAME]", help="Models of --experiment scale.  [the ladder's]")
@click.option("--effort", default="quick", show_default=True, metavar="EFFORT", help="smoke, quick, standard, full.")
@click.option(
    "--model", default="smollm2-135m", show_default=True, help="Name, Hugging Face id, or directory of a model."
)
@click.option("--dtype", metavar="DTYPE", help="What it writes in; effects are measured in fp32.")
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 or mps.")
@shared(RUN)
def steer(as_json: bool, **asked: Any) -> None:
    """Steer a model to a behaviour in several ways, each beside placebos, a prompt, and what it does to other text.

    Layer and dose are chosen on one half of the prompts, under a cap on the divergence on neutral text, and what is
    reported is of the other half. Random directions of the same length decide.
    """
    asked["models"] = asked["models"] or ()
    shown = "" if asked["experiment"] else "the figure, and what it writes at every dose"
    carry_out("steer", "steer", "SteerRequest", as_json, asked, shown)
