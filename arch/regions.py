"""Contents of the memory's input and output regions (docs/specification.md, section 5): every image in whole beats."""

import numpy as np


def pack_input(images: np.ndarray, shape: tuple[int, int, int, int], region_bytes: int) -> bytes:
    """The input region for int8 ``images`` of ``shape`` (batch, height, width, channels). Raises ValueError for
    others."""
    if images.dtype != np.int8 or images.shape != shape:
        raise ValueError(f"images must be int8 of shape {shape}, not {images.dtype} {images.shape}")
    size = region_bytes // len(images)
    return b"".join(image.tobytes().ljust(size, b"\0") for image in images)


def unpack_output(content: bytes, shape: tuple[int, int, int, int], kind: np.dtype | str) -> np.ndarray:
    """Values of ``kind`` and ``shape`` (batch, height, width, channels) from the output region's content."""
    regions = np.frombuffer(content, np.uint8).reshape(shape[0], -1)
    size = int(np.prod(shape[1:])) * np.dtype(kind).itemsize
    return np.ascontiguousarray(regions[:, :size]).view(kind).reshape(shape)
