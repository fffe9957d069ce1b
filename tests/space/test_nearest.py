"""The config of a space that is nearest to a recipe from outside."""

from __future__ import annotations

from autoreg.space import Space
from autoreg.space.nearest import nearest

SPACE = Space.from_dict(
    {
        "quantization": {"quantizer": ["rtn", "lsq"], "weights": {"bits": [4, 8, 32]}, "activations": {"bits": 32}},
        "sparsity": ["none", {"channel": {"amount": {"uniform": [0.1, 0.9]}}}],
    }
)
DENSE = {
    "quantization": {"quantizer": "rtn", "weights": {"bits": 32}, "activations": {"bits": 32}},
    "sparsity": "none",
}


def test_a_config_of_the_space_stays_as_it_is() -> None:
    inside = {**DENSE, "sparsity": {"channel": {"amount": 0.5}}}
    assert nearest(SPACE, inside, DENSE) == inside


def test_what_the_space_has_is_taken_and_the_rest_is_that_of_the_base() -> None:
    bits = {"quantizer": "rtn", "weights": {"bits": 8}, "activations": {"bits": 8}}
    found = nearest(SPACE, {"quantization": bits, "sparsity": {"channel": {"amount": 0.95}}}, DENSE)
    assert found == {**DENSE, "quantization": {**bits, "activations": {"bits": 32}}}, "neither 8 nor 0.95 is allowed"
    assert found in SPACE


def test_there_is_none_without_a_base_in_the_space() -> None:
    assert nearest(SPACE, DENSE, {**DENSE, "sparsity": "weight"}) is None
