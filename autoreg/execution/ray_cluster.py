"""Having Ray running, and quiet: the one that is there, one at an address, or one of our own."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import ray

from autoreg.errors import InputError

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
CONNECT_SECONDS = 10.0


def check(workers: int, cpus: float, gpus: float, address: str | None) -> None:
    """Refuse options of the Ray executor that cannot be meant.

    Raises:
        InputError: The message names option, value and what is allowed.
    """
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
def connected(
    *,
    workers: int = 1,
    address: str | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float = 0.0,
    temp_dir: str | os.PathLike[str] | None = None,
    show_output: bool = False,
    **others: Any,
) -> Iterator[None]:
    """Have Ray running while it is open; a Ray that ran before goes on running.

    Args:
        workers: Trials at a time.
        address: An existing cluster, "HOST:PORT" or "auto"; by default `RAY_ADDRESS`, else Ray on this machine.
        cpus_per_trial: Cores of a trial.
        gpus_per_trial: Share of a GPU for a trial.
        temp_dir: Folder of a Ray that is started here.
        show_output: Whether what objectives print is shown here.
        **others: Options of a run that do not matter here.

    Raises:
        InputError: If an option is wrong, there is no cluster at the address, or this machine has too few GPUs.
    """
    check(workers, cpus_per_trial, gpus_per_trial, address)
    with _silence(), _restored_signals(), _ray(address, workers, cpus_per_trial, gpus_per_trial, temp_dir, show_output):
        yield


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
    _check_reachable(address)
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"address: there is no Ray cluster at {address!r} ({error})") from error
    try:
        found = ray.cluster_resources().get("GPU", 0.0)  # type: ignore[no-untyped-call]
        if address == "local" and gpus > found:
            raise InputError(f"gpus_per_trial: found {gpus:g}; this machine has {found:g} GPUs")
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse an address that accepts no connection, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # "local", "auto", or something that Ray refuses by itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"address: nothing accepts connections at {address!r} ({error})") from error


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
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _restored_signals() -> Iterator[None]:
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
