"""The Ray executor on a cluster of several nodes, one of which is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from autoreg.errors import InputError
from autoreg.execution import run, session
from tests.execution.gates import Gate, wait_at
from tests.execution.objectives import make_engine, simple

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@pytest.fixture
def cluster(home: Path) -> Iterator[Any]:
    """A head without room for trials, and two nodes with room for one each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    yield cluster, {node.node_id: node for node in nodes}
    cluster.shutdown()  # type: ignore[no-untyped-call]


def test_a_lost_node_fails_the_trial_it_had_and_the_search_goes_on_elsewhere(cluster: Any) -> None:
    """Trials 0 and 1 wait for each other, then the node of trial 1 is lost."""
    ray_cluster, nodes = cluster
    engine = make_engine(6)
    options: dict[str, Any] = {"executor": "ray", "address": ray_cluster.address, "workers": 2}
    lose = lambda places: ray_cluster.remove_node(nodes[places[1]], allow_graceful=False)  # noqa: E731
    with session(**options), Gate(2, lose, holds=frozenset({1})) as gate:
        address = gate.address

        def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
            wait_at(address, trial.number, ray.get_runtime_context().get_node_id())
            return simple(config, trial)

        run(engine, objective, **options)
        places = dict(gate.arrived)
        again = make_engine(3)
        run(again, simple, **options)
    assert not ray.is_initialized()
    assert [record.state for record in again.trials()] == ["COMPLETE"] * 3
    records = engine.trials()
    assert [record.state for record in records] == ["COMPLETE", "FAIL", *["COMPLETE"] * 4]
    assert str(records[1].reason).startswith("worker died, or its node was lost: The actor")
    assert places[0] != places[1]
    assert {places[n] for n in range(2, 6)} == {places[0]}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "nothing accepts connections at '127.0.0.1:1'"),
        ("nonsense", "there is no Ray cluster at 'nonsense'"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(home: Path, address: str, message: str) -> None:
    engine = make_engine(1)
    with pytest.raises(InputError, match=message):
        run(engine, simple, executor="ray", address=address)
    assert engine.calls == []
