"""The contract test of tasks, for whoever writes one.

With pytest::

    from autoreg.tasks.testing import TaskContract

    class TestMyTask(TaskContract):
        def make(self):
            return MyTask(size=100)
"""

from __future__ import annotations

import pickle
from typing import Any

import torch

from autoreg.tasks.base import TRAINING_DEFAULTS, Task
from autoreg.tasks.batches import batch_size_of, call_model, tensors_of
from autoreg.tasks.check import check_task
from autoreg.tasks.fingerprint import initial_model, weights_digest
from autoreg.tasks.splits import named_sets, seed_loaders


class TaskContract:
    """Laws that every task keeps; a subclass says in `make` how the task is made, small.

    Each method raises `AssertionError` or `autoreg.InputError` when its law is broken. No data are
    downloaded and nothing is trained to the end, so that it takes seconds.
    """

    def make(self) -> Task:
        """A new task; two calls must give equal ones."""
        raise NotImplementedError

    def test_task_passes_its_check(self) -> None:
        """Splits, model, loss and metrics are as `check_task` wants them."""
        check_task(self.make())

    def test_equal_tasks_have_equal_fingerprints(self) -> None:
        """Two tasks made alike share caches, in this process and after a journey to another."""
        one, two = self.make(), self.make()
        assert one.fingerprint() == two.fingerprint()
        assert len(one.fingerprint()) == 64

    def test_model_is_a_function_of_the_seed(self) -> None:
        """The same seed gives the same initial weights."""
        task = self.make()
        assert weights_digest(initial_model(task, 3)) == weights_digest(initial_model(task, 3))

    def test_batches_are_a_function_of_the_seed(self) -> None:
        """Loaders that are seeded alike give the same batches in the same order, at each call."""
        task = self.make()
        assert first_batches(task, 5) == first_batches(task, 5)
        assert first_batches(task, 5) == first_batches(self.make(), 5)

    def test_global_generator_is_left_alone(self) -> None:
        """Example input and fingerprint do not move torch's global generator."""
        before = torch.get_rng_state()
        task = self.make()
        task.example_input()
        task.latency_input()
        task.fingerprint()
        assert torch.equal(before, torch.get_rng_state())

    def test_example_is_one_sample_and_latency_input_is_many(self) -> None:
        """The example has batch size 1, what is timed has `latency_batch`; the model takes both."""
        task = self.make()
        model = initial_model(task).eval()
        for inputs, size in ((task.example_input(), 1), (task.latency_input(), task.latency_batch)):
            assert batch_size_of(inputs) == size
            with torch.no_grad():
                call_model(model, inputs)

    def test_training_defaults_are_complete(self) -> None:
        """A recipe that says nothing can be filled in."""
        assert set(TRAINING_DEFAULTS) <= set(self.make().training)

    def test_a_step_of_training_lowers_the_loss(self) -> None:
        """Some steps of gradient descent on one batch lower its loss: outputs depend on what is trained."""
        task = self.make()
        model = initial_model(task).train()
        loader = task.loaders(task.folds[0])["train"]
        seed_loaders(loader, 0)
        batch = next(iter(loader))
        optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-3)
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = task.loss(call_model(model, task.inputs(batch)), batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
        assert min(losses[1:]) < losses[0]

    def test_task_travels_to_another_process(self) -> None:
        """Pickled, it is the same task."""
        task = self.make()
        there = pickle.loads(pickle.dumps(task))
        assert there.parameters() == task.parameters()
        assert there.fingerprint() == task.fingerprint()


def first_batches(task: Task, seed: int, count: int = 3) -> list[list[Any]]:
    """The values of the first batches of every split of the first fold, with all randomness from `seed`."""
    values = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loaders = task.loaders(task.folds[0])
        seed_loaders(loaders, seed)
        for split in sorted(loaders):
            for loader in named_sets(loaders[split]).values():
                batches = [batch for batch, _ in zip(loader, range(count), strict=False)]
                values.append([tensor.tolist() for batch in batches for tensor in tensors_of(batch)])
    return values
