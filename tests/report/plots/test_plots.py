"""What the pictures are drawn from: known answers, not pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.report.data.hypervolume import front_mask, normalizer_of, random_curve, search_curve
from autoreg.report.data.load import StudyData
from autoreg.report.data.predictor_scores import PredictorScore, predictor_scores
from autoreg.report.plots.front import metric_pairs, plot_pair, thin
from autoreg.report.plots.importance import importances
from autoreg.report.plots.layers import layer_cells, layer_names, plot_layers
from autoreg.report.plots.style import log_ticks, tick_text
from tests.report.conftest import LAYERS, write_study

MakeStudy = Callable[..., Path]


def test_a_front_mask_knows_directions() -> None:
    """(1, 5) and (2, 9) are on the front of min and max, (3, 7) is dominated; twins both stay."""
    values = np.array([[1.0, 5.0], [2.0, 9.0], [3.0, 7.0], [1.0, 5.0]])
    assert front_mask(values, ("min", "max")).tolist() == [True, True, False, True]
    assert front_mask(np.zeros((0, 2)), ("min", "min")).tolist() == []


def test_pairs_are_all_objectives_and_recorded_costs_against_quality(make_study: MakeStudy) -> None:
    """Cost stands across, quality up."""
    pairs = metric_pairs(StudyData.load(make_study(30)))
    assert pairs == [
        ("flops", "error"),
        ("latency_ms", "error"),
        ("flops", "latency_ms"),
        ("effective_flops", "error"),
        ("bops", "error"),
        ("bytes", "error"),
    ]


def test_a_pair_shows_every_trial_that_has_both_numbers(make_study: MakeStudy) -> None:
    """Dominated, stopped and front trials are each drawn as often as there are."""
    data = StudyData.load(make_study(30))
    figure = plot_pair(data, "flops", "error")
    counts: dict[str, int] = {}
    lines = figure.axes[0].lines
    for line in lines:
        counts[str(line.get_marker())] = counts.get(str(line.get_marker()), 0) + np.size(line.get_xdata())
    drawn = counts["x"] + counts.get("^", 0) + counts["o"] + counts["D"]
    assert drawn >= len(data.trials) - 3  # all but the failed ones
    front = sum(np.size(x.get_xdata()) for x in lines if x.get_label() == "on the front of all objectives")
    assert front == len(data.front) - 1  # the dense network is a diamond
    assert figure.axes[0].get_xscale() == "log"


def test_hypervolume_never_falls_and_ends_at_that_of_the_observed_front(make_study: MakeStudy) -> None:
    """The last value is the hypervolume of the front alone, on the scale of dense cost and chance."""
    folder = make_study(30, final=True)
    (folder / "final.json").unlink()
    data = StudyData.load(folder)
    scale = normalizer_of(data)
    assert scale is not None
    curve = search_curve(data, scale)
    assert (np.diff(curve.hypervolume) >= 0).all()
    assert curve.hypervolume[-1] == pytest.approx(
        scale.hypervolume(data.front[["error", "flops", "latency_ms"]].to_numpy())
    )
    assert curve.epochs is not None
    assert curve.epochs[-1] == data.trials["epochs_run"].sum()
    arm = random_curve(data, scale)
    assert arm is not None
    assert len(arm.hypervolume) == 30


def test_the_scale_that_the_study_fixed_is_used(make_study: MakeStudy) -> None:
    """study.json's normalizer comes before any that could be made here."""
    axis = {"direction": "min", "ideal": 0.0, "reference": 0.5, "log": False}
    fixed = {"error": axis, "flops": axis | {"reference": 9e6}, "latency_ms": axis}
    scale = normalizer_of(StudyData.load(make_study(3, normalizer=fixed)))
    assert scale is not None
    assert scale.to_dict() == fixed


def test_importance_finds_the_parameter_that_decides(tmp_path: Path) -> None:
    """Of four parameters, one decides each objective: it takes most of the variance, and shares sum to 1."""
    rng = np.random.default_rng(0)
    events = []
    for n in range(60):
        config: dict[str, Any] = {
            "a": rng.uniform(),
            "b": rng.uniform(),
            "c": str(rng.choice(["p", "q"])),
            "d": int(rng.integers(1, 9)),
        }
        metrics = {"loss": config["a"] ** 2 + 0.01 * rng.uniform(), "size": config["d"] * (1 + 0.01 * config["b"])}
        events.append({"event": "ask", "trial": n, "config": config, "source": "random", "seed": 0, "costs": {}})
        events.append({"event": "tell", "trial": n, "state": "COMPLETE", "metrics": metrics, "info": {}})
    data = StudyData.load(write_study(tmp_path, events, {"objectives": {"loss": "min", "size": "min"}}))
    found = importances(data)
    assert found["loss"]["a"] > 0.8
    assert found["size"]["d"] > 0.8
    assert sum(found["loss"].values()) == pytest.approx(1)


def test_importance_says_nothing_of_few_trials(make_study: MakeStudy) -> None:
    """Below twelve complete trials there is no answer."""
    assert importances(StudyData.load(make_study(8))) == {}


def test_layers_show_the_retained_share_of_the_full_shape(make_study: MakeStudy) -> None:
    """Retained weights are shape ratio times density; of dropped layers none, of the dense trial all."""
    data = StudyData.load(make_study(30))
    assert layer_names(data) == tuple(name for name, *_ in LAYERS)
    assert all(
        c.retained == 1 and not c.bits and not c.channels
        for c in layer_cells(data, data.state.records[0].info.layers).values()
    )
    full = {name: shape for name, _, shape, _ in LAYERS}
    for record in data.state.complete():
        for layer in record.info.layers:
            cell = layer_cells(data, record.info.layers)[layer.name]
            share = np.prod(layer.shape) / np.prod(full[layer.name]) * layer.density
            assert cell.retained == pytest.approx(0.0 if layer.dropped else share)
            assert cell.dropped == layer.dropped
            if not layer.dropped and layer.shape[0] < full[layer.name][0]:
                assert cell.channels == f"{layer.shape[0]}/{full[layer.name][0]}"


