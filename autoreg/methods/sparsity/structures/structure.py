"""What a structure is asked, and what it is handed for its answer. Loads without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after
from autoreg.methods.discovery import spec_of, to_recipe
from autoreg.network.shapes import ChannelGroup, LayerProfile, Profile
from autoreg.sensitivity.curve import Curve
from autoreg.sensitivity.ladder import Ladder

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Network:
    """The network for which levels are resolved.

    Attributes:
        task: name of its task, for messages.
        profile: of the dense network.
        dropped: blocks that are gone.
    """

    task: str
    profile: Profile
    dropped: tuple[str, ...] = ()

    @cached_property
    def layers(self) -> tuple[LayerProfile, ...]:
        """The weighted layers that stand."""
        return tuple(layer for layer in self.profile.layers if layer.block not in self.dropped)

    @cached_property
    def groups(self) -> tuple[ChannelGroup, ...]:
        """The coupled channel groups that stand, also those of which nothing can go."""
        return tuple(groups_after(self.profile, self.dropped))


class DenseReference(Protocol):
    """The trained dense network, as far as rules look at it."""

    def scores(self, criterion: Any) -> Mapping[str, Tensor]:
        """Scores of every weight by a criterion, by layer; shaped like the weights."""

    def spectra(self, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Squared singular values of the weights of layers, largest first, by layer; float64."""

    def curves(self, subject: CurveSubject, dropped: tuple[str, ...] = ()) -> Mapping[str, Curve]:
        """Distortion of the outputs over the levels of one layer or group, by name."""


class CurveSubject(Protocol):
    """What distortion curves can be measured of: a structure, or the bits of weights.

    `criterion` scores the weights; `measured` is plain data of all that the curves depend on, beside the network.
    """

    @property
    def criterion(self) -> Any:
        """Scores the weights."""

    @property
    def measured(self) -> tuple[str, Mapping[str, Any]]:
        """A name, and the settings that the curves depend on."""

    def ladder(self, network: Network, scores: Mapping[str, Tensor], example_input: Any) -> Ladder:
        """The levels of every layer, and what brings one layer to one of them.

        Args:
            network: the dense one, without the blocks that are dropped.
            scores: of every weight by the criterion, by layer.
            example_input: what the network is called with.
        """


class Sparsifiable(Protocol):
    """A model and the record of what was done to it (`autoreg.trial.model_state.ModelState`)."""

    @property
    def model(self) -> nn.Module:
        """The network as it stands."""

    @property
    def removed(self) -> Mapping[str, tuple[int, ...]]:
        """By channel group, the channels that are gone, in the numbering of the full network."""

    @property
    def ranks(self) -> Mapping[str, int]:
        """Ranks of the layers in whose place two stand."""

    @property
    def trained(self) -> tuple[str, ...] | None:
        """Names of the parameters that are trained, None for all."""

    def with_model(self, model: nn.Module, **changes: Any) -> Self:
        """The same record around a model, with some of its entries changed."""


S = TypeVar("S", bound=Sparsifiable)


@dataclass(frozen=True)
class Target:
    """What a model is brought to.

    Attributes:
        levels: where each layer or group ends.
        profile: of the dense network.
        example_input: what the network is called with.
        score: scores of the weights of a model by the structure's criterion, by layer; small ones go.
    """

    levels: Levels
    profile: Profile
    example_input: Any
    score: Callable[[nn.Module], Mapping[str, Tensor]]


class Structure:
    """A unit in which a network becomes smaller. What it declares loads without torch.

    A structure resolves its amount to levels (`resolve`), brings a model to them (`apply`) and, where it keeps the
    shape of the network, says what does so while the model is trained (`hooks`). What it costs follows from its
    levels (`autoreg.costs.predict`), what files hold from the model that it leaves.
    """

    changes_shape: ClassVar[bool] = False
    """Whether `apply` replaces parameters, so that an optimizer must be built anew."""
    zeros: ClassVar[str] = ""
    """What kind of zeros its masks leave, in a report's words; none where the network becomes smaller instead."""
    curve_settings: ClassVar[tuple[str, ...]] = ()
    """Parameters that distortion curves depend on: amount, allocation and schedule change nothing."""

    if TYPE_CHECKING:
        criterion: Any  # of structures that score weights; a parameter of theirs

    def resolve(self, network: Network, reference: DenseReference) -> Levels:
        """The levels of this structure, all else left dense.

        Raises:
            InputError: the network has nothing of the kind, or a rule lacks what it looks at.
        """
        raise NotImplementedError

    def apply(self, state: S, target: Target, fraction: float = 1.0) -> S:
        """Bring a model `fraction` of the way from dense to its levels, in place.

        Returns:
            The record with what was done; the same object where nothing was to do.
        """
        raise NotImplementedError

    def fraction(self, progress: float) -> float:
        """Share of the way to the levels at `progress` of the sparsify phase, both in [0, 1]."""
        schedule = getattr(self, "schedule", None)
        return 1.0 if schedule is None else float(schedule.fraction(progress))

    def hooks(self, target: Target) -> tuple[Any, ...]:
        """What acts while the model is trained, with the hooks of any method; nothing where the shape changes."""
        return ()

    @classmethod
    def reachable_channels(
        cls, structures: Sequence[Self], groups: Sequence[ChannelGroup]
    ) -> Mapping[str, Iterable[int]]:
        """The numbers of channels that structures of this class can leave, by group: by default, every number.

        These sizes are timed for the latency table; a structure that leaves fewer of them says which.

        Args:
            structures: those of random recipes of a space, at least one.
            groups: the removable groups of the network.
        """
        return {group.id: range(1, group.size + 1) for group in groups}

    @property
    def measured(self) -> tuple[str, Mapping[str, Any]]:
        """Name and settings that distortion curves depend on, as plain data."""
        name = spec_of(self).name
        parameters = to_recipe(self)[name]
        return name, {key: parameters[key] for key in self.curve_settings}
