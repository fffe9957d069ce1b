"""A clock whose seconds hold as much work on a busy machine as on a quiet one.

Processor time (`time.process_time`) leaves out the moments in which others run, but not that they slow a core down:
caches and the two threads of a core are shared, and the same training may take half as long again. So a fixed piece
of training, the probe, is timed every few seconds, and what passes in between is counted in units of it. One second of
this clock is the work that a core does in a second when the probe takes it `PROBE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

PROBE_SECONDS = 0.03
"""What the probe took on the machine of the committed results, two virtual cores busy with other work."""
EVERY = 5.0
"""Processor seconds between two probes."""
LAST = 3
"""Probes whose median is the present speed."""


class WorkClock:
    """Counts work in seconds; probes and what is `uncounted` cost nothing.

    Args:
        raw: processor seconds.
        probe: the fixed piece of work; returns nothing.
    """

    def __init__(self, raw: Callable[[], float] = time.process_time, probe: Callable[[], None] | None = None) -> None:
        self._raw, self._probe = raw, probe or training_probe()
        self._took: list[float] = []
        self._seconds = self._processor = self._at = self._looked = 0.0
        self._idle = 0
        for _ in range(LAST):
            self._look()

    def __call__(self) -> float:
        """Seconds of work since the clock was made."""
        if self._idle == 0:
            self._count()
            if self._raw() - self._looked > EVERY:
                self._look()
        return self._seconds

    @contextlib.contextmanager
    def uncounted(self) -> Iterator[None]:
        """What is done within is not counted."""
        self._count()
        self._idle += 1
        try:
            yield
        finally:
            self._idle -= 1
            self._at = self._raw()

    @property
    def processor(self) -> float:
        """Processor seconds that were counted, as they passed."""
        return self._processor

    @property
    def speed(self) -> float:
        """How fast the machine was, by the mean of all probes: 1 where they took `PROBE_SECONDS`."""
        return PROBE_SECONDS / statistics.mean(self._took)

    def _count(self) -> None:
        now = self._raw()
        passed = now - self._at if self._idle == 0 else 0.0
        self._processor += passed
        self._seconds += passed * PROBE_SECONDS / statistics.median(self._took[-LAST:])
        self._at = now

    def _look(self) -> None:
        begun = self._raw()
        self._probe()
        self._at = self._looked = self._raw()
        self._took.append(self._at - begun)


def training_probe() -> Callable[[], None]:
    """A few steps of a small convolutional network: the kind of work that is counted."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blocks = [
            layer
            for inputs in (1, 16, 16, 16)
            for layer in (nn.Conv2d(inputs, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        ]
        model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        x, y = torch.randn(32, 1, 8, 12), torch.arange(32) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)

    def probe() -> None:
        for _ in range(10):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    probe()  # the first one sets things up
    return probe
