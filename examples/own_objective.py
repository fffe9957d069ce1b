"""An objective of one's own: the lasso on scikit-learn's diabetes data, error against the number of features."""

from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso
from sklearn.model_selection import KFold

import autoreg

SPACE = {"alpha": {"log": [1e-3, 10]}, "degree": [1, 2], "scale": ["none", "unit"]}


def objective(config: dict[str, Any], trial: autoreg.Trial) -> dict[str, float]:
    x, y = load_diabetes(return_X_y=True)
    x = x if config["scale"] == "none" else x / np.linalg.norm(x, axis=0)
    x = np.hstack([x**power for power in range(1, config["degree"] + 1)])
    errors, used = [], 0
    for step, (train, held_out) in enumerate(KFold(4).split(x)):
        model = Lasso(alpha=config["alpha"], max_iter=5000).fit(x[train], y[train])
        errors.append(float(np.mean((model.predict(x[held_out]) - y[held_out]) ** 2)))
        used = max(used, int(np.count_nonzero(model.coef_)))
        trial.report(step, {"error": float(np.mean(errors)), "features": used})
        if trial.should_stop():
            break
    return {"error": float(np.mean(errors)), "features": used + 1}


def main(trials: int = 30) -> autoreg.Study:
    study = autoreg.search(objective, SPACE, {"error": "min", "features": "min"}, trials=trials)
    print(study.front[["number", "error", "features"]])
    return study


if __name__ == "__main__":
    main()
