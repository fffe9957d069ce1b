"""A network, data and a training loop as small as they can be, on which methods are tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.methods.state import State, is_plain


def tiny_model() -> nn.Sequential:
    """A network for 8×8 images of one channel and three classes, with a norm and two convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 3),
    )


def tiny_batches(count: int = 2, size: int = 6) -> list[tuple[Tensor, Tensor]]:
    """Batches (images, labels) for `tiny_model`, always the same."""
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, 1, 8, 8, generator=generator), torch.randint(3, (size,), generator=generator))
        for _ in range(count)
    ]


def forward(model: nn.Module, batch: Any) -> Tensor:
    """Call a model with the first entry of a batch."""
    output: Tensor = model(batch[0])
    return output


def cross_entropy(output: Tensor, batch: Any) -> Tensor:
    """Mean cross entropy against the last entry of a batch."""
    return nn.functional.cross_entropy(output, batch[-1])


def train_steps(
    model: nn.Module,
    methods: Sequence[Any],
    batches: Sequence[Any],
    lr: float = 0.05,
    state_class: type[State] = State,
) -> list[float]:
    """Train on each batch once with all hooks called in order; a smallest example of a training loop.

    Args:
        model: changed in place.
        methods: instances; what they registered is baked when it returns.
        batches: (inputs, labels).
        lr: of SGD.
        state_class: of what the methods see.

    Returns:
        The loss of each step.
    """
    state = state_class(
        model=model,
        steps_per_epoch=len(batches),
        generator=torch.Generator().manual_seed(0),
        forward=forward,
        teacher=_Labels(),
    )
    _call(methods, "prepare", state)
    handles = [module.register_forward_hook(_observer(methods, state, name)) for name, module in state.layers()]
    state.optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    model.train()
    losses = []
    for batch in batches:
        for method in methods:
            batch = method.batch(state, batch) if hasattr(method, "batch") else batch
        state.batch = batch
        gradient = next((method.gradient for method in methods if hasattr(method, "gradient")), None)
        closure = _closure(state, methods)
        loss = gradient(state, closure) if gradient else closure()
        losses.append(float(loss.detach()))
        state.optimizer.step()
        _call(methods, "after_step", state)
        state.step += 1
    for handle in handles:
        handle.remove()
    _call(methods, "finish", state)
    return losses


class _Labels:
    """A teacher that says the labels."""

    truth = 0.5

    def __call__(self, batch: Any) -> Tensor:
        return nn.functional.one_hot(batch[-1], 3).float()


def _call(methods: Sequence[Any], hook: str, state: State) -> None:
    for method in methods:
        if hasattr(method, hook):
            getattr(method, hook)(state)


def _observer(methods: Sequence[Any], state: State, name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        for method in methods:
            if hasattr(method, "observe"):
                method.observe(state, name, module, inputs, output)

    return hook


def _closure(state: State, methods: Sequence[Any]) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        assert state.optimizer is not None
        state.optimizer.zero_grad()
        state.output = forward(state.model, state.batch)
        state.base_loss = cross_entropy(state.output, state.batch)
        total = state.base_loss
        for method in methods:
            total = total + method.loss(state) if hasattr(method, "loss") else total
        total.backward()  # type: ignore[no-untyped-call]
        return total

    return closure


class WatchedState(State):
    """Notes whether a method looks at the length of the phase."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("progress", "epochs"):
            object.__getattribute__(self, "__dict__")["length_read"] = True
        return object.__getattribute__(self, name)


class Watch:
    """Looks at what a method before it keeps: what is no plain data must be what `prepare` left."""

    def __init__(self) -> None:
        self.prepared: dict[Any, Any] = {}
        self.last: dict[Any, Any] = {}
        self.state = State(model=nn.Identity())

    def prepare(self, state: State) -> None:
        """Remember what there was at the beginning."""
        self.state, self.prepared = state, dict(state.scratch)

    def after_step(self, state: State) -> None:
        """Remember what there is now."""
        self.last = dict(state.scratch)

    def check(self, place: str) -> None:
        """Refuse what cannot be stored midway and gone on with, to another length.

        Raises:
            AssertionError: naming the method and what is wrong.
        """
        length_read = self.state.__dict__.get("length_read", False)
        assert not length_read, f"{place}: looks at the length of the phase; declare it with resumable=False"
        for key, value in self.last.items():
            same = value is self.prepared.get(key)
            assert same or is_plain(value), f"{place}: keeps {type(value).__name__} in scratch; declare resumable=False"
