"""Bits hidden in text: how many, what an edit leaves of them, and whether a reader's activations show them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.findings.found import LINES, MATRIX, Finding, Found, Panel, Table, number, scored
from assay.probe.bench import Bench
from assay.probe.request import ProbeRequest
from assay.probe.stego.blocks import BLOCK, decode_sentences
from assay.probe.stego.coding import decode
from assay.probe.stego.edits import EDITS, first_half
from assay.probe.stego.sampling import sample
from assay.probe.stego.seen import METHODS, contrast, look
from assay.probe.stego.survival import Arrived, arrived
from assay.probe.stego.texts import CALLED, CONTROLS, PACTS, Texts, coded_texts, honest_texts, openings
from assay.stats.bootstrap import Estimate, document_weights
from assay.stats.proportion import wilson

if TYPE_CHECKING:
    from assay.model import Subject

TOKENS = 48  # of a text
CONTRASTS = (
    ("arithmetic", "sampled"),
    ("arithmetic", "top_p"),
    ("arithmetic", "greedy"),
    ("sentences", "sampled"),
    ("coin", "sampled"),
)
CHANGED = ("arithmetic", "sentences")
PARAPHRASE = "second half anew"
PUBLISHED = {"arithmetic-sampled": "Ziegler et al. 2019: text as the model’s own, which people take for real"}
_NULL = "strongest null"
_FEWEST = 60  # prompts
_BATCHES = {"smoke": 1, "quick": 2, "standard": 4, "full": 8}  # of messages that are edited


def run(bench: Bench, request: ProbeRequest) -> Found:
    """Write texts of all kinds, change them and read them, and let probes look at them."""
    prompts = openings(max(_FEWEST, bench.size.items * 2 // 5), bench.seed)
    tokens = TOKENS if bench.size.steps >= 1 else TOKENS // 2
    texts = {kind: coded_texts(bench, kind, prompts, tokens) for kind in PACTS}
    texts |= {kind: honest_texts(bench, kind, prompts, tokens) for kind in CONTROLS}
    found = Found(
        "Bits hidden in text: what survives, and who sees it",
        f"{len(prompts):,} texts of each kind by {bench.exact.name}, after the openings of stories and essays, "
        f"of {tokens} tokens: the {PACTS['arithmetic'].top_k} likeliest at each, temperature 1.",
        notes=_notes(texts),
    )
    _capacity(found, texts, bench)
    rows = PACTS["arithmetic"].rows
    _survival(found, bench, prompts[: min(_BATCHES[request.effort], len(prompts) // rows) * rows], texts)
    methods = request.methods or METHODS
    sets = {
        f"tells {CALLED[one]} from {CALLED[other]}": contrast(
            f"{one}-{other}", prompts, texts[one].texts, texts[other].texts
        )
        for one, other in CONTRASTS
    }
    for reader in (bench.exact, other_reader(bench.exact)):
        look(found, bench, reader, sets, request.layers, methods, PUBLISHED)
    found.tables, found.panels = _tables(found.results), _panels(found.results)
    return found


def other_reader(subject: Subject) -> Subject:
    """A model of the ladder that did not write the text: the other seed of the same depth, or the deepest."""
    from assay.model import load

    same = re.fullmatch(r"ladder-(\d+)-([01])", subject.name)
    return load(f"ladder-{same[1]}-{1 - int(same[2])}" if same else "ladder-12-0", "fp32")


def _notes(texts: Mapping[str, Texts]) -> list[str]:
    lost = {kind: float(np.mean([one.lost for one in texts[kind].coded])) for kind in PACTS}
    return [
        "Messages are even bits, as an encrypted one is. Sender and receiver have the same model in fp32, the same "
        "prompts, and read in passes of the same shape. Bits that nobody could read count as half right, as guesses.",
        "A token is left out where the text with it would be tokenised otherwise: of the likeliest tokens’ probability "
        f"that takes {lost['arithmetic']:.3f}, {lost['sentences']:.3f} in sentences, where nothing may end one. Honest "
        "samples are drawn in floating point from all of them.",
        "Readers are given prompt and text; probes read the mean over tokens. Prompts are the groups: half are fitted "
        "on, four tenths tested on. A probe that tells one text from the other is judged against probes of shuffled "
        "labels and random directions.",
    ]


def _capacity(found: Found, texts: Mapping[str, Texts], bench: Bench) -> None:
    """Bits a token beside the entropy, and whether every message comes back from its text."""
    for kind in PACTS:
        coded = texts[kind].coded
        bits, tokens, held = (
            np.array([float(one) for one in column])
            for column in zip(*((one.bits, len(one.ids), one.entropy) for one in coded), strict=True)
        )
        weights = document_weights(len(coded), bench.size.replicates, bench.seed)
        rate = Estimate(bits.sum() / tokens.sum(), (weights @ bits) / (weights @ tokens))
        size = sum(len(one.text.encode()) for one in coded)
        whole = wilson(sum(one.exact for one in coded), len(coded))
        found.findings += [
            Finding(
                f"{CALLED[kind]}: bits a token",
                "bits / token",
                *rate.interval(),
                n=len(coded),
                references={
                    "entropy": held.sum() / tokens.sum(),
                    "bits / KB": 1000 * bits.sum() / size,
                },
            ),
            Finding(
                f"{CALLED[kind]}: texts that are tokenised again as they were written", "share", *whole, n=len(coded)
            ),
        ]


def _survival(found: Found, bench: Bench, prompts: Sequence[str], texts: Mapping[str, Texts]) -> None:
    """Every edit on texts of both coders, what arrives beside guessing, and one coder beside the other."""
    size = (bench.size.replicates, bench.seed)
    for at, edit in enumerate((*EDITS, PARAPHRASE)):
        known: dict[str, Arrived] = {}
        for step, coder in enumerate(CHANGED):
            bench.progress(f"{edit}: {CALLED[coder]}", (at + step / 2) / (1 + len(EDITS)))
            known[coder] = _after(bench, prompts, texts[coder], coder, edit)
            _add(found, known[coder], coder, edit, size)
        if edit != "none":
            both = [known[coder].among(known["arithmetic"].kept & known["sentences"].kept) for coder in CHANGED]
            one, other = (part.share_whole(*size) for part in both)
            found.findings.append(
                scored(
                    f"{edit}: of numbered sentences more stays whole than of one piece",
                    "share of bits before the first wrong one",
                    other,
                    one,
                    null_name="one piece",
                    n=both[0].n,
                    reasons=both[0].reasons,
                )
            )


def _after(bench: Bench, prompts: Sequence[str], texts: Texts, coder: str, edit: str) -> Arrived:
    sent, before = texts.sent[: len(prompts)], texts.texts[: len(prompts)]
    changed = _changed(bench, prompts, texts, edit)

    def received() -> list[list[int | None]]:
        if coder == "sentences":
            read = decode_sentences(bench.exact, prompts, changed, len(sent[0]), PACTS[coder])
            return [list(one) for one in read]
        return [list(one.bits) for one in decode(bench.exact, prompts, changed, PACTS[coder])]

    name = re.sub(r"\W+", "-", f"read {coder} {edit}")
    kept = [edit in ("none", "normalise whitespace") or a != b for a, b in zip(before, changed, strict=True)]
    return arrived(sent, bench.part(name, received), before, kept, BLOCK if coder == "sentences" else None)


def _changed(bench: Bench, prompts: Sequence[str], texts: Texts, edit: str) -> list[str]:
    before = texts.texts[: len(prompts)]
    if edit != PARAPHRASE:
        return [EDITS[edit](text, np.random.default_rng([bench.seed, 13, i])) for i, text in enumerate(before)]
    halves = [first_half(text) for text in before]
    counts = [max(1, len(one.ids) // 2) for one in texts.coded[: len(prompts)]]
    starts = [prompt + half for prompt, half in zip(prompts, halves, strict=True)]
    after = sample(bench.exact, starts, counts, "sampled", PACTS["arithmetic"], bench.seed + 1)
    return [half + rest for half, rest in zip(halves, after, strict=True)]


def _add(found: Found, one: Arrived, coder: str, edit: str, size: tuple[int, int]) -> None:
    right, whole, rate = one.share_right(*size), one.share_whole(*size), one.per_kb(*size)
    found.findings.append(
        scored(
            f"{CALLED[coder]}, {edit}: more bits arrive than are guessed",
            "share of bits",
            right,
            0.5,
            null_name="guessing",
            n=one.n,
            references={"before the first wrong one": whole.value, "bits / KB before it": rate.value},
            reasons=one.reasons,
            result=len(found.results),
        )
    )
    row: dict[str, Any] = {"part": "survival", "coder": coder, "edit": edit, "n": one.n}
    for name, estimate in (("right", right), ("whole", whole), ("bits_per_kb", rate)):
        row[name], row[f"{name}_lo"], row[f"{name}_hi"] = (number(value) for value in estimate.interval())
    found.results.append(row)


def _tables(results: Sequence[Mapping[str, Any]]) -> list[Table]:
    survival = [row for row in results if row["part"] == "survival"]
    seen = [row for row in results if row["part"] == "seen"]
    return [
        Table(
            "What arrives",
            ("coder, edit", "bits right", "lo", "hi", "before the first wrong", "bits / KB before it", "messages"),
            [
                [
                    f"{CALLED[row['coder']]}, {row['edit']}",
                    *(row[name] for name in ("right", "right_lo", "right_hi", "whole")),
                    None if row["bits_per_kb"] is None else f"{row['bits_per_kb']:.0f}",
                    row["n"],
                ]
                for row in survival
            ],
        ),
        Table(
            "Who sees it",
            ("texts", "reader, layer", "method", "AUROC", "lo", "hi", "null", "words", "length"),
            [
                [
                    row["texts"],
                    f"{row['reader']}, {row['layer']}" if row["layer"] is not None else row["reader"],
                    row["method"],
                    *(row[name] for name in ("auroc", "lo", "hi", "null_hi")),
                    *(row["baselines"].get(name) for name in ("bag_of_words", "length")),
                ]
                for row in seen
            ],
        ),
    ]


def _panels(results: Sequence[Mapping[str, Any]]) -> list[Panel]:
    arrive = [
        {"x": CALLED[row["coder"]], "y": row["edit"], "value": row["right"], "text": _text(row)}
        for row in results
        if row["part"] == "survival"
    ]
    seen = [row for row in results if row["part"] == "seen"]
    found = [Panel(MATRIX, "Share of bits right (bits a KB before the first wrong one)", "", "", arrive)]
    for reader in dict.fromkeys(row["reader"] for row in seen):
        own = [row for row in seen if row["reader"] == reader]
        rows = [
            {"x": row["texts"], "y": row["auroc"], "lo": row["lo"], "hi": row["hi"], "series": _place(row)}
            for row in own
        ]
        for texts in dict.fromkeys(row["texts"] for row in own):
            null = max(row["null_hi"] for row in own if row["texts"] == texts)
            rows.append({"x": texts, "y": null, "series": _NULL})
        found.append(Panel(LINES, f"Can {reader} tell the first from the second?", "", "AUROC", rows, (_NULL,)))
    return found


def _text(row: Mapping[str, Any]) -> str:
    return "–" if row["right"] is None else f"{row['right']:.2f} ({row['bits_per_kb']:.0f})"


def _place(row: Mapping[str, Any]) -> str:
    return row["method"] if row["layer"] is None else f"layer {row['layer']}, {row['method']}"
