"""A causal language model under study."""

from __future__ import annotations

import copy
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.ids import KINDS, SiteId, UnitId
from assay.errors import UnknownName, UnsupportedModel, UsageError
from assay.model import placement
from assay.model.fingerprint import fingerprint as hash_weights
from assay.model.hooks import EarlyExit, Edit, Switchboard
from assay.model.partial import starting_at
from assay.model.sitemap import FORWARD_ORDER, site_map, submodule, tap
from assay.model.vocabulary import token_texts as texts_of


class Subject:
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
        context_length: longest sequence it takes.
        dtype, device, reason: where the numbers are computed, and why there.
        attention: the attention implementation, "sdpa" unless the model came with another.
        special_ids: token ids that stand for no text.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, reason: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.reason = reason
        row = self._row = site_map(model.config.model_type)
        self.architecture = row.architecture
        self._trunk = submodule(model, row.trunk, row.architecture)
        self._stack: Any = submodule(model, row.layers, row.architecture)
        self._layers: tuple[nn.Module, ...] = tuple(self._stack)
        submodule(model, row.norm, row.architecture)
        self._head = model.get_output_embeddings()
        if self._head is None:
            raise UnsupportedModel(f"a {type(model).__name__} has no language model head; give a causal language model")
        embedding = model.get_input_embeddings().weight
        self.n_layers = len(self._layers)
        self.vocab_size, self.d_model = (int(n) for n in embedding.shape)
        self.n_heads = int(model.config.num_attention_heads)
        self.context_length = int(model.config.max_position_embeddings)
        self.dtype: torch.dtype = embedding.dtype
        self.device: torch.device = embedding.device
        self.attention = str(model.config._attn_implementation)
        self.special_ids = frozenset(int(i) for i in tokenizer.all_special_ids)
        self.parallel = bool(row.parallel and getattr(model.config, row.parallel))
        self._kinds = tuple(kind for kind in FORWARD_ORDER if not (self.parallel and kind == "resid_mid"))
        self._board = Switchboard(row, self._layers)
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
        disk. Buffers (rotary frequencies) keep their precision.

        Raises:
            UsageError: an edit or a capture is open; it would be copied along.
        """
        if dtype == self.dtype:
            return self
        if self._board.in_use:
            raise UsageError("with_dtype was called inside a capture or edit block; call it outside")
        memo: dict[int, Any] = {
            id(weight): nn.Parameter(weight.detach().to(dtype), requires_grad=False)
            for weight in self.model.parameters()
        }
        model = copy.deepcopy(self.model, memo)
        model.config.dtype = dtype
        return Subject(model, self.tokenizer, self.name, placement.converted(dtype, self.device))

    # Sites and units

    def sites(self) -> list[SiteId]:
        """Every site, from the first layer to the last, in the order in which a pass computes them."""
        return [SiteId(layer, kind) for layer in range(self.n_layers) for kind in self._kinds]

    def check_site(self, site: SiteId) -> None:
        """Raise UnknownName unless this subject has the site."""
        if site.kind not in self._kinds:
            known = [str(SiteId(site.layer, kind)) for kind in self._kinds]
            parallel = self.parallel and site.kind in KINDS
            hint = f"(in {self.name} attention and MLP read the same residual)" if parallel else ""
            raise UnknownName("site", str(site), known, hint)
        if not 0 <= site.layer < self.n_layers:
            known = [str(SiteId(layer, site.kind)) for layer in range(self.n_layers)]
            raise UnknownName("site", str(site), known, f"(layers of {self.name} run from 0 to {self.n_layers - 1})")

    def width(self, site: SiteId) -> int:
        """Number of units at a site.

        Raises:
            UnknownName: no such site.
        """
        self.check_site(site)
        if site.kind not in ("mlp_act", "head"):
            return self.d_model
        return int(self._matrix(site).shape[1])

    def write_vector(self, unit: UnitId) -> Float[Tensor, " d_model"]:
        """What one unit of activation writes: its column of the last matrix of the MLP or, at ``head``, attention.

        In OLMo 2 a norm stands between this vector and the residual.

        Raises:
            UnknownName: no such site.
            UsageError: units of that kind have no column, or the index is out of range.
        """
        if unit.index not in range(self.width(unit.site)):
            raise UsageError(f"{unit} is out of range; {unit.site} has units 0 to {self.width(unit.site) - 1}")
        if unit.site.kind not in ("mlp_act", "head"):
            raise UsageError(f"{unit} has no write vector; only units of mlp_act and head pass through a matrix")
        return self._matrix(unit.site)[:, unit.index].detach().clone()

    def writes_nothing(self, site: SiteId) -> bool:
        """Whether the matrix that the site's tensor is multiplied by is all zero, so that no edit there can act."""
        return site.kind in ("mlp_act", "head") and not bool(self._matrix(site).any())

    def _matrix(self, site: SiteId) -> Tensor:
        """The matrix (d_model, width) that the site's tensor is multiplied by."""
        weight: Any = tap(self._row, self._layers[site.layer], site.kind).module.weight
        return weight.T if self._row.transposed else weight

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

    # Forward passes

    def hidden(
        self, ids: Int[Tensor, "batch seq"], mask: Int[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch seq d_model"]:
        """Output of the final norm."""
        return self._run({"input_ids": ids.to(self.device)}, self._mask(ids, mask))

    def logits(
        self, ids: Int[Tensor, "batch seq"], mask: Int[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch seq vocab"]:
        """Logits of the next token at every position."""
        return self.unembed(self.hidden(ids, mask))

    def unembed(self, hidden: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch vocab"]:
        """Logits of outputs of the final norm, in the model's dtype.

        Raises:
            UsageError: another dtype.
        """
        return self._head(self._same_dtype(hidden))

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
        return got

    def forward_from(
        self,
        layer: int,
        hidden: Float[Tensor, "batch seq d_model"],
        mask: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Output of the final norm, given the ``resid_pre`` of a layer; the layers below are not run.

        Equal, bit for bit, to the full pass that ``hidden`` was captured from when shapes and mask are equal. Edits
        and captures at that layer and above act as in a full pass.

        Raises:
            UnknownName: no such layer.
            UsageError: another dtype than the model's, or an edit in force below the layer, which could not act.
        """
        self.check_site(SiteId(layer, "resid_pre"))
        dead = [str(site) for site in self._board.edited if site.layer < layer]
        if dead:
            raise UsageError(f"the edit at {dead[0]} can't act in a pass that starts at layer {layer}")
        hidden = self._same_dtype(hidden).to(self.device)
        mask = self._mask(hidden, mask)
        with starting_at(self._stack, layer, hidden):
            return self._run({"inputs_embeds": hidden}, mask)

    def token_texts(self) -> list[str]:
        """The text of every token id of the vocabulary, with the space that a token begins with; taken once.

        A token that is a piece of a character gives U+FFFD; an id that the tokenizer doesn't know gives "".
        """
        if self._texts is None:
            self._texts = texts_of(self.tokenizer, self.vocab_size)
        return list(self._texts)

    def _run(self, inputs: dict[str, Tensor], mask: Tensor) -> Tensor:
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return self._trunk(
            **inputs,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            output_hidden_states=False,
            output_attentions=False,
        ).last_hidden_state

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
