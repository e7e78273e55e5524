"""What to put into the holes of a picture before a network that was trained on flat holes sees it."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def fill_flat(pixels: Tensor, hole: Tensor) -> Tensor:
    """A copy of ``pixels`` whose every hole has the mean colour of the pixels around it.

    ``pixels``: ``(C, H, W)``; ``hole``: boolean ``(1, H, W)``, with at least one pixel outside. Holes are told apart by
    4-connected pixels. A smooth surface would be nearer to the truth, but nothing in it tells a network that it is a
    hole; a flat one is what training shows, and is right in the mean where the network leaves it.
    """
    from scipy import ndimage

    marked = hole[0].numpy()
    labels, count = ndimage.label(marked)
    # the pixels around: each takes the label of one hole that it touches
    near = np.where(marked, 0, ndimage.grey_dilation(labels, size=(3, 3)))
    sizes = np.bincount(near.ravel(), minlength=count + 1)
    result = pixels.clone()
    known = ~marked
    for plane, filled in zip(pixels.numpy(), result.numpy(), strict=True):  # the arrays share the tensors' memory
        sums = np.bincount(near.ravel(), plane.ravel(), minlength=count + 1)
        means = np.where(sizes > 0, sums / np.maximum(sizes, 1), plane[known].mean())
        filled[marked] = means[labels[marked]]
    return result
