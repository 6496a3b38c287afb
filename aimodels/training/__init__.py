"""State, step, loop, checkpoints, evaluation, optimizers: how a task is trained."""
