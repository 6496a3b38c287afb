"""Average precision: against figures found by hand, whatever the batches and their padding."""

import builtins

import jax
import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.modules.suppression import Detections
from aimodels.tasks.detection_metrics import average_precision_of


@pytest.fixture(autouse=True)
def _needs_pycocotools():
    pytest.importorskip("pycocotools")  # the extra `detection`


def batch(found, wanted, mask=None, size=4):
    """A batch's keywords from, image by image, (score, class, box) and (class, box)."""
    images = len(wanted)
    detections = Detections(
        boxes=np.zeros((images, size, 4), np.float32),
        scores=np.zeros((images, size), np.float32),
        classes=np.zeros((images, size), np.int32),
        mask=np.zeros((images, size), bool),
    )
    boxes, classes = np.zeros((images, size, 4), np.float32), np.zeros((images, size), np.int32)
    box_mask = np.zeros((images, size), bool)
    for image in range(images):
        for place, (score, kind, box) in enumerate(found[image]):
            detections.boxes[image, place], detections.scores[image, place] = box, score
            detections.classes[image, place], detections.mask[image, place] = kind, True
        for place, (kind, box) in enumerate(wanted[image]):
            boxes[image, place], classes[image, place] = box, kind
            box_mask[image, place] = True
    given = {"detections": detections, "boxes": boxes, "classes": classes, "box_mask": box_mask}
    return given if mask is None else {**given, "mask": np.array(mask)}


A, B = (10, 10, 50, 50), (60, 60, 100, 90)
LOW = (10, 10, 50, 38)  # IoU 0.7 with A
WANTED = [[(0, A), (1, B)], [(0, B)], []]
FOUND = [[(0.9, 0, A), (0.8, 1, B)], [(0.7, 0, A), (0.6, 0, B)], [(0.3, 2, A)]]


def figures(*batches, num_classes=3):
    """Those of the metric, merged batch by batch and computed under jit and vmap as in a run."""
    metric = average_precision_of(num_classes)
    parts = [metric.from_model_output(**each) for each in batches]
    total = jax.tree.map(lambda x: np.asarray(x)[None], parts[0])
    for part in parts[1:]:
        part = jax.tree.map(lambda x: np.asarray(x)[None], part)
        total = jax.vmap(lambda a, b: a.merge(b))(total, part)
    computed = jax.jit(jax.vmap(lambda metric: metric.compute()))(total)
    return {name: np.asarray(value)[0] for name, value in computed.items()}


def test_figures_found_by_hand():
    computed = figures(batch(FOUND, WANTED))
    # Class 0 has 2 targets; ranked: hit, miss, hit. At recall up to 0.5 (51 of 101 places) the
    # precision is 1, above it 2/3. Class 1 is perfect, class 2 has no target.
    first = (51 + 50 * 2 / 3) / 101
    np.testing.assert_allclose(computed["AP/class"], [first, 1, np.nan], rtol=1e-5)
    for name in ("mAP", "mAP@0.5", "mAP@0.75"):
        np.testing.assert_allclose(computed[name], (first + 1) / 2, rtol=1e-5)
    assert np.isnan(computed["mAP/large"])
    np.testing.assert_allclose(computed["recall@1"], (0.5 + 1) / 2)
    np.testing.assert_allclose(computed["recall@100"], 1)


def test_the_threshold_of_iou_is_that_of_the_name():
    computed = figures(batch([[(0.9, 0, LOW)]], [[(0, A)]]))
    np.testing.assert_allclose([computed["mAP@0.5"], computed["mAP@0.75"]], [1, 0])
    # 0.5, 0.55, 0.6, 0.65; and 0.7, which the IoU equals but for rounding, may go either way
    assert 0.39 < computed["mAP"] < 0.51


def test_batches_and_padding_change_nothing():
    whole = figures(batch(FOUND, WANTED))
    parts = [
        batch(FOUND[:2], WANTED[:2]),
        batch([FOUND[2], FOUND[0]], [WANTED[2], WANTED[0]], mask=[True, False]),
    ]
    assert jax.tree.map(float, {k: v for k, v in whole.items() if v.ndim == 0}) == pytest.approx(
        {k: float(v) for k, v in figures(*parts).items() if v.ndim == 0}, nan_ok=True
    )


def test_nothing_found_and_nothing_to_find():
    computed = figures(batch([[], [], []], WANTED))
    assert computed["mAP"] == computed["mAP@0.5"] == 0
    np.testing.assert_array_equal(computed["AP/class"], [0, 0, np.nan])
    computed = figures(batch(FOUND, [[], [], []]))
    assert all(np.isnan(value).all() for value in computed.values())


def test_without_pycocotools_the_extra_is_named(monkeypatch):
    imported = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"pip install 'aimodels\[detection\]'"):
        average_precision_of(17)
