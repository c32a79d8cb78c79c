"""What can be said of a model without running it: its sizes, its sites, its units and its matrices."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.direction import Direction
from assay.core.ids import KINDS, SiteId, UnitId
from assay.errors import UnknownName, UnsupportedModel, UsageError
from assay.model import large
from assay.model.sitemap import FORWARD_ORDER, check_needs, site_map, submodule, tap
from assay.model.units import Units


class Anatomy:
    """A causal language model's parts, found by the row of its architecture. See :class:`Subject` for the attributes.

    Raises:
        UnsupportedModel: no row for its architecture, or one that does not fit it.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self.name = name
        row = self._row = site_map(model.config.model_type)
        check_needs(row, model.config.to_dict())
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
        self.d_model = int(model.config.hidden_size)
        self.d_out = int(self._head.weight.shape[1])
        self.vocab_size, self._d_embedding = (int(n) for n in embedding.shape)
        self.n_heads = int(model.config.num_attention_heads)
        self.context_length = int(model.config.max_position_embeddings)
        self.dtype: torch.dtype = embedding.dtype
        self.device: torch.device = large.input_device(model.get_input_embeddings())
        self.attention = str(model.config._attn_implementation)
        self.parallel = bool(getattr(model.config, row.parallel) if isinstance(row.parallel, str) else row.parallel)
        self.softcap: float | None = getattr(model.config, row.softcap) if row.softcap else None
        self.adds_directly = row.down.startswith(row.mlp_out)
        self._kinds = tuple(kind for kind in FORWARD_ORDER if not (self.parallel and kind == "resid_mid"))
        self.directions: dict[UnitId, Direction] = {}
        self._roots: dict[SiteId, Tensor] = {}
        self._widths: dict[SiteId, int] = {}

    def sites(self) -> list[SiteId]:
        """Every site, from the first layer to the last, in the order in which a pass computes them."""
        return [SiteId(layer, kind) for layer in range(self.n_layers) for kind in self._kinds]

    def check_site(self, site: SiteId) -> None:
        """Raise UnknownName unless this subject has the site."""
        if site.kind not in self._kinds and site.module is None:
            known = [str(SiteId(site.layer, kind)) for kind in self._kinds]
            parallel = self.parallel and site.kind in KINDS
            hint = f"(in {self.name} attention and MLP read the same residual)" if parallel else ""
            raise UnknownName("site", str(site), known, hint)
        if not 0 <= site.layer < self.n_layers:
            known = [str(SiteId(layer, site.kind)) for layer in range(self.n_layers)]
            raise UnknownName("site", str(site), known, f"(layers of {self.name} run from 0 to {self.n_layers - 1})")
        if site.module is not None:
            modules = [path for path, _ in self._layers[site.layer].named_modules() if path]
            if site.module not in modules:
                raise UnknownName("module", site.module, modules, f"(in layer {site.layer} of {self.name})")
            layer = self._layers[site.layer]
            for kind in ("attn_out", "mlp_out"):  # hooks of two names on one module would not know who comes first
                if layer.get_submodule(site.module) is tap(self._row, layer, kind).module:
                    raise UsageError(f"{site} is {SiteId(site.layer, kind)}; take that name")

    def width(self, site: SiteId) -> int:
        """Width of a site's tensor.

        Raises:
            UnknownName: no such site.
        """
        self.check_site(site)
        if site.module is not None:
            return self._module_width(site)
        return int(self._weight(site).shape[1]) if site.kind in ("mlp_act", "head") else self.d_model

    @torch.no_grad()
    def _module_width(self, site: SiteId) -> int:
        """Seen in a pass over one token, once a site: a module need not say it."""
        if site not in self._widths:
            shapes: list[Any] = []

            def note(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
                first = output if isinstance(output, Tensor) else output[0] if isinstance(output, tuple) else None
                shapes.append(first.shape if isinstance(first, Tensor) else None)

            handle = tap(self._row, self._layers[site.layer], site.kind).module.register_forward_hook(note)
            try:
                self.model(input_ids=torch.ones((1, 1), dtype=torch.long, device=self.device), use_cache=False)
            finally:
                handle.remove()
            if len(shapes) != 1 or shapes[0] is None or shapes[0].numel() != shapes[0][-1]:
                raise UsageError(f"{site} gives no row of numbers a token, once a pass; name a module that does")
            self._widths[site] = int(shapes[0][-1])
        return self._widths[site]

    @property
    def units(self) -> Units:
        """What the units of its sites are; made anew, since a part that knew its whole would keep it in memory."""
        return Units(self.width, self.n_heads, self.write_matrix, self.directions, self._roots)

    def write_vector(self, unit: UnitId) -> Float[Tensor, " d_model"]:
        """What one unit of activation writes: its neuron's column of the last matrix of the MLP.

        In OLMo 2 and Gemma a norm stands between this vector and the residual.

        Raises:
            UnknownName: no such site.
            UsageError: there is no such unit, or it has no column.
        """
        self.units.check(unit)
        if unit.site.kind != "mlp_act" or isinstance(unit.index, str):
            raise UsageError(f"{unit} has no write vector; only single neurons, of mlp_act, have one")
        return self.write_matrix(unit.site)[:, unit.index].clone()

    def write_matrix(self, site: SiteId) -> Float[Tensor, "d_model width"]:
        """The matrix that the tensor of ``mlp_act`` or ``head`` is multiplied by; fetched if it is not in memory.

        Raises:
            UnknownName: no such site.
            UsageError: a site of another kind.
        """
        self.check_site(site)
        if site.kind not in ("mlp_act", "head"):
            raise UsageError(f"{site} is not multiplied by a matrix; only mlp_act and head are")
        weight = large.weight_of(tap(self._row, self._layers[site.layer], site.kind).module)
        return weight.T if self._row.transposed else weight

    def writes_nothing(self, site: SiteId) -> bool:
        """Whether the matrix that the site's tensor is multiplied by is all zero, so that no edit there can act."""
        return site.kind in ("mlp_act", "head") and not bool(self.write_matrix(site).any())

    def unembedding(self) -> Float[Tensor, "vocab d_out"] | None:
        """The matrix that gives the logits; None where that is not all: a bias is added, or a softcap follows."""
        if self.softcap is not None or getattr(self._head, "bias", None) is not None:
            return None
        return large.weight_of(self._head)

    def _weight(self, site: SiteId) -> Tensor:
        weight: Any = tap(self._row, self._layers[site.layer], site.kind).module.weight
        return weight.T if self._row.transposed else weight
