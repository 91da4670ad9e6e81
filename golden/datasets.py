"""Image sets in the IDX format (LeCun's MNIST files), gzipped or plain, in a folder with the MNIST names.

Fashion-MNIST (Xiao et al. 2017, MIT licence) comes with the Debian package ``dataset-fashion-mnist``.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

_HINT = "Install it with `apt-get install dataset-fashion-mnist`, or name another IDX folder with --data DIR."


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """``images`` uint8 (count, channels, height, width) and ``labels`` int64 (count,)."""

    images: np.ndarray
    labels: np.ndarray

    def require_classes(self, classes: int):
        """Raises ValueError if a label is not in 0..classes - 1."""
        if self.labels.max() >= classes:
            raise ValueError(f"labels must be below {classes}, the network's outputs, not {self.labels.max()}")

    def first(self, count: int) -> ImageSet:
        """The first ``count`` images. Raises ValueError if there are not that many, or none is asked for."""
        if not 1 <= count <= len(self.labels):
            raise ValueError(f"images must be in 1..{len(self.labels)} (that many are there), not {count}")
        return ImageSet(images=self.images[:count], labels=self.labels[:count])


def read_idx(path: Path) -> np.ndarray:
    """Array of unsigned bytes of an IDX file, gzipped when its name ends in .gz. ValueError if it is damaged."""
    path = Path(path)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}). {_HINT}") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes. {_HINT}")
    start = 4 + 4 * data[3]
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], ">u4")) if len(data) >= start else ()
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(data) != expected or len(shape) != data[3]:
        raise ValueError(f"{path} is damaged: {len(data)} bytes where its header asks for {expected}. {_HINT}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()


def _find(folder: Path, stem: str) -> Path:
    for name in (f"{stem}.gz", stem):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder / stem}[.gz] is missing. {_HINT}")


def load(folder: Path = FASHION_MNIST, split: str = "train") -> ImageSet:
    """The "train" or "test" split of an IDX folder. FileNotFoundError or ValueError say what to do."""
    prefixes = {"train": "train", "test": "t10k"}
    if split not in prefixes:
        raise ValueError(f"split must be one of {tuple(prefixes)}, not {split!r}")
    folder = Path(folder)
    images = read_idx(_find(folder, f"{prefixes[split]}-images-idx3-ubyte"))
    labels = read_idx(_find(folder, f"{prefixes[split]}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(f"{folder}: {split} images {images.shape} and labels {labels.shape} do not match. {_HINT}")
    if len(labels) == 0:
        raise ValueError(f"{folder}: the {split} split holds no images. {_HINT}")
    return ImageSet(images=images[:, None], labels=labels.astype(np.int64))
