"""The Ray executor: trials spread by Ray Tune over the actors of a machine or a cluster."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune

from autoreg.errors import InputError
from autoreg.execution.base import EngineLike, Evaluate, Progress, pack
from autoreg.execution.interrupts import Interrupts
from autoreg.execution.ray_driver import Driver, EngineCallback, EngineScheduler, EngineSearcher
from autoreg.execution.ray_trial import ObjectiveActor, Shipment

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "1000000",
}
"""Environment in which Ray neither prints nor writes what nobody reads, and leaves Ctrl-C to us."""


def run_ray(
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
    worker the engine hears the same as from `run_local`. A trial whose actor or node is lost is FAIL. Ray is started
    if it is not running, and only then shut down at the end.

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
        KeyboardInterrupt: On Ctrl-C or SIGTERM; trials that were told are kept, the others stay untold.
    """
    _check(workers, cpus_per_trial, gpus_per_trial, address)
    threads = threads_per_trial or max(1, int(cpus_per_trial))
    shipped = Shipment(
        pack(evaluate),
        tuple(os.path.abspath(folder) for folder in sys.path),
        str(Path.cwd()),
        threads,
        None if cache is None else os.path.abspath(cache),
    )
    progress = Progress(engine, on_event)
    with (
        _silence(),
        _kept_signals(),
        _ray(address, workers, cpus_per_trial, gpus_per_trial, temp_dir, show_output),
        _folder(storage) as at,
    ):
        with Interrupts() as interrupts:
            driver = Driver(engine, ray.put(shipped), progress, interrupts)
            _fit(driver, workers, {"cpu": cpus_per_trial, "gpu": gpus_per_trial}, at)
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
            reuse_actors=True,  # else every trial starts a Python process: 2 s instead of 0.1
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


def _check(workers: int, cpus: float, gpus: float, address: str | None) -> None:
    if not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers: found {workers!r}; allowed are whole numbers from 1")
    if not cpus > 0:
        raise InputError(f"cpus_per_trial: found {cpus!r}; allowed are numbers above 0")
    if not gpus >= 0 or (gpus > 1 and gpus != int(gpus)):
        raise InputError(f"gpus_per_trial: found {gpus!r}; allowed are shares from 0 to 1, and whole numbers above")
    if address is not None and address.startswith("ray://"):
        raise InputError(
            f"address: found {address!r}, a Ray client address; the engine must run on a node of the cluster. "
            'There give "auto" or HOST:PORT.'
        )


@contextlib.contextmanager
def _ray(
    address: str | None, workers: int, cpus: float, gpus: float, temp_dir: str | os.PathLike[str] | None, show: bool
) -> Iterator[None]:
    """Have Ray running: the one that is, one at an address, or one of our own that ends with us."""
    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {"log_to_driver": show, "logging_level": logging.ERROR, "configure_logging": False}
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        settings["num_cpus"] = max(os.cpu_count() or 1, math.ceil(workers * cpus))
        settings["include_dashboard"] = False
        if temp_dir is not None:
            settings["_temp_dir"] = os.path.abspath(temp_dir)
    try:
        ray.init(address=address, **settings)
    except ConnectionError as error:
        raise InputError(f"address: there is no Ray cluster at {address!r} ({error})") from error
    try:
        found = ray.cluster_resources().get("GPU", 0.0)  # type: ignore[no-untyped-call]
        if address == "local" and gpus > found:
            raise InputError(f"gpus_per_trial: found {gpus:g}; this machine has {found:g} GPUs")
        yield
    finally:
        ray.shutdown()


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


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep Ray's log lines from people: what matters of them is in the engine's log, as reasons."""
    environment = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.air")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
        for name, value in environment.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Give back the signals that Ray and Tune take for themselves."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
