"""How much each pixel counts in a loss: U-Net's weights of the borders between touching objects."""

import numpy as np

# Beyond so many σ the weight of a border is less than a thousandth of w0.
REACH = 4.0


def border_weights(
    objects: np.ndarray, w0: float = 10.0, sigma: float = 5.0, balance: bool = True
) -> np.ndarray:
    """w(x) = w_c(x) + w0 exp(-(d1 + d2)² / 2σ²): Ronneberger et al. 2015, equation 2.

    d1 and d2 are the distances to the nearest object and to the second nearest. The second term is
    of the background alone, as in the authors' figure 3d.

    Args:
      objects: [H, W] object ids, 0 for the background.
      w0: the weight of a border.
      sigma: σ, in pixels.
      balance: w_c is such that objects and background weigh the same in all, and 1 on average (the
        paper's "to balance the class frequencies"); else it is 1.

    Returns:
      [H, W] float32.
    """
    from scipy import ndimage

    inside = objects > 0
    share = float(inside.mean())
    weights = np.ones(objects.shape)
    if balance and 0 < share < 1:
        weights = np.where(inside, 0.5 / share, 0.5 / (1 - share))
    reach = int(np.ceil(REACH * sigma))
    nearest = np.full((2, *objects.shape), np.inf)
    height, width = objects.shape
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if box is None:
            continue
        # Only around the object: further away nothing comes of it.
        rows, columns = (
            slice(max(0, side.start - reach), min(size, side.stop + reach))
            for side, size in zip(box, (height, width), strict=True)
        )
        outside = objects[rows, columns] != number
        distance = np.asarray(ndimage.distance_transform_edt(outside))
        first, second = nearest[0, rows, columns], nearest[1, rows, columns]
        nearest[1, rows, columns] = np.minimum(second, np.maximum(first, distance))
        nearest[0, rows, columns] = np.minimum(first, distance)
    border = w0 * np.exp(-((nearest[0] + nearest[1]) ** 2) / (2 * sigma**2))
    return (weights + np.where(inside, 0.0, border)).astype(np.float32)
