"""Costs at equal accuracy: along the best networks of each side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from reports.critique.costs import Costs

Point = tuple[float, float]
"""(cost, accuracy)."""


def front(points: Iterable[Point]) -> list[Point]:
    """The points that no cheaper or equally cheap one is as accurate as, by cost ascending."""
    best: list[Point] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or accuracy > best[-1][1]:
            best.append((cost, accuracy))
    return best


def cost_at(points: Iterable[Point], accuracy: float) -> float | None:
    """Cost at which the front of ``points`` reaches ``accuracy``, its logarithm linear between neighbours; that of the
    first point if even that is better, None if no point is as good."""
    best = front(points)
    if accuracy <= best[0][1]:
        return best[0][0]
    for (low, worse), (high, better) in zip(best, best[1:]):
        if accuracy <= better:
            return math.exp(math.log(low) + (accuracy - worse) / (better - worse) * math.log(high / low))
    return None


def ratio(one: Sequence[Costs], other: Sequence[Costs], cost: Callable[[Costs], float], accuracy: float,
          better: float = 0.) -> float | None:
    """What ``one`` side pays for ``accuracy`` over what the ``other`` does; None if either does not reach it.

    With ``better``, as if all networks of the ``one`` side were so many points more accurate.
    """
    paid = [cost_at([(cost(each), each.accuracy + gain) for each in side], accuracy)
            for side, gain in ((one, better), (other, 0.))]
    return None if None in paid else paid[0] / paid[1]


def energy_ratios(one: Sequence[Costs], other: Sequence[Costs], accuracy: float, run: str) -> list[float]:
    """:func:`ratio` of energies of a ``run``, "built", "skipping" or "decoding", within every constant set and DRAM
    cost; none if either does not reach it."""
    def energy(index: int) -> Callable[[Costs], float]:
        return lambda each: getattr(each, run).energy.energies[index].total_pj

    found = [ratio(one, other, energy(index), accuracy) for index in range(len(one[0].built.energy.energies))]
    return [] if None in found else found
