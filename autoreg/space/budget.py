"""When a study stops asking."""

from __future__ import annotations

from dataclasses import dataclass

from autoreg.errors import InputError


@dataclass(frozen=True)
class Budget:
    """When to stop asking: whichever limit is reached first. None is no limit.

    Args:
        trials: Recipes asked for, whatever became of them; baselines count.
        minutes: Time since the study began, pauses between resumptions left out.
        epochs: Epochs run, as trials say in `info.epochs_run`.
    """

    trials: int | None = None
    minutes: float | None = None
    epochs: float | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "minutes", "epochs"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InputError(f"budget: {name} = {value!r}; it must be at least 0, or None for no limit")

    def spent(self, seconds: float, epochs: float) -> str | None:
        """Which limit of work is reached, in words; None while there is some left."""
        if self.minutes is not None and seconds >= 60 * self.minutes:
            return f"the {self.minutes:g} minutes are over"
        if self.epochs is not None and epochs >= self.epochs:
            return f"{epochs:g} of {self.epochs:g} epochs were run"
        return None

    def asked_all(self, asked: int) -> str | None:
        """In words that all trials were asked, once they were."""
        if self.trials is not None and asked >= self.trials:
            return f"all {self.trials} trials were asked"
        return None

    def time_left(self, seconds: float, ended: int) -> float | None:
        """Guess of the seconds that are left after `seconds` and `ended` trials; None where nobody can know."""
        guesses = []
        if self.minutes is not None:
            guesses.append(max(60 * self.minutes - seconds, 0.0))
        if self.trials is not None and ended:
            guesses.append(seconds / ended * max(self.trials - ended, 0))
        return min(guesses) if guesses else None
