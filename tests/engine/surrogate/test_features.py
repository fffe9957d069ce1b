"""Encoded configs as columns: gaps filled, and told apart from values."""

from __future__ import annotations

import numpy as np
import pytest

from autoreg.engine.surrogate.features import FeatureMap


def test_inactive_parameters_stand_at_their_centre_beside_an_indicator() -> None:
    features = FeatureMap.of(np.array([[0.0, 0.2], [1.0, np.nan], [1.0, 0.4]]))
    assert features(np.array([[1.0, np.nan]])) == pytest.approx(np.array([[1 / 3, 0.0, 0.5]]))


def test_log_costs_are_scaled_to_the_deviation_of_a_uniform_range() -> None:
    encoded = np.array([[0.2, 1.0], [0.4, 3.0], [0.9, 8.0]])
    columns = FeatureMap.of(encoded, costs=1)(encoded)
    assert columns[:, 1].std() == pytest.approx(1 / np.sqrt(3), abs=0.01)
    assert columns[:, 0] == pytest.approx(2 * (encoded[:, 0] - 0.5))
