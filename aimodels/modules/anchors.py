"""Anchors: the boxes that a detector's predictions are relative to.

They depend on sizes only, so they are NumPy arrays, made once where a step is traced. All go level
after level, row by row, and at each place one after the other: as the outputs of a head
[B, H, W, A · K], reshaped to [B, H · W · A, K].
"""

import math
from collections.abc import Sequence

import numpy as np

from aimodels.errors import UserError
from aimodels.modules.box_coding import YoloPriors

Size = tuple[int, int]


def grid_anchors(
    image_size: Size,
    grid_sizes: Sequence[Size],
    sizes: Sequence[Sequence[float]],
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
) -> np.ndarray:
    """Anchors of a region proposal network on feature maps of several levels: [N, 4].

    Ren et al. 2015, section 3.1.1; a level has sizes of its own in Lin et al. 2017 ("Feature
    pyramid networks"). Around 0 they are rounded to whole pixels, as in Detectron and torchvision.

    Args:
        image_size: (H, W) of the (padded) image.
        grid_sizes: (H, W) of each level's feature map.
        sizes: for each level, square roots of the anchors' areas.
        aspect_ratios: heights over widths.
    """
    _check_levels(grid_sizes, sizes)
    levels = []
    for grid, level_sizes in zip(grid_sizes, sizes, strict=True):
        roots = np.sqrt(np.asarray(aspect_ratios, np.float32))[:, None]
        scales = np.asarray(level_sizes, np.float32)
        widths, heights = (1 / roots * scales).ravel(), (roots * scales).ravel()
        around_zero = np.round(np.stack([-widths, -heights, widths, heights], 1) / 2)
        strides = np.array([size // cells for size, cells in zip(image_size, grid, strict=True)])
        y, x = np.indices(grid) * strides[:, None, None]
        places = np.stack([x, y, x, y], -1).reshape(-1, 1, 4)
        levels.append((places + around_zero).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def default_boxes(
    image_size: Size,
    grid_sizes: Sequence[Size],
    *,
    scales: Sequence[float],
    aspect_ratios: Sequence[Sequence[float]],
    steps: Sequence[int] | None = None,
) -> np.ndarray:
    """SSD's default boxes: [N, 4] (Liu et al. 2016, section 2.2).

    At each place of level k a square of side s_k, one of √(s_k s_{k+1}), and for each aspect ratio
    a box s_k √a wide and s_k / √a high, and the same turned.

    Args:
        image_size: (H, W).
        grid_sizes: (H, W) of each level's feature map.
        scales: s_k as a share of the image, one more than levels.
        aspect_ratios: for each level those above 1.
        steps: pixels between places, a level each; by default the image over the grid.
    """
    _check_levels(grid_sizes, aspect_ratios)
    height, width = image_size
    levels = []
    for level, (rows, columns) in enumerate(grid_sizes):
        scale, larger = scales[level], math.sqrt(scales[level] * scales[level + 1])
        shapes = [(scale, scale), (larger, larger)]
        for ratio in aspect_ratios[level]:
            long, short = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            shapes += [(long, short), (short, long)]
        sides = np.minimum(np.array(shapes), 1) * (width, height)
        step_y, step_x = height / rows, width / columns
        if steps is not None:
            step_y = step_x = steps[level]
        y, x = (np.indices((rows, columns)) + 0.5) * np.array([step_y, step_x])[:, None, None]
        centers = np.stack([x, y], -1).reshape(-1, 1, 2)
        levels.append(np.concatenate([centers - sides / 2, centers + sides / 2], -1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def yolo_priors(
    grid_sizes: Sequence[Size], strides: Sequence[int], sizes: Sequence[Sequence[Size]]
) -> YoloPriors:
    """YOLO's cells and priors of all levels.

    Args:
        grid_sizes: (H, W) of each level.
        strides: pixels of a cell, a level each.
        sizes: for each level the (width, height) of its priors in pixels.
    """
    _check_levels(grid_sizes, sizes)
    corners, priors, sides = [], [], []
    for grid, stride, level_sizes in zip(grid_sizes, strides, sizes, strict=True):
        y, x = np.indices(grid) * stride
        places, count = grid[0] * grid[1], len(level_sizes)
        corners.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), count, axis=0))
        priors.append(np.tile(np.asarray(level_sizes), (places, 1)))
        sides.append(np.full((places * count, 1), stride))
    corner, size, stride = (
        np.concatenate(each).astype(np.float32) for each in (corners, priors, sides)
    )
    return YoloPriors(corner=corner, size=size, stride=stride)  # pyright: ignore


def shape_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of boxes laid on one corner: (width, height) [N, 2] and [M, 2] -> [N, M]."""
    shared = np.minimum(first[:, None], second[None]).prod(-1)
    return shared / (first.prod(-1)[:, None] + second.prod(-1)[None] - shared)


def cluster_anchors(sizes: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Priors for a data set: k-means of its boxes' (width, height) by the distance 1 - IoU.

    Redmon & Farhadi 2017 (YOLO9000), section 2. It ends when no box changes its cluster. The first
    centres are drawn among the boxes, each with a chance in proportion to its distance from those
    before it (Arthur & Vassilvitskii 2007).

    Args:
        sizes: [N, 2] in pixels, both sides > 0.
        count: of clusters.
        seed: of the first centres.

    Returns:
        [count, 2], by growing area.
    """
    sizes = np.asarray(sizes, np.float64)
    distinct = len(np.unique(sizes, axis=0))
    if distinct < count or sizes.min(initial=1) <= 0:
        raise UserError(
            f"cluster_anchors: {count} clusters need as many boxes of different sizes, all above 0;"
            f" got {distinct}, the least side being {sizes.min(initial=np.inf):g}"
        )
    generator = np.random.default_rng(seed)
    centers = sizes[generator.integers(len(sizes))][None]
    while len(centers) < count:
        distance = 1 - shape_iou(sizes, centers).max(1)
        chosen = generator.choice(len(sizes), p=distance / distance.sum())
        centers = np.concatenate([centers, sizes[chosen][None]])
    nearest = None
    while True:
        before, nearest = nearest, shape_iou(sizes, centers).argmax(1)
        if before is not None and (before == nearest).all():
            return centers[np.argsort(centers.prod(1))].astype(np.float32)
        for cluster in np.unique(nearest):
            centers[cluster] = sizes[nearest == cluster].mean(0)


def _check_levels(grid_sizes: Sequence[Size], given: Sequence[Sequence]) -> None:
    if len(grid_sizes) != len(given):
        raise UserError(
            f"anchors: {len(grid_sizes)} feature maps, but sizes or aspect ratios for {len(given)}"
        )
