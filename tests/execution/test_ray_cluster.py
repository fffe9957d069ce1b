"""The Ray executor on a cluster of several nodes, one of which is lost."""

from __future__ import annotations

import os
import time

import pytest
import ray

from autoreg.errors import InputError
from autoreg.execution import run, session
from tests.execution.objectives import make_engine, simple

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@pytest.fixture
def cluster(home):
    """A head without room for trials, and two nodes with room for one each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    yield cluster
    cluster.shutdown()


def test_a_lost_node_fails_the_trial_it_had_and_the_search_goes_on_elsewhere(cluster, tmp_path):
    def objective(config, trial):
        (tmp_path / f"{trial.number}.part").write_text(ray.get_runtime_context().get_node_id())
        os.replace(tmp_path / f"{trial.number}.part", tmp_path / str(trial.number))
        until = time.monotonic() + 60
        while trial.number == 1 or (trial.number == 0 and not (tmp_path / "lost").exists()):
            assert time.monotonic() < until, "nothing was lost"
            time.sleep(0.05)
        return simple(config, trial)

    def lose(engine):
        if (tmp_path / "0").exists() and (tmp_path / "1").exists() and not (tmp_path / "lost").exists():
            node = next(n for n in cluster.nodes if n.node_id == (tmp_path / "1").read_text())
            cluster.remove_node(node, allow_graceful=False)
            (tmp_path / "lost").touch()

    engine = make_engine(6)
    options = {"executor": "ray", "address": cluster.address, "workers": 2}
    with session(**options):
        run(engine, objective, **options, on_event=lose)
        again = make_engine(3)
        run(again, simple, **options)
    assert not ray.is_initialized()
    assert [row["state"] for row in again.trials()] == ["COMPLETE"] * 3
    rows = engine.trials()
    assert [row["state"] for row in rows] == ["COMPLETE", "FAIL", *["COMPLETE"] * 4]
    assert rows[1]["reason"].startswith("worker died, or its node was lost: The actor")
    kept = (tmp_path / "0").read_text()
    assert kept != (tmp_path / "1").read_text()
    assert {(tmp_path / str(n)).read_text() for n in range(2, 6)} == {kept}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "nothing accepts connections at '127.0.0.1:1'"),
        ("nonsense", "there is no Ray cluster at 'nonsense'"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(home, address, message):
    engine = make_engine(1)
    with pytest.raises(InputError, match=message):
        run(engine, simple, executor="ray", address=address)
    assert engine.calls == []
