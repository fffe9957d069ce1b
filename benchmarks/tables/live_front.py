"""The front of the live surrogate's truth, which stands for the whole space since nobody can enumerate it.

    python -m benchmarks.tables.live_front

seeks it once, with a fixed seed, and keeps its configs in `data/live-front.json`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy is imported

import numpy as np  # noqa: E402

from autoreg.engine.samplers.mutation import crossover, mutate  # noqa: E402
from autoreg.errors import InputError  # noqa: E402
from autoreg.files import write_whole  # noqa: E402
from benchmarks.tables.live_space import DENSE, DIGEST, space  # noqa: E402
from benchmarks.tables.live_surrogate import Surrogate, read  # noqa: E402
from benchmarks.tables.live_trials import FILE  # noqa: E402
from benchmarks.tables.staircase import hypervolume, staircase  # noqa: E402
from benchmarks.tables.table import Config  # noqa: E402

FRONT = FILE.with_name("live-front.json")
DRAWN, VARIED, ROUND = 10_000, 50_000, 2_000
"""Even draws, then variations and crossings of the front so far, in rounds."""


def seek_front(surrogate: Surrogate, drawn: int = DRAWN, varied: int = VARIED, seed: int = 0) -> list[Config]:
    """The front of truth over random draws, then over variations (1 to 3 parameters) and crossings of the front so far.

    Prints the hypervolume of the tight measure after each round, so that one sees whether more would have helped.
    """
    rng, where = np.random.default_rng([0xF407, seed]), space()
    corner = float(np.log(surrogate.cost(DENSE))), float(surrogate.truths([DENSE])[0]) + surrogate.tolerance
    front: list[tuple[float, float, Config]] = []
    done = 0
    while done < drawn + varied:
        configs: list[Config] = []
        flats = [where.flatten(config) for _, _, config in front]
        while len(configs) < ROUND:
            if done < drawn:
                config = where.random(rng)
            else:
                first, second = flats[int(rng.integers(len(flats)))], flats[int(rng.integers(len(flats)))]
                config = (
                    crossover(where, first, second, rng)
                    if rng.random() < 0.3
                    else mutate(where, first, rng, int(rng.integers(1, 4)))
                )
            configs.append(config)
        costs = [surrogate.cost(config) for config in configs]
        pool = [*front, *zip(costs, surrogate.truths(configs).tolist(), configs, strict=True)]
        steps = staircase([c for c, _, _ in pool], [e for _, e, _ in pool])
        on_front = set(zip(*(part.tolist() for part in steps), strict=True))
        front = list({part[:2]: part for part in pool if part[:2] in on_front}.values())
        done += ROUND
        surrogate.known.clear()
        area = hypervolume(np.log([c for c, _, _ in front]), [e for _, e, _ in front], corner)
        print(f"{done:,}: {len(front)} on the front, hypervolume {area:.5f}", flush=True)
    return [config for _, _, config in sorted(front, key=lambda part: part[0])]


def read_front(path: Path = FRONT) -> list[Config]:
    """Configs of the front that stands for the whole space; their truth is asked of the surrogate anew.

    Raises:
        InputError: there are none, or they are of another space.
    """
    if not path.is_file():
        raise InputError(f"{path.name}: not found; make it with python -m benchmarks.tables.live_front")
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["digest"] != DIGEST:
        raise InputError(f"{path.name}: is of another live space ({found['digest']}); expected {DIGEST}")
    return list(found["configs"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=Path, default=FILE, help="file of the trials")
    parser.add_argument("--into", type=Path, default=FRONT, help="file of the front")
    given = parser.parse_args(arguments)
    configs = seek_front(Surrogate(read(given.trials), []))
    text = ",\n".join(json.dumps(config, separators=(",", ":")) for config in configs)
    write_whole(given.into, f'{{"digest":"{DIGEST}","configs":[\n{text}\n]}}\n'.encode())


if __name__ == "__main__":
    main()
