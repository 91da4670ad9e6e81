"""Sizes of memories, as options give them."""

import math


def kib(text: str | int) -> int:
    """Bytes of a number of KiB. Raises ValueError for what is no finite number, and for parts of a byte."""
    try:
        size = float(text) * 1024
    except ValueError:
        size = math.nan
    if not size.is_integer():
        raise ValueError(f"a size in KiB must be whole bytes, such as 16 or .5, not {text}")
    return int(size)
