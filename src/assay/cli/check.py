"""``assay check``."""

from __future__ import annotations

from typing import Any

import click

from assay.cli.explain import finish
from assay.cli.lazy import load_object
from assay.cli.options import JUDGE, MODEL, RUN, SCORING, TEXT, shared


@click.command(
    short_help="Test claims that others made, like our own.",
    epilog="""\b
    Examples:
      assay check claims.jsonl
      assay check explanations/ --at layers.10=L10.mlp_act --judge http://127.0.0.1:8000/v1 --json > result.json

    \b
    A line of claims.jsonl:
      {"unit": "L10.mlp_act:691", "sentence": "It fires on words that set one thing against another."}
      {"unit": "L23.mlp_act:930", "rules": [{"when": [{"slot": "form", "any_of": ["gold"]}], "value": 1}]}
    """,
)
@click.argument("claims", metavar="CLAIMS")
@click.option(
    "--at",
    multiple=True,
    metavar="[MODULE=]SITE",
    help="Which site's units a module of delphi or a layer of Neuronpedia has; may be given again.",
)
@shared(MODEL, JUDGE, SCORING, TEXT, RUN)
def check(claims: str, at: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Test the claims of a file: sentences, which a judge simulates, and rules.

    CLAIMS is a .jsonl file of units and sentences or rules, a folder of delphi's explanations, or Neuronpedia's export.
    What is learnt of the same units stands beside each claim, and what can't be tested is listed with its reason.
    """
    from assay.cli.screen import telling

    request = load_object("assay.explain.experiment:ExplainRequest")(**asked, explainers=("rules", "lookup"))
    with telling() as progress:
        outcome = load_object("assay.explain.checking:check_claims")(claims, request, progress=progress, at=at)
    finish(outcome, asked["out"], as_json)
