"""Which parameters decided each objective: PED-ANOVA on the study, rebuilt in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoreg.report.front import title
from autoreg.report.style import MUTED, SERIES, heading, new_axes, new_figure, sentence_figure

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from matplotlib.figure import Figure

    from autoreg.report.load import StudyData

LEAST_TRIALS = 12
LEAST_TOP = 5
SHOWN = 12


def importances(data: StudyData) -> dict[str, dict[str, float]]:
    """Share of each parameter in reaching the best values of each objective; every objective's shares sum to 1.

    The best are the top tenth of the complete trials, or more where a tenth is fewer than five. Objectives whose
    importance cannot be told (too few trials, no varying parameter) are left out.

    Reference: Watanabe, Bansal, Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
    Arbitrary Subspaces", IJCAI 2023, arXiv:2304.10255.
    """
    rows = data.complete
    distributions = _distributions(rows, data.parameters)
    if len(rows) < LEAST_TRIALS or not distributions:
        return {}
    found = {}
    for objective, direction in data.objectives.items():
        values = rows[objective].to_numpy(dtype=float) * (1.0 if direction == "min" else -1.0)
        if values.max() > values.min():
            shares = _shares(_study(rows, distributions, values))
            if shares:
                found[objective] = shares
    return found


def _shares(study: optuna.Study) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    top = max(0.1, LEAST_TOP / len(study.trials))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=top))
        except (ValueError, RuntimeError):
            return {}
    total = sum(found.values())
    return {str(k): v / total for k, v in found.items()} if total > 0 else {}


def _distributions(rows: pd.DataFrame, parameters: tuple[str, ...]) -> dict[str, Any]:
    """Optuna's distributions over what was seen; parameters that did not vary are left out."""
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
    import pandas as pd

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
            params = {n: row[n] for n in distributions if not pd.isna(row[n])}
            trials.append(
                optuna.trial.create_trial(
                    params={n: v.item() if hasattr(v, "item") else v for n, v in params.items()},
                    distributions={n: distributions[n] for n in params},
                    value=float(value),
                )
            )
        study.add_trials(trials)
    return study


def plot_importance(data: StudyData) -> Figure:
    """Bars: the parameters that matter most, for each objective side by side."""
    if len(data.complete) < LEAST_TRIALS:
        return sentence_figure(f"Importance of parameters: {len(data.complete)} complete trials are too few; at least {LEAST_TRIALS} are needed.")
    found = importances(data)
    if not found:
        return sentence_figure("Importance of parameters: no parameter varied enough to tell.")
    weight: dict[str, float] = {}
    for shares in found.values():
        for name, share in shares.items():
            weight[name] = max(weight.get(name, 0.0), share)
    names = sorted(weight, key=lambda n: -weight[n])[:SHOWN][::-1]
    figure = new_figure(9.0, 1.3 + 0.3 * len(names))
    first = None
    for i, (objective, shares) in enumerate(found.items(), start=1):
        ax = new_axes(figure, 1, len(found), i)
        if first is None:
            first = ax
        else:
            ax.sharey(first)
            ax.tick_params(labelleft=False)
        ax.barh(names, [shares.get(n, 0.0) for n in names], color=SERIES[(i - 1) % len(SERIES)], height=0.65)
        ax.grid(False, axis="y")
        ax.set_xlim(0, max(1e-9, *shares.values()) * 1.08)
        ax.set_xlabel("share", color=MUTED)
        heading(ax, title(objective))
    return figure
