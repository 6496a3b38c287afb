"""The published recipes for COCO: a training step and an evaluation of each, in shapes alone."""

import jax
import pytest

from aimodels.config import load_config
from aimodels.training.assembly import Assembly
from aimodels.training.build import abstract_key


@pytest.mark.parametrize("variant", ["faster_rcnn", "ssd300", "yolov3"])
def test_a_step_of_a_published_recipe(variant):
    pytest.importorskip("pycocotools")  # the extra `detection`
    path = f"experiments/vision/coco_detection.py:{variant}"
    assembly = Assembly(load_config(path, {"training.batch_size": "2"}))
    (state, batch), task, key = assembly.abstract, assembly.task(), abstract_key()
    assert batch["inputs"].shape[0] == 2
    after, metrics = jax.eval_shape(task.train_step, state, batch, key)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(
        lambda leaf: leaf.shape, state
    )
    assert {"loss", "class_loss", "box_loss"} <= set(metrics)
    found = jax.eval_shape(task.predict, state, {"inputs": batch["inputs"]})
    assert found.boxes.shape == (2, task.max_detections, 4)
