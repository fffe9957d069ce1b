"""Carries a recipe out on a task: phases, hooks, checkpoints, evaluation."""
