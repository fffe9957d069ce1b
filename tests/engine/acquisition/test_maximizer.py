"""Which candidates the maximizer looks at."""

from __future__ import annotations

import itertools

from autoreg.engine import Budget, Engine, Normalizer, Problem, Result, Strategy
from autoreg.engine.acquisition.maximizer import MAX_CHANGES, WIDE_SPACE_PARAMETERS, changed_parameters
from autoreg.space import Space


def screened_distances(parameters: int) -> list[int]:
    """Fewest changes of each screened recipe from one before it, in a space of so many numbers."""
    names = [f"x{k}" for k in range(parameters)]
    space = Space.from_dict({name: {"uniform": [0.0, 1.0]} for name in names})
    objectives = {"error": "min", "flops": "min"}
    problem = Problem(space, objectives, "error", costs=lambda c: {"flops": 1.0 + c["x0"] + c["x1"]})
    scale = Normalizer.from_dense(objectives, {"error": 0.1, "flops": 3.0}, "error", 1.0)
    engine = Engine(problem, normalizer=scale, budget=Budget(trials=24), strategy=Strategy(reevaluate=False))
    while (ask := engine.ask()) is not None:
        error = 0.1 + sum((ask.config[name] - 0.6) ** 2 for name in names) / parameters
        engine.tell(ask.number, Result("COMPLETE", {"error": error}))
    flats = [problem.flat(record.config) for record in engine.trials()]
    sources = [record.source for record in engine.trials()]
    return [
        min(changed_parameters(flats[n], before) for before in flats[:n])
        for n in itertools.compress(range(len(flats)), [source == "screened" for source in sources])
    ]


def test_in_a_wide_space_candidates_are_variants_of_the_front() -> None:
    wide, small = screened_distances(WIDE_SPACE_PARAMETERS + 4), screened_distances(WIDE_SPACE_PARAMETERS - 4)
    assert len(wide) >= 10
    assert max(wide) <= MAX_CHANGES
    assert max(small) > MAX_CHANGES, "in a small space they come from everywhere"


def test_only_parameters_that_both_have_count() -> None:
    none, l1 = {"method": "none", "lr": 0.1}, {"method": "l1", "method.l1.strength": 2.0, "lr": 0.1}
    assert changed_parameters(none, l1) == 1
    assert changed_parameters(l1, {**l1, "method.l1.strength": 3.0, "lr": 0.2}) == 2
