"""Densities of nested coats, the kept fractions: their schedules, and how many weights a density keeps.

A density is always the kept fraction. Source: docs/specification.md, "Coat index". Apart from the layers
(:mod:`golden.supermask`), so that models of cost need no PyTorch.
"""

from __future__ import annotations

import math
import statistics

from arch.config import MAX_COATS

RELEASED_DENSITIES = (.3, .0788, .0315)
"""Kept fractions of the released three-coat ResNet-50 (it removes .7, .9212 and .9685)."""

SCHEDULES = ("uniform", "linear", "released")
"""How the densities of further coats follow from the first one, see :func:`schedule_densities`."""

CONVENTIONS = ("released", "edge-popup")
"""How many of n weights a density keeps, see :func:`kept_count`."""


def uniform_densities(first: float, coats: int) -> tuple[float, ...]:
    """The "uniform" schedule: equal steps from ``first`` towards 0, so k_n = first * (coats + 1 - n) / coats."""
    return check_densities(tuple(first * (coats - n) / coats for n in range(coats)))


def linear_densities(first: float, coats: int) -> tuple[float, ...]:
    """The "linear" schedule: thresholds at equal steps from the first one towards the largest |score|.

    The paper does not define it further. Here scores are normal, and what one weight in a million passes stands for the
    largest |score|, so that every layer has the same densities.
    """
    check_densities((first,))
    normal = statistics.NormalDist()
    lowest, largest = (normal.inv_cdf(1 - density / 2) for density in (first, 1e-6))
    thresholds = (lowest + (largest - lowest) * coat / coats for coat in range(1, coats))
    return check_densities((first, *(2 * normal.cdf(-threshold) for threshold in thresholds)))


def schedule_densities(schedule: str, first: float, coats: int) -> tuple[float, ...]:
    """Kept fractions of ``coats`` coats by one of :data:`SCHEDULES`, ``first`` the largest.

    Raises ValueError for values out of range; "released" is one list, of three coats from .3.
    """
    if not 1 <= coats <= MAX_COATS:
        raise ValueError(f"coats must be in 1..{MAX_COATS}, not {coats!r}")
    if not 0 < first <= 1:
        raise ValueError(f"density must be above 0 and at most 1, not {first!r}")
    if schedule == "released":
        if (first, coats) != (RELEASED_DENSITIES[0], len(RELEASED_DENSITIES)):
            raise ValueError(f"schedule released has {len(RELEASED_DENSITIES)} coats at density "
                             f"{RELEASED_DENSITIES[0]}, not {coats} at {first}")
        return RELEASED_DENSITIES
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {schedule!r}")
    return {"uniform": uniform_densities, "linear": linear_densities}[schedule](first, coats)


def check_densities(densities) -> tuple[float, ...]:
    """The densities as a tuple; ValueError unless 1 to 7 fractions with 1 >= k1 > k2 > ... > 0."""
    densities = tuple(float(density) for density in densities)
    if not 1 <= len(densities) <= MAX_COATS:
        raise ValueError(f"densities must name 1 to {MAX_COATS} coats, not {len(densities)}")
    if not all(low < high for high, low in zip((math.nextafter(1, 2), *densities), (*densities, 0))):
        raise ValueError(f"densities must fall from at most 1 and stay above 0, not {densities}")
    return densities


def kept_count(weights: int, density: float, convention: str = "released") -> int:
    """Weights that a coat keeps of ``weights``, evaluated in double precision like the public codes.

    "released" keeps n - 1 - floor((1 - k)(n - 1)), "edge-popup" keeps n - int((1 - k) n): of 36864 at .3 the first
    keeps 11059 and the second 11060.
    """
    if convention == "released":
        return weights - 1 - math.floor((1 - density) * (weights - 1))
    if convention == "edge-popup":
        return weights - int((1 - density) * weights)
    raise ValueError(f"convention must be one of {CONVENTIONS}, not {convention!r}")
