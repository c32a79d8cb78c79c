"""``assay record``."""

from __future__ import annotations

import shlex

import click

from assay.cli.lazy import load_object


@click.command(
    short_help="Record what every unit of whole sites does on a corpus.",
    epilog="""\b
    Examples:
      assay record --out recording
      assay record --sites mlp_act,L5.mlp_out --tokens 20000 --corpus notes.txt --out notes-recording --json

    \b
    Sites:
      mlp_act       the neurons of every layer
      L5.mlp_act    those of one layer
    Kinds: mlp_act, mlp_out, attn_out, head, resid_pre, resid_mid, resid_post.
    """,
)
@click.option(
    "--model", default="smollm2-135m", show_default=True, help="Name, Hugging Face id, or directory of a model."
)
@click.option("--sites", default="mlp_act", show_default=True, metavar="SITE[,SITE]", help="Sites to record.")
@click.option(
    "--tokens", type=click.IntRange(min=1), default=120_000, show_default=True, help="Tokens of the corpus to use."
)
@click.option("--corpus", default="bundled", show_default=True, help="As for assay explain.")
@click.option("--out", metavar="DIR", required=True, help="Where the recording goes, or goes on.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything drawn.")
@click.option("--dtype", metavar="DTYPE", help="bf16, fp16 or fp32.  [default: bf16 where the processor has it]")
@click.option(
    "--block-layers",
    type=click.IntRange(min=1),
    help="Layers held at a time.  [default: as many as fit into 512 MiB of sketches]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def record(
    model: str,
    sites: str,
    tokens: int,
    corpus: str,
    out: str,
    seed: int,
    dtype: str | None,
    block_layers: int | None,
    as_json: bool,
) -> None:
    """Record every unit of whole sites: moments, firing rate, quantiles, and the excerpts at both ends.

    If it is interrupted, the same command goes on from the last checkpoint.
    """
    from assay.cli.plain import plain
    from assay.cli.screen import print_json, print_next, telling

    request = load_object("assay.record.request:RecordRequest")(
        out=out,
        model=model,
        sites=sites,
        tokens=tokens,
        corpus=corpus,
        seed=seed,
        dtype=dtype,
        block_layers=block_layers,
    )
    with telling() as progress:
        outcome = load_object("assay.record.whole:record_sites")(request, progress=progress)
    if outcome.already:
        click.echo(f"{plain(out)} was recorded before: nothing to do", err=True)
    result = outcome.result
    if as_json:
        print_json(result)
    else:
        click.echo(f"recorded {result['tokens']:,} tokens in {plain(result['recording'])}, {result['disk_mb']:,} MB")
        click.echo(
            f"{result['seconds']:,} s, {result['ratio']:.2f} times the model's own {result['forward_seconds']:,} s; "
            f"peak memory {result['peak_rss_mb']:,} MB"
        )
    given = f" --model {shlex.quote(model)}" if model != "smollm2-135m" else ""
    given += f" --corpus {shlex.quote(corpus)}" if corpus != "bundled" else ""
    print_next(f"assay explain{given}", "say what makes some of these units fire")
