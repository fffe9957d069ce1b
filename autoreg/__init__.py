"""AutoML search over regularization and sparsity: accuracy against FLOPs, latency and size."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoreg.engine.log.trial import Trial
    from autoreg.errors import AutoregError, InputError, NoTrialError, StudyError
    from autoreg.methods import method
    from autoreg.space import Space
    from autoreg.study.api import search
    from autoreg.study.study import Study
    from autoreg.tasks import Task
    from autoreg.trial.attach import attach
    from autoreg.trial.narrow_own import narrow

__all__ = [
    "AutoregError",
    "InputError",
    "NoTrialError",
    "Space",
    "Study",
    "StudyError",
    "Task",
    "Trial",
    "attach",
    "method",
    "narrow",
    "search",
]

_HOMES = {
    "AutoregError": "autoreg.errors",
    "InputError": "autoreg.errors",
    "NoTrialError": "autoreg.errors",
    "Space": "autoreg.space",
    "Study": "autoreg.study.study",
    "StudyError": "autoreg.errors",
    "Task": "autoreg.tasks",
    "Trial": "autoreg.engine.log.trial",
    "attach": "autoreg.trial.attach",
    "method": "autoreg.methods",
    "narrow": "autoreg.trial.narrow_own",
    "search": "autoreg.study.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # imported when first used, so that the command line starts at once
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'autoreg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
