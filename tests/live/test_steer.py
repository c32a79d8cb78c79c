"""A unit that is changed: what comes of it against plain edited passes, and its null against the norms it must have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.live.change import Change, Passes, directions
from assay.live.going_on import continuations
from assay.live.shelf import Held
from assay.live.steer import steer
from assay.model import Subject
from live.asking import MODEL, TEXT, UNIT, asking, quiet
from model.tiny_models import LAYERS, VOCAB, tiny

UNITS = (
    UnitId(SiteId(1, "mlp_act"), 5),
    UnitId(SiteId(1, "head"), 2),
    UnitId(SiteId(0, "resid_pre"), 3),
    UnitId(SiteId(LAYERS - 1, "resid_post"), 7),
    UnitId(SiteId(1, "resid_post"), "@test"),
)
CHANGES = (("factor", 3.0), ("value", 1.5), ("add", -0.7))


@pytest.fixture(scope="module", params=("llama", "gpt2", "gpt_neox", "gemma2", "olmo2"))
def subject(request: pytest.FixtureRequest) -> Subject:
    found = tiny(request.param, torch.float32)
    vector = np.random.default_rng(1).standard_normal(found.d_model).astype(np.float32)
    found.units.add(UNITS[-1], Direction(UNITS[-1].site, vector, offset=0.3, scale=0.5))
    return found


def some_ids(seed: int = 0, length: int = 12) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).integers(2, VOCAB, (1, length)))


def logits(subject: Subject, ids: torch.Tensor, site: SiteId | None = None, edit: Any = None) -> torch.Tensor:
    """(seq, vocab) of a plain pass, with an edit."""
    with torch.inference_mode():
        if site is None:
            return subject.logits(ids)[0]
        with subject.edit(site, edit):
            return subject.logits(ids)[0]


@pytest.mark.parametrize("unit", UNITS, ids=str)
@pytest.mark.parametrize(("kind", "amount"), CHANGES)
def test_passes_are_plain_edited_passes(subject: Subject, unit: UnitId, kind: str, amount: float) -> None:
    ids, change = some_ids(), Change(subject, unit, kind, amount)
    before = logits(subject, ids)
    passes = Passes(change, ids)
    with torch.inference_mode():
        assert torch.equal(passes.unedited, subject.hidden(ids)[0, -1])
        with subject.edit(unit.site, change):
            assert torch.equal(passes.edited, subject.hidden(ids)[0, -1])
    written = passes.written
    has = {"factor": written.before * amount, "value": torch.full((12,), amount), "add": written.before + amount}[kind]
    wanted = has.clamp(min=0) if unit.site.kind == "head" else has
    torch.testing.assert_close(written.after, wanted, rtol=1e-4, atol=1e-4)
    vectors = directions(subject, unit, 3, seed=4)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    pushes = written.along(vectors)
    torch.testing.assert_close(pushes.norm(dim=-1), written.added.norm(dim=-1).expand(3, -1))
    signs = torch.einsum("nsd,nd->ns", pushes, vectors).sign() * (written.added.norm(dim=-1) > 0)
    moved = (written.after - written.before).sign() * (written.added.norm(dim=-1) > 0)
    assert ((signs == moved) | (moved == 0)).all()
    with torch.inference_mode():
        random = subject.unembed(passes.random(vectors))
    for i in range(3):
        plain = logits(subject, ids, change.place, lambda h, i=i: h + pushes[i])[-1]
        torch.testing.assert_close(random[i], plain, rtol=1e-4, atol=1e-4)
    assert not subject._board.in_use
    assert torch.equal(logits(subject, ids), before)


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_continuations_are_those_of_whole_passes(subject: Subject, unit: UnitId) -> None:
    """Each token read with all before it once more, nothing kept."""
    ids, change, count = some_ids(3), Change(subject, unit, "add", 2.0), 6
    passes = Passes(change, ids)
    direction = directions(subject, unit, 1, seed=0)[0]
    said = continuations(passes, direction, count, quiet)
    ends = {0, 1}

    def naive(edits: Any) -> list[int]:
        now, found = ids, []
        for _ in range(count):
            site, edit = edits(now)
            token = int(logits(subject, now, site, edit)[-1].argmax())
            if token in ends:
                break
            found.append(token)
            now = torch.cat([now, torch.tensor([[token]])], 1)
        return found

    def pushed(now: torch.Tensor) -> tuple[SiteId, Any]:
        more = Passes(change, now).written.along(direction[None])
        return change.place, lambda h: h + more

    assert said["unedited"].ids == naive(lambda now: (None, None))
    assert said["edited"].ids == naive(lambda now: (unit.site, change))
    if unit.site.kind in ("mlp_act", "head") or unit.site.layer == LAYERS - 1:
        # below the place nothing of the direction is seen, so that what the unit would write is known from the text
        assert said["random"].ids == naive(pushed)
    assert not subject._board.in_use


def ask(held: Held, **given: Any) -> dict[str, Any]:
    return steer(held, asking("steer", **{"model": MODEL, "unit": UNIT, "text": TEXT, "tokens": 4} | given), quiet)


@pytest.mark.parametrize("unit", [UNIT, "L0.head:1", "L1.resid_post:7"])
def test_a_factor_of_one_changes_nothing(held: Held, unit: str) -> None:
    answer = ask(held, unit=unit, factor=1)
    assert answer["rise"] == answer["fall"] == []
    assert answer["divergence"]["nats"] == 0
    assert answer["divergence"]["null"]["max"] < 1e-9  # eight rows are not summed as one is
    assert answer["divergence"]["noise"] < 1e-9
    assert answer["continuations"]["edited"] == answer["continuations"]["unedited"]
    assert {token["written"] for token in answer["tokens"]} == {0.0}


def test_more_does_more_and_stands_beside_its_null(held: Held) -> None:
    found = [ask(held, add=amount)["divergence"] for amount in (1, 4, 16)]
    assert 0 < found[0]["nats"] < found[1]["nats"] < found[2]["nats"] <= np.log(2)
    for one in found:
        null = one["null"]
        assert null["mean"] == pytest.approx(np.mean(null["draws"]))
        assert null["max"] == max(null["draws"])
        assert len(set(null["draws"])) == 8
    assert found[0]["null"]["mean"] < found[2]["null"]["mean"]


def test_the_tokens_that_change_most_are_those_of_the_two_distributions(held: Held) -> None:
    answer, subject = ask(held, value=8, seed=1, directions=3), held.precise
    ids = torch.tensor([[token["id"] for token in answer["tokens"]]])
    change = Change(subject, UnitId.parse(UNIT), "value", 8.0)
    before = torch.softmax(logits(subject, ids)[-1].double(), -1).numpy()
    after = torch.softmax(logits(subject, ids, change.site, change)[-1].double(), -1).numpy()
    order = np.argsort(after - before)
    assert [row["id"] for row in answer["fall"]] == order[:12].tolist()
    assert [row["id"] for row in answer["rise"]] == order[::-1][:12].tolist()
    for row in (*answer["rise"], *answer["fall"]):
        assert (row["before"], row["after"]) == pytest.approx((before[row["id"]], after[row["id"]]), rel=1e-4)
        assert row["change"] == pytest.approx(row["after"] - row["before"], abs=1e-12)
        assert row["text"] == subject.token_texts()[row["id"]]
    null = answer["change_null"]
    assert 0 < null["rise"]["mean"] <= null["rise"]["max"]
    assert null["fall"]["max"] <= null["fall"]["mean"] < 0
    assert len(answer["divergence"]["null"]["draws"]) == answer["directions"] == 3
    assert (answer["seed"], answer["edit"]) == (1, {"kind": "value", "amount": 8.0})
    assert {len(one["ids"]) for one in answer["continuations"].values() if not one["ended"]} <= {4}
    assert not held.precise._board.in_use


def test_no_tokens_and_a_text_of_one_token_will_do(held: Held) -> None:
    assert ask(held, text="The", add=1, tokens=0)["continuations"] == {}
    assert len(ask(held, text="The", add=1)["tokens"]) == 1


def test_more_tokens_than_the_model_takes_are_refused() -> None:
    subject = tiny("llama", torch.float32)
    held = Held.of(subject)
    with pytest.raises(UsageError, match="takes 64; ask for fewer"):
        steer(held, asking("steer", model="tiny", unit="L1.mlp_act:5", text="a b c " * 10, add=1.0, tokens=60), quiet)