def test_two_layers_of_low_rank_are_shown_as_the_layer_in_whose_place_they_stand(tmp_path: Path) -> None:
    """8 to 16 channels, 3×3, at rank 4: 4 · (72 + 16) of 1152 weights, whether or not a trial has the layer whole."""

    def row(name: str, shape: list[int], **more: Any) -> dict[str, Any]:
        return {"name": name, "shape": shape, "density": 1.0, "weight_bits": 8, "activation_bits": 8, **more}

    factors = [row("c.0", [4, 8, 3, 3], factor_of="c"), row("c.1", [16, 4, 1, 1], factor_of="c", density=0.5)]
    head = row("fc", [10, 16])
    for number, trials in enumerate(([factors], [factors, [row("c", [16, 8, 3, 3])]])):
        events: list[dict[str, Any]] = []
        for n, layers in enumerate(trials):
            events.append({"event": "ask", "trial": n, "config": {}, "source": "random", "seed": 0, "costs": {}})
            metrics = {"loss": float(n), "size": 1.0 - n}
            info = {"layers": [*layers, head]}
            events.append({"event": "tell", "trial": n, "state": "COMPLETE", "metrics": metrics, "info": info})
        folder = tmp_path / str(number)
        data = StudyData.load(write_study(folder, events, {"objectives": {"loss": "min", "size": "min"}}))
        assert layer_names(data) == ("c", "fc")
        cell = layer_cells(data, data.state.records[0].info.layers)["c"]
        assert cell.retained == pytest.approx((4 * 72 + 4 * 16 * 0.5) / 1152)
        assert (cell.channels, cell.bits) == ("rank 4", "8/8")
        assert layer_cells(data, data.state.records[0].info.layers)["fc"].retained == 1.0
        assert not isinstance(plot_layers(data), str)


def test_predictions_are_judged_by_rank_and_coverage(tmp_path: Path) -> None:
    """Of four predictions in perfect order, three within their bounds: tau 1, coverage 75 %, two trusted."""
    events = []
    for n, (seen, low, high) in enumerate([(0.1, 0.0, 0.2), (0.2, 0.1, 0.3), (0.3, 0.2, 0.4), (0.9, 0.3, 0.5)]):
        prediction = {"error": 0.1 * (n + 1), "low": low, "high": high, "trials": 9, "trusted": n >= 2}
        events.append(
            {
                "event": "ask",
                "trial": n,
                "config": {"x": n},
                "source": "tpe",
                "seed": 0,
                "costs": {},
                "predicted": prediction,
            }
        )
        events.append({"event": "tell", "trial": n, "state": "COMPLETE", "metrics": {"error": seen}, "info": {}})
    data = StudyData.load(write_study(tmp_path, events, {"objectives": {"error": "min"}}))
    (score,) = predictor_scores(data)
    assert score == PredictorScore("error", 4, score.tau, 0.75, 2)
    assert score.tau == pytest.approx(1.0)


def test_a_study_with_one_objective_is_drawn_too(tmp_path: Path) -> None:
    """There is no pair to draw, and the page is made all the same."""
    from autoreg.report.write import write_report

    events = []
    for n in range(14):
        events.append({"event": "ask", "trial": n, "config": {"x": n / 14}, "source": "tpe", "seed": 0, "costs": {}})
        events.append({"event": "tell", "trial": n, "state": "COMPLETE", "metrics": {"loss": (n - 6) ** 2}, "info": {}})
    folder = write_study(tmp_path / "s", events, {"objectives": {"loss": "min"}})
    write_report(folder)
    assert StudyData.load(folder).front["number"].tolist() == [6]
    assert not list((folder / "plots").glob("front_*"))


def test_thinning_keeps_the_order_and_the_limit(make_study: MakeStudy) -> None:
    """Every n-th row stays."""
    rows = StudyData.load(make_study(30)).trials
    assert len(thin(rows, 10)) == 10
    assert thin(rows, 10)["number"].tolist() == list(range(0, 30, 3))
    assert len(thin(rows, 100)) == 30


def test_ticks_cover_the_values_and_can_be_read() -> None:
    """Within two decades 1, 2, 5; over many only powers of ten; labels are short."""
    assert [t for t in log_ticks(1000, 50_000) if 1000 <= t <= 50_000] == pytest.approx(
        [1000, 2000, 5000, 10_000, 20_000, 50_000]
    )
    assert [t for t in log_ticks(1, 1e5) if 1 <= t <= 1e5] == pytest.approx([1, 10, 100, 1000, 10_000, 1e5])
    assert (tick_text(0.05), tick_text(200), tick_text(1_500_000), tick_text(0)) == ("0.05", "200", "1.5M", "0")


def test_pictures_leave_no_figure_behind(make_study: MakeStudy) -> None:
    """Nothing of matplotlib's global state is touched: no figure is known to pyplot afterwards."""
    import matplotlib.pyplot as plt

    from autoreg.report.plots.write import write_plots

    folder = make_study(12)
    write_plots(StudyData.load(folder), folder / "plots")
    assert plt.get_fignums() == []
    assert json.loads((folder / "study.json").read_text())["name"] == "digits"
