"""Segments of masks and parameters in plain Python, from the text of docs/specification.md, section 5."""

import zlib


def segmented(beats: list[int], beat_bits: int) -> list[int]:
    """Content as the beats that memory holds: a checksum beat behind every 4096 - beat bytes and behind the rest."""
    width = beat_bits // 8
    per_segment = 4096 // width - 1
    stored = []
    for first in range(0, len(beats), per_segment):
        part = beats[first:first + per_segment]
        stored += [*part, zlib.crc32(b"".join(beat.to_bytes(width, "little") for beat in part))]
    return stored
