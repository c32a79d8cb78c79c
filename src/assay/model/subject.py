"""A causal language model under study."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model import large, placement
from assay.model.anatomy import Anatomy
from assay.model.copies import copy_in, sharing
from assay.model.fingerprint import fingerprint as hash_weights
from assay.model.hooks import EarlyExit, Edit, Switchboard
from assay.model.partial import check_edits, ending_after, starting_at
from assay.model.vocabulary import token_texts as texts_of


class Here(NamedTuple):
    """The tokens of the pass that runs. ``positions``: counted over real tokens, from 0; what stands at tokens that are
    not ``real`` is padding; ``generated``: those that come after their prompt; ``rows``: the number of each prompt."""

    positions: Int[Tensor, "batch seq"]
    real: Bool[Tensor, "batch seq"]
    generated: Bool[Tensor, "batch seq"]
    rows: Int[Tensor, " batch"]


class Subject(Anatomy):
    """A causal language model with its tokenizer, sites and fingerprint. Made by :func:`load` or :meth:`from_hf`.

    Numerics are the model's own: nothing is folded, centred or cast. The model is put in eval mode and its parameters
    are frozen (``requires_grad`` off), so no graph is built unless a gradient is asked for at an edit or an input.

    Arguments named ``ids`` and ``mask`` are integer tensors (batch, seq); mask is 1 at real tokens, 0 at padding, all
    real when left out. Positions are counted over real tokens, so padding may be on either side and what stands at
    padded positions means nothing. Results are bit-identical for equal shapes and equal padding only.

    Attributes:
        name: what the user called it.
        model, tokenizer: the Hugging Face objects.
        architecture: its ``model_type``.
        n_layers, d_model, n_heads, vocab_size: sizes; ``vocab_size`` is the number of rows of the embedding.
        d_out: the width that the head is given, d_model but where a matrix stands before it.
        context_length: longest sequence it takes.
        parallel: whether attention and MLP read the same residual.
        adds_directly: whether what a neuron writes is added to the residual as it is; in OLMo 2 and Gemma a norm comes
            first.
        softcap: the bound c of a model that gives c tanh(logits / c), else None.
        dtype, device, reason: where the numbers are computed, and why there.
        attention: the attention implementation, "sdpa" where the architecture has it.
        revision: the commit on the Hugging Face hub that it was loaded from, if it was.
        units: what its units are: :class:`assay.model.units.Units`.
        directions: the directions that were made units.
        reload: loads the model once more, in another dtype, if it is spread over devices and disk.
        special_ids: token ids that stand for no text.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, reason: str) -> None:
        super().__init__(model.eval().requires_grad_(False), name)
        self.tokenizer = tokenizer
        self.reason = reason
        self.special_ids = frozenset(int(i) for i in tokenizer.all_special_ids)
        self.revision: str | None = None
        self.reload: Callable[[torch.dtype], Subject] | None = None
        self._board = Switchboard(self._row, self._layers)
        self._runs: tuple[Tensor, Tensor] | None = None
        self._prompts: tuple[Tensor, Tensor] | None = None
        self._fingerprint: str | None = None
        self._texts: list[str] | None = None

    @classmethod
    def from_hf(cls, model: Any, tokenizer: Any, name: str | None = None, reason: str | None = None) -> Subject:
        """A Subject around a Hugging Face causal language model, checked by :func:`validate`.

        The model is used as it is, not copied: it is put in eval mode and its parameters are frozen.

        Raises:
            UnsupportedModel: no site map for its architecture, or a check failed.
            ActivationError: it gives NaN or infinite values on a tiny input.
        """
        from assay.model.validate import validate

        given = name or getattr(model.config, "_name_or_path", "") or model.config.model_type
        subject = cls(model, tokenizer, str(given), reason or "")
        subject.reason = reason or placement.as_given(subject.dtype, subject.device)
        validate(subject)
        return subject

    def __repr__(self) -> str:
        dtype = placement.short(self.dtype)
        return f"Subject({self.name!r}, {self.architecture}, {self.n_layers} layers, {dtype} on {self.device})"

    @property
    def fingerprint(self) -> str:
        """Hash of the weights, in hex: see :func:`assay.model.fingerprint.fingerprint`. Taken once."""
        if self._fingerprint is None:
            self._fingerprint = hash_weights(self.architecture, self.model)
        return self._fingerprint

    def with_dtype(self, dtype: torch.dtype) -> Subject:
        """A copy with parameters in another dtype, such as fp32 to measure effects in; itself if it is in that already.

        Made from this subject's weights, so from bf16 it equals the same model loaded in fp32. Nothing is read from
        disk, but for a model that is spread over devices and disk (``device="auto"``): that is loaded once more.
        Buffers (rotary frequencies) keep their precision.

        Raises:
            UsageError: an edit or a capture is open, which would be copied along; or a model that is spread and was
                not loaded by :func:`load`.
        """
        if dtype == self.dtype:
            return self
        self._check_closed("with_dtype")
        if not large.is_spread(self.model):
            return self._around(copy_in(self.model, dtype), placement.converted(dtype, self.device))
        if self.reload is None:
            raise UsageError(f"{self.name} is spread over devices and can't be converted; load it in that dtype")
        return self._as_here(self.reload(dtype))

    def sharing(self) -> Subject:
        """A second subject of the very same weights, in modules of its own, so that it can work in another thread.

        No weight is copied. Edits, captures and adapters in the one are nothing to the other.

        Raises:
            UsageError: an edit or a capture is open, or the model is spread over devices and disk.
        """
        self._check_closed("sharing")
        if large.is_spread(self.model):
            raise UsageError(f"{self.name} is spread over devices and can't be shared; load it once more")
        return self._around(sharing(self.model), self.reason)

    def _check_closed(self, what: str) -> None:
        if self._board.in_use:
            raise UsageError(f"{what} was called inside a capture or edit block; call it outside")

    def _around(self, model: Any, reason: str) -> Subject:
        return self._as_here(Subject(model, self.tokenizer, self.name, reason))

    def _as_here(self, other: Subject) -> Subject:
        other.revision = self.revision
        other.directions.update(self.directions)
        return other

    # Reading and changing

    def capture(self, sites: Collection[SiteId]) -> AbstractContextManager[dict[SiteId, Tensor]]:
        """Within the block, every forward pass refills the mapping that is yielded: site -> (batch, seq, width).

        Site ``head`` is the concatenation of the heads' outputs before the last matrix: (batch, seq, n_heads *
        d_head). Edits show, whichever block was entered first. The tensors are the model's own, not copies: don't
        write into them. They live as long as the caller keeps them.

        Raises:
            UnknownName: no such site.
        """
        for site in sites:
            self.check_site(site)
        return self._board.capture(sites)

    def edit(self, site: SiteId, fn: Edit) -> AbstractContextManager[None]:
        """Within the block, the site's tensor (batch, seq, width) is replaced by ``fn(tensor)`` in every forward pass.

        ``fn`` returns a new tensor of the same shape, dtype and device. Edits of one site run in the order of their
        blocks. Nothing of it is left after the block, nor after an exception.

        Raises:
            UnknownName: no such site.
            UsageError: (in the pass) ``fn`` wrote into its argument or returned something else.
        """
        self.check_site(site)
        return self._board.edit(site, fn)

    def here(self) -> Here:
        """The tokens of the pass that runs, for edits that act on some of them; to be called from within an edit.

        Raises:
            UsageError: no pass runs.
        """
        if self._runs is None:
            raise UsageError("no pass runs; here() is for edits, from within")
        positions, real = self._runs
        if self._prompts is None:
            return Here(positions, real, torch.zeros_like(real), torch.arange(len(real), device=real.device))
        lengths, rows = self._prompts
        return Here(positions, real, real & (positions >= lengths[:, None]), rows)

    @contextmanager
    def prompts_end(self, lengths: Int[Tensor, " batch"], rows: Int[Tensor, " batch"]) -> Iterator[None]:
        """Within the block the tokens of each row from this position on count as generated, and the row as that of the
        prompt of this number: see :meth:`here`."""
        before, self._prompts = self._prompts, (lengths, rows)
        try:
            yield
        finally:
            self._prompts = before

    # Forward passes

    def hidden(
        self, ids: Int[Tensor, "batch seq"], mask: Int[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch seq d_out"]:
        """What the head is given: the output of the final norm.

        Its width is d_model, but where a matrix stands between the final norm and the head (``project_out`` of some
        OPT models), that matrix is applied and the width is the head's.
        """
        return self._run({"input_ids": ids.to(self.device)}, self._mask(ids, mask))

    def logits(
        self, ids: Int[Tensor, "batch seq"], mask: Int[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch seq vocab"]:
        """Logits of the next token at every position."""
        return self.unembed(self.hidden(ids, mask))

    def unembed(
        self, hidden: Float[Tensor, "*batch d_out"], tokens: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "*batch vocab"]:
        """Logits of what :meth:`hidden` gives, in the model's dtype; pressed below ``softcap`` if the model does so.

        Of all tokens, or of some, in their order, which is cheaper.

        Raises:
            UsageError: another dtype.
        """
        hidden = self._same_dtype(hidden)
        if tokens is None:
            logits = self._head(hidden)
        elif type(self._head) is not nn.Linear or large.is_spread(self.model):
            logits = self._head(hidden)[..., tokens]
        else:
            bias = self._head.bias
            logits = nn.functional.linear(hidden, self._head.weight[tokens], None if bias is None else bias[tokens])
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap

    def activations(
        self,
        ids: Int[Tensor, "batch seq"],
        mask: Int[Tensor, "batch seq"] | None,
        sites: Collection[SiteId],
    ) -> dict[SiteId, Tensor]:
        """What :meth:`capture` would give, by a pass that ends at the highest site captured.

        Raises:
            UnknownName: no such site.
        """
        for site in sites:
            self.check_site(site)
        if not sites:
            return {}
        with self._board.capture(sites, early_exit=True) as got, suppress(EarlyExit):
            self.hidden(ids, mask)
        return {site: tensor.to(self.device) for site, tensor in got.items()}

    def forward_from(
        self,
        layer: int,
        hidden: Float[Tensor, "batch seq d_model"],
        mask: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq d_out"]:
        """What :meth:`hidden` gives, from the ``resid_pre`` of a layer; the layers below are not run.

        Equal, bit for bit, to the full pass that ``hidden`` was captured from when shapes and mask are equal. Edits
        and captures at that layer and above act as in a full pass.

        Raises:
            UnknownName: no such layer.
            UsageError: another dtype than the model's, or an edit in force below the layer, which could not act.
        """
        self.check_site(SiteId(layer, "resid_pre"))
        check_edits(self._board.edited, layer, self.n_layers)
        hidden = self._same_dtype(hidden).to(self.device)
        mask = self._mask(hidden, mask)
        with starting_at(self._stack, layer, hidden, self._row.tuples):
            return self._run(self._stand_in(hidden), mask)

    def advance(
        self,
        start: int,
        stop: int,
        hidden: Float[Tensor, "batch seq d_model"],
        mask: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The ``resid_pre`` of layer ``stop``, given that of layer ``start``; only the layers between are run.

        With ``stop`` the number of layers it is the residual before the final norm. Equal, bit for bit, to what a
        full pass gives when shapes and mask are equal. Edits and captures at these layers act as in a full pass.

        Raises:
            UnknownName: no such layer ``start``.
            UsageError: ``stop`` is not above ``start`` or past the last layer, another dtype than the model's, or
                an edit in force at a layer that is not run.
        """
        self.check_site(SiteId(start, "resid_pre"))
        if not start < stop <= self.n_layers:
            raise UsageError(f"stop must be {start + 1} to {self.n_layers}. Got {stop} instead.")
        check_edits(self._board.edited, start, stop)
        hidden = self._same_dtype(hidden).to(self.device)
        mask = self._mask(hidden, mask)
        begin = starting_at(self._stack, start, hidden, self._row.tuples)
        with begin, ending_after(self._layers[stop - 1]) as left, suppress(EarlyExit):
            self._run(self._stand_in(hidden), mask)
        return left[0]

    def token_texts(self) -> list[str]:
        """The text of every token id of the vocabulary, with the space that a token begins with; taken once.

        A token that is a piece of a character gives U+FFFD; an id that the tokenizer doesn't know gives "".
        """
        if self._texts is None:
            self._texts = texts_of(self.tokenizer, self.vocab_size)
        return list(self._texts)

    def _stand_in(self, hidden: Tensor) -> dict[str, Tensor]:
        """Embeddings of the right shape for a pass whose first layers are not run, so that nothing comes of them."""
        same = hidden.shape[-1] == self._d_embedding
        return {"inputs_embeds": hidden if same else hidden.new_zeros(*hidden.shape[:-1], self._d_embedding)}

    def _run(self, inputs: dict[str, Tensor], mask: Tensor, past: Any = None) -> Tensor:
        """A pass of the trunk over the last tokens of the mask; ``past`` has the keys and values of those before."""
        begins = 0 if past is None else past.get_seq_length()
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, begins:]
        self._runs = positions, mask[:, begins:] > 0
        try:
            return self._trunk(
                **inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=past,
                use_cache=past is not None,
                output_hidden_states=False,
                output_attentions=False,
            ).last_hidden_state
        finally:
            self._runs = None

    def _mask(self, like: Tensor, mask: Tensor | None) -> Tensor:
        batch, seq = like.shape[:2]
        if seq > self.context_length:
            raise UsageError(f"{self.name} takes sequences of at most {self.context_length} tokens. Got {seq} instead.")
        if mask is None:
            return torch.ones(batch, seq, dtype=torch.long, device=self.device)
        if mask.shape != (batch, seq):
            raise UsageError(f"mask must have the shape {(batch, seq)}. Got {tuple(mask.shape)} instead.")
        return mask.to(self.device)

    def _same_dtype(self, hidden: Tensor) -> Tensor:
        if hidden.dtype != self.dtype:
            want, got = placement.short(self.dtype), placement.short(hidden.dtype)
            raise UsageError(f"{self.name} is in {want}. Got a hidden state in {got} instead; convert it first.")
        return hidden
