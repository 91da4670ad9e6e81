"""The activation memory as a ring: addresses wrap around at its end. A span is (address, bytes); its address is taken
modulo the ring."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]
"""(address, bytes)."""


def gaps(spans: Iterable[Span], ring: int) -> list[Span]:
    """What no span covers, lowest address first; a gap may wrap around. Nothing covered: one gap, the whole ring."""
    ordered = sorted([(address % ring, size) for address, size in spans if size > 0])
    if not ordered:
        return [(0, ring)]
    # What reaches over the end covers the beginning.
    reach = begin = max(0, max([address + size for address, size in ordered]) - ring)
    free = []
    for address, size in ordered:
        if address > reach:
            free.append((reach, address - reach))
        end = address + size
        if end > reach:
            reach = end
    if reach < ring:
        if begin == 0 and free and free[0][0] == 0:
            free.append((reach, ring - reach + free.pop(0)[1]))
        else:
            free.append((reach, ring - reach))
    return free


def overlap(one: Span, other: Span, ring: int) -> int | None:
    """The last byte of ``other``, counted from its beginning, that ``one`` covers; None if they are apart."""
    if one[1] <= 0 or other[1] <= 0:
        return None
    distance = (one[0] - other[0]) % ring
    if distance < other[1]:
        last = distance + one[1] - 1
    elif distance + one[1] > ring:
        last = distance + one[1] - ring - 1
    else:
        return None
    return min(last, other[1] - 1)


def fit(free: list[Span], size: int, alignment: int, pointer: int, ring: int) -> int | None:
    """Address of ``size`` bytes in ``free``: the first place from ``pointer`` on, once around the ring."""
    best = None
    for address, room in free:
        inside = (pointer - address) % ring
        for start in (address + inside, address) if inside < room else (address,):
            aligned = -(-start // alignment) * alignment
            if aligned + size <= address + room:
                place = aligned % ring
                distance = (place - pointer) % ring
                if best is None or distance < best[0]:
                    best = distance, place
    return None if best is None else best[1]
