"""Which parameters decided each objective: functional ANOVA on the study, rebuilt in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoreg.report.data.load import StudyData
from autoreg.report.plots.style import MUTED_COLOR, SERIES_COLORS, heading, new_axes, new_figure
from autoreg.report.text.metrics import metric_title

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from matplotlib.figure import Figure


MIN_IMPORTANCE_TRIALS = 12
MAX_IMPORTANCE_TRIALS = 300  # a forest's marginals take seconds beyond that, and no longer change
MAX_IMPORTANCE_BARS = 12


def importances(data: StudyData) -> dict[str, dict[str, float]]:
    """Share of each parameter alone in the variance of each objective's ranks; every objective's shares sum to 1.

    Inactive parameters take their lowest or first value, so that the choice of a method is credited to the
    choice and its strength to the parameter. Functional ANOVA rather than Optuna's default PED-ANOVA, which looks
    at the top tenth alone: with 60 trials that is six, and on known functions it named parameters without effect.
    Objectives without importances (too few trials, no varying parameter) are left out.

    Reference: Hutter, Hoos, Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance",
    ICML 2014.
    """
    from scipy.stats import rankdata

    rows = data.complete
    rows = rows.iloc[:: -(-len(rows) // MAX_IMPORTANCE_TRIALS)] if len(rows) > MAX_IMPORTANCE_TRIALS else rows
    distributions = _distributions(rows, data.parameters)
    if len(rows) < MIN_IMPORTANCE_TRIALS or not distributions:
        return {}
    found = {}
    for objective in data.objectives:
        values = rankdata(rows[objective].to_numpy(dtype=float))
        if values.max() > values.min():
            shares = _shares(_study(rows, distributions, values))
            if shares:
                found[objective] = shares
    return found


def _shares(study: optuna.Study) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=32, max_depth=32, seed=0))
        except (ValueError, RuntimeError):
            return {}
    total = float(sum(found.values()))
    return {str(k): float(v) / total for k, v in found.items()} if total > 0 else {}


def _distributions(rows: pd.DataFrame, parameters: tuple[str, ...]) -> dict[str, Any]:
    """Optuna's distributions over the observed values; parameters that did not vary are left out."""
    import pandas as pd
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for name in parameters:
        values = rows[name].dropna()
        distinct = sorted(values.unique().tolist())
        if len(distinct) < 2:
            continue
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if not numeric or len(distinct) <= 5:
            found[name] = CategoricalDistribution(distinct)
            continue
        low, high = distinct[0], distinct[-1]
        log = low > 0 and high / low >= 50
        kind = IntDistribution if pd.api.types.is_integer_dtype(values) else FloatDistribution
        found[name] = kind(low, high, log=log)
    return found


def _study(rows: pd.DataFrame, distributions: Mapping[str, Any], values: Any) -> optuna.Study:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(direction="minimize")
        finally:
            optuna.logging.set_verbosity(verbosity)
        trials = []
        for (_, row), value in zip(rows.iterrows(), values, strict=True):
            params = {n: _value(row[n], d) for n, d in distributions.items()}
            trials.append(
                optuna.trial.create_trial(params=params, distributions=dict(distributions), value=float(value))
            )
        study.add_trials(trials)
    return study


def _value(value: Any, distribution: Any) -> Any:
    """The value of a parameter; for one that is inactive the lowest or first that it can have."""
    import pandas as pd

    if pd.isna(value):
        return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low
    return value.item() if hasattr(value, "item") else value


def plot_importance(data: StudyData) -> Figure | str:
    """Bars: the parameters that matter most, for each objective side by side."""
    if len(data.complete) < MIN_IMPORTANCE_TRIALS:
        count = len(data.complete)
        return f"Importance of parameters: {MIN_IMPORTANCE_TRIALS} complete trials are needed, there are {count}."
    found = importances(data)
    if not found:
        return "Importance of parameters: no parameter varied."
    weight: dict[str, float] = {}
    for shares in found.values():
        for name, share in shares.items():
            weight[name] = max(weight.get(name, 0.0), share)
    names = sorted(weight, key=lambda n: -weight[n])[:MAX_IMPORTANCE_BARS][::-1]
    figure = new_figure(9.0, 1.5 + 0.3 * len(names))
    first = None
    for i, (objective, shares) in enumerate(found.items(), start=1):
        ax = new_axes(figure, 1, len(found), i)
        if first is None:
            first = ax
        else:
            ax.sharey(first)
            ax.tick_params(labelleft=False)
        ax.barh(
            names, [shares.get(n, 0.0) for n in names], color=SERIES_COLORS[(i - 1) % len(SERIES_COLORS)], height=0.65
        )
        ax.grid(False, axis="y")
        ax.set_xlim(0, max(1e-9, *shares.values()) * 1.08)
        ax.set_xlabel("share of variance", color=MUTED_COLOR)
        heading(ax, metric_title(objective))
    return figure
