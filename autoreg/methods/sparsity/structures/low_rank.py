"""Two thin layers in place of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape
from autoreg.methods.sparsity.structures.structure import DenseReference, Network, S, Structure, Target
from autoreg.network.surgery.factors import factor_names, saves
from autoreg.space.spec import Paper, slot

if TYPE_CHECKING:
    from autoreg.network.surgery import factorize
else:
    factorize = lazy_module("autoreg.network.surgery.factorize")


@method(
    "low_rank",
    kind="structure",
    phrase=("low_rank", "rank {rank}"),
    catalogue=[152, 154],
    paper=Paper(
        "Accelerating Very Deep Convolutional Networks for Classification and Detection",
        "Zhang et al.",
        2015,
        arxiv="1505.06798",
        checked="full rank gives the layer, and the error of a truncation is the tail of the singular values (Eckart, "
        "Young, 1936); values from the weights alone, not from the fit to a layer's responses that the paper adds",
    ),
)
class LowRank(Structure):
    """Factors linear layers and convolutions by their singular values, where two thin layers have fewer weights.

    A convolution becomes one with the same kernel and `rank` outputs, followed by a 1×1 convolution. Grouped and
    transposed convolutions, tied weights and layers that other code reads stay dense. The factors come from the
    trained weights when the sparsify phase begins, and are trained in it.
    """

    rank: Any = slot("rank", "budget", "energy", "greedy", default="budget", doc="how many dimensions each layer keeps")
    changes_shape: ClassVar[bool] = True

    def resolve(self, network: Network, reference: DenseReference) -> Levels:
        """Ranks of the layers that have fewer weights when they are factored; the others stay as they are.

        Raises:
            InputError: no layer can be factored.
        """
        layers = {layer.name: layer for layer in network.layers if layer.factorable}
        if not layers:
            raise InputError(
                f"sparsity: low_rank factors linear layers and convolutions, but the task {network.task!r} has none "
                "that is not grouped, transposed, tied or read by other code; use another structure"
            )
        shapes = [LayerShape(name, tuple(layer.weight_shape)) for name, layer in layers.items()]
        ranks = self.rank.ranks(shapes, reference.spectra(list(layers)) if "spectra" in self.rank.needs else None)
        return Levels(
            ranks={layer.name: ranks[layer.name] for layer in shapes if saves(layer.shape, ranks[layer.name])}
        )

    def apply(self, state: S, target: Target, fraction: float = 1.0) -> S:
        """Put two layers in place of those that have a rank, all at once.

        Where only some parameters are trained, those of a layer hand that on to its factors.
        """
        ranks = target.levels.ranks
        if not ranks or state.ranks:
            return state
        factorize.factorize(state.model, ranks)
        trained = None if state.trained is None else _factors_trained(state.trained, ranks)
        return state.with_model(state.model, ranks=dict(ranks), trained=trained)


def _factors_trained(trained: Sequence[str], ranks: Mapping[str, int]) -> tuple[str, ...]:
    names: set[str] = set()
    for parameter in trained:
        layer, _, kind = parameter.rpartition(".")
        first, second = factor_names(layer)
        if layer not in ranks:
            names.add(parameter)
        else:
            names |= {f"{second}.{kind}"} if kind == "bias" else {f"{first}.{kind}", f"{second}.{kind}"}
    return tuple(sorted(names))
