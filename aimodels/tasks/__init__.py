"""What is learned: a model with its loss and its metrics."""

# Short name in a config -> class.
TASKS: dict[str, str] = {
    "classification": "aimodels.tasks.classification:Classification",
    "regression": "aimodels.tasks.regression:Regression",
}
