"""The Ray executor: trials spread by Ray Tune over the actors of a machine or a cluster."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune

from autoreg.execution.base import EngineLike, Evaluate, Progress, pack
from autoreg.execution.interrupts import Interrupts
from autoreg.execution.ray_cluster import check, connected
from autoreg.execution.ray_driver import Driver, EngineCallback, EngineScheduler, EngineSearcher
from autoreg.execution.ray_trial import ObjectiveActor, Shipment

__all__ = ["connected", "run_ray"]


def run_ray(  # many arguments, long: the options of the executor, each described
    engine: EngineLike,
    evaluate: Evaluate,
    *,
    workers: int = 1,
    address: str | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float = 0.0,
    storage: str | os.PathLike[str] | None = None,
    on_event: Callable[[Any], object] | None = None,
    threads_per_trial: int | None = None,
    temp_dir: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    show_output: bool = False,
) -> None:
    """Drive an engine with Ray Tune until it asks no more.

    An actor takes one trial after the other; an objective waits at each report for the engine's decision, so with one
    worker the engine gets the same calls as from `run_local`. A trial whose actor or node is lost is FAIL. Ray is
    started if it is not running, and only then shut down at the end.

    Args:
        engine: What to drive.
        evaluate: The objective; it goes to each actor once.
        workers: Trials at a time, at least 1; fewer run while the cluster has no room for more.
        address: An existing cluster, "HOST:PORT" or "auto"; by default `RAY_ADDRESS`, else Ray on this machine.
        cpus_per_trial: Cores that Ray sets aside for a trial, more than 0.
        gpus_per_trial: Share of a GPU for a trial, as 0.25; whole ones above 1.
        storage: Folder for what Tune writes about a run, which nothing reads; by default a temporary one.
        on_event: Called as `on_event(engine)` a few times a second at most, and at the end.
        threads_per_trial: CPU threads of numerical libraries; by default the cores of a trial, at least 1.
        temp_dir: Folder of a Ray that is started here, for its sessions and sockets; its path must be short.
        cache: Folder that `trial.cached` shares between actors; None keeps values in each one's memory.
        show_output: Whether what objectives print is shown here; else it is in Ray's log files only.

    Raises:
        InputError: If an argument is wrong, there is no cluster at the address, or an actor cannot load the objective.
        WorkerError: If actors die before they begin.
        KeyboardInterrupt: On Ctrl-C or SIGTERM; trials with a result are stored, the others get none.
    """
    check(workers, cpus_per_trial, gpus_per_trial, address)
    threads = threads_per_trial or max(1, int(cpus_per_trial))
    shipped = Shipment(
        pack(evaluate),
        tuple(os.path.abspath(folder) for folder in sys.path),
        str(Path.cwd()),
        threads,
        None if cache is None else os.path.abspath(cache),
    )
    progress = Progress(engine, on_event)
    here = connected(
        workers=workers,
        address=address,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        temp_dir=temp_dir,
        show_output=show_output,
    )
    with here, _folder(storage) as folder:
        with Interrupts() as interrupts:
            driver = Driver(engine, ray.put(shipped), progress, interrupts)
            _fit(driver, workers, {"cpu": cpus_per_trial, "gpu": gpus_per_trial}, folder)
            interrupts.check()
        if driver.error is not None:
            raise driver.error
    progress(now=True)


def _fit(driver: Driver, workers: int, resources: dict[str, float], folder: str) -> None:
    tuner = tune.Tuner(
        tune.with_resources(ObjectiveActor, {name: share for name, share in resources.items() if share > 0}),
        tune_config=tune.TuneConfig(
            search_alg=EngineSearcher(driver),
            scheduler=EngineScheduler(driver),
            num_samples=-1,
            max_concurrent_trials=workers,
            reuse_actors=True,  # else every trial starts a Python process: 2 s instead of 0.03
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=folder,
            verbose=0,
            callbacks=[EngineCallback(driver)],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )
    try:
        tuner.fit()
    except Exception:
        if not driver.halting:  # Tune's own trouble, not ours
            raise


def _name(trial: Any) -> str:
    return str(trial.trial_id)


@contextlib.contextmanager
def _folder(storage: str | os.PathLike[str] | None) -> Iterator[str]:
    if storage is not None:
        yield os.path.abspath(storage)
        return
    folder = tempfile.mkdtemp(prefix="autoreg-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
