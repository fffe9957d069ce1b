"""A recipe resolved to method instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from autoreg.costs.formulas import FLOAT_BITS
from autoreg.costs.levels import Granularity
from autoreg.methods.discovery import all_from_recipe, from_recipe
from autoreg.methods.quantization.uniform import UniformQuantizer
from autoreg.methods.sparsity.structures.structure import Structure


@dataclass(frozen=True)
class BoundQuantization:
    """The section `quantization` of a recipe.

    Attributes:
        weight_bits: one number, or by pattern of layers.
        activation_bits: the same of the inputs of layers.
        granularity: one scale per `tensor` or per output `channel` of a weight.
        symmetric: whether weights have zero point 0.
        act_symmetric: whether inputs have.
    """

    weight_bits: Any
    activation_bits: Any
    granularity: Granularity
    symmetric: bool
    act_symmetric: bool
    _slots: Mapping[str, Any]

    @cached_property
    def quantizer(self) -> UniformQuantizer:
        """How values are brought to few bits."""
        found: UniformQuantizer = from_recipe("quantizer", self._slots["quantizer"])
        return found

    @cached_property
    def allocation(self) -> Any:
        """How the bits of weights are divided among layers."""
        return from_recipe("allocation", self._slots["allocation"])

    @property
    def rounds(self) -> bool:
        """Whether any weight or input is held in fewer bits than a float."""
        return any(lowest_bits(bits) < FLOAT_BITS for bits in (self.weight_bits, self.activation_bits))


@dataclass(frozen=True)
class BoundNetwork:
    """The section `network` of a recipe.

    Attributes:
        width: part of the channels that the network has, one number or by pattern of layers.
    """

    width: Any
    _slots: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What of it says which blocks and channels the network has."""
        return repr((self.width, self._slots["blocks"]))

    @cached_property
    def blocks(self) -> Any:
        """Which droppable blocks the network has."""
        return from_recipe("blocks", self._slots["blocks"])

    @cached_property
    def inherit(self) -> Any:
        """Which channels of a trained network it starts from."""
        return from_recipe("inherit", self._slots["inherit"])


@dataclass(frozen=True)
class BoundRecipe:
    """A complete recipe, its methods made when they are first asked for: a check of costs needs few of them.

    Attributes:
        config: the recipe.
        quantization: its section of that name.
        training: its section of that name, plain data.
    """

    config: Mapping[str, Any]
    quantization: BoundQuantization
    training: Mapping[str, Any]

    @cached_property
    def regularizers(self) -> tuple[Any, ...]:
        """The regularizers, in the order of their names."""
        return all_from_recipe("regularizer", self.config["regularizer"])

    @cached_property
    def noises(self) -> tuple[Any, ...]:
        """The noises, in the order of their names."""
        return all_from_recipe("noise", self.config["noise"])

    @cached_property
    def reparam(self) -> Any:
        """How weights are computed from what is trained, or None."""
        return from_recipe("reparam", self.config["reparam"])

    @cached_property
    def teacher(self) -> Any:
        """What the network learns from beside the targets, or None."""
        return from_recipe("teacher", self.config.get("teacher", "none"))

    @cached_property
    def averaging(self) -> Any:
        """The average of weights that is the result of what trains, or None."""
        return from_recipe("averaging", self.config.get("averaging", "none"))

    @cached_property
    def structure(self) -> Structure | None:
        """The structure in which the network becomes smaller, or None."""
        found: Structure | None = from_recipe("structure", self.config["sparsity"])
        return found

    @cached_property
    def train(self) -> Any:
        """The selector of the parameters that are trained."""
        return from_recipe("train", self.config["layers"]["train"])

    @cached_property
    def drop(self) -> Any:
        """The selector of the blocks that are dropped, or None."""
        return from_recipe("drop", self.config["layers"]["drop"])

    @cached_property
    def network(self) -> BoundNetwork | None:
        """What the network is from the start; None where the recipe does not say, and it is as the task builds it."""
        section = self.config.get("network")
        return None if section is None else BoundNetwork(section["width"], section)

    @property
    def starts_trained(self) -> bool:
        """Whether the recipe starts from trained weights."""
        return bool(self.training["start"] == "pretrained")

    @property
    def in_training(self) -> tuple[Any, ...]:
        """The methods that act while the recipe's own training runs, in their order."""
        reparam = () if self.reparam is None else (self.reparam,)
        teacher = () if self.teacher is None else (self.teacher,)
        return (*reparam, *self.noises, *self.regularizers, *teacher)


def bind(recipe: Mapping[str, Any] | BoundRecipe) -> BoundRecipe:
    """Bind a complete recipe to the methods that it names, once; a bound one is returned as it is.

    Example:
        >>> from autoreg.methods import registry
        >>> from autoreg.space import complete_recipe
        >>> bind(complete_recipe({"regularizer": {"l1": {"strength": 1.0}}}, registry())).regularizers
        (L1(strength=1.0),)
    """
    if isinstance(recipe, BoundRecipe):
        return recipe
    section = recipe["quantization"]
    weights, activations = section["weights"], section["activations"]
    quantization = BoundQuantization(
        weights["bits"],
        activations["bits"],
        granularity=weights["granularity"],
        symmetric=weights["symmetric"],
        act_symmetric=activations["symmetric"],
        _slots={"quantizer": section["quantizer"], "allocation": weights["allocation"]},
    )
    return BoundRecipe(recipe, quantization, recipe["training"])


def lowest_bits(bits: Any) -> int:
    """The fewest bits of a recipe's number or of its patterns."""
    return min(map(int, bits["per_layer"].values())) if isinstance(bits, Mapping) else int(bits)
