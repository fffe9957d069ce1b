"""BoTorch's qLogNEHVI with the cost as a known output, over a pool of candidates.

Ament et al., "Unexpected improvements to expected improvement for Bayesian optimization", 2023, arXiv 2310.20708;
Daulton et al., "Parallel Bayesian optimization of multiple noisy objectives", 2021, arXiv 2105.08195.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.exceptions.warnings import BotorchWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.model import ModelList
from botorch.models.transforms.input import FilterFeatures
from botorch.models.transforms.outcome import Standardize
from botorch.sampling.index_sampler import IndexSampler
from botorch.sampling.list_sampler import ListSampler
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.utils.warnings import GPInputWarning

from benchmarks.tables.arms import Base, Task
from benchmarks.tables.table import Config, Floats

EVEN = 400
CLOSE = 400


class QLogNEHVI(Base):
    """A Gaussian process with BoTorch's defaults for the error, the exact log cost beside it.

    The pool is half random draws, half recipes that differ from one of the front in one to three parameters.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        torch.manual_seed(task.seed)
        torch.set_num_threads(1)
        encoded = task.table.encoded
        gaps = np.isnan(encoded).any(axis=0)
        self.x: Floats = np.hstack(
            [np.nan_to_num(encoded), ~np.isnan(encoded[:, gaps]), np.log(task.table.costs)[:, None]]
        )

    def ask(self) -> Config | None:
        """The candidate of the pool with the largest acquisition."""
        with warnings.catch_warnings():
            for kind in (BotorchWarning, GPInputWarning, RuntimeWarning, UserWarning):
                warnings.simplefilter("ignore", kind)
            return self.task.table.configs[self.best()]

    def best(self) -> int:
        """Fit, and choose."""
        x = torch.tensor(self.x[self.rows], dtype=torch.float64)
        y = -torch.tensor(self.y, dtype=torch.float64)[:, None]  # BoTorch maximizes
        width = x.shape[1] - 1
        gp = SingleTaskGP(
            x,
            y,
            outcome_transform=Standardize(m=1),
            input_transform=FilterFeatures(feature_indices=torch.arange(width)),
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
        cost = GenericDeterministicModel(lambda z: -z[..., -1:], num_outputs=1)
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model=ModelList(gp, cost),
            ref_point=[-self.task.corner[1], -self.task.corner[0]],
            X_baseline=x,
            prune_baseline=True,
            cache_root=False,
            sampler=ListSampler(
                SobolQMCNormalSampler(torch.Size([64]), seed=self.task.seed),
                IndexSampler(torch.Size([64]), seed=self.task.seed),
            ),
        )
        pool = self.pool()
        with torch.no_grad():
            wanted = torch.tensor(self.x[pool], dtype=torch.float64)[:, None, :]
            value = torch.cat([acquisition(part) for part in torch.split(wanted, 200)])
        return int(pool[int(value.argmax())])

    def pool(self) -> Floats:
        """Rows that were not tried."""
        table = self.task.table
        even = self.rng.choice(len(table), size=min(EVEN, len(table)), replace=False)
        costs, errors = self.log_costs, self.y
        front = [
            r
            for k, r in enumerate(self.rows)
            if not ((costs <= costs[k]) & (errors <= errors[k]) & ((costs < costs[k]) | (errors < errors[k]))).any()
        ]
        close = []
        for _ in range(CLOSE):
            flat = dict(table.space.flatten(table.configs[front[int(self.rng.integers(len(front)))]]))
            other = table.space.flatten(table.configs[int(self.rng.integers(len(table)))])
            paths = [p for p in flat if p in other]
            for path in self.rng.choice(paths, size=min(int(self.rng.integers(1, 4)), len(paths)), replace=False):
                flat[str(path)] = other[str(path)]
            full = {**other, **flat}
            config = table.space.unflatten(full)
            if table.space.allowed(config):
                close.append(table.row(config))
        return np.setdiff1d(np.concatenate([even, np.array(close, dtype=np.int64)]), self.rows)
