"""A real photograph as input for networks that come without a data set.

It is the sample image that Matplotlib installs: Grace Hopper's portrait by the US Navy, in the public domain, 512x600
pixels in colour.
"""

from __future__ import annotations

import numpy as np
from matplotlib import cbook
from PIL import Image

_MODES = {1: "L", 3: "RGB"}


def _crop(size: tuple[int, int], height: int, width: int, number: int) -> tuple[float, float, float, float]:
    """Box (left, top, right, bottom) of view ``number``: the largest centred one, then smaller ones anywhere."""
    scale = min(size[0] / width, size[1] / height)
    share, *place = (1., .5, .5) if number == 0 else np.random.default_rng(number).uniform((.5, 0, 0), 1)
    crop = width * scale * share, height * scale * share
    left, top = ((whole - part) * where for whole, part, where in zip(size, crop, place))
    return left, top, left + crop[0], top + crop[1]


def photographs(shape: tuple[int, int, int], count: int) -> np.ndarray:
    """``count`` views of the photograph, each of ``shape`` (1 or 3 channels, height, width): uint8 (count, c, h, w).

    The first view is the largest centred crop. The others are crops of half to all of its size, and every second one is
    mirrored. View i is the same whatever ``count`` is. Raises ValueError for another number of
    channels, or a count below 1.
    """
    channels, height, width = shape
    if count < 1:
        raise ValueError(f"images must be at least 1, not {count}")
    if channels not in _MODES:
        raise ValueError(f"a photograph has 1 or 3 channels, not {channels}")
    path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    with Image.open(path) as file:
        picture = file.convert(_MODES[channels])
    views = np.empty((count, height, width, channels), np.uint8)
    for number in range(count):
        view = picture.resize((width, height), Image.Resampling.BICUBIC, _crop(picture.size, height, width, number))
        pixels = np.asarray(view).reshape(height, width, channels)
        views[number] = pixels[:, ::-1] if number % 2 else pixels
    return np.ascontiguousarray(views.transpose(0, 3, 1, 2))


def photograph(shape: tuple[int, int, int]) -> np.ndarray:
    """The photograph's largest centred crop, resized to ``shape`` (channels, height, width): uint8 (c, h, w)."""
    return photographs(shape, 1)[0]
