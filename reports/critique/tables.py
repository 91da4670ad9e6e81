"""The tables of docs/critique.md, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reports.critique.costs import TARGETS, Costs
from reports.critique.equal import energy_ratios, ratio
from reports.tables import markdown

LEVELS = (91., 91.5, 92.)
"""Accuracies, in per cent, at which the sides are compared."""

SPREAD = .2
"""Points between the best and the worst of three seeds in docs/accuracy.md."""

SIDES = {"int4": "int4, pruned", "int8": "int8, pruned"}
"""Sides of stored weights and how tables name them."""


def by_side(networks: Sequence[Costs]) -> dict[str, list[Costs]]:
    """The networks of each :attr:`reports.critique.record.Result.side`."""
    sides: dict[str, list[Costs]] = {}
    for network in networks:
        sides.setdefault(network.result.side, []).append(network)
    return sides


def _span(values: Sequence[float], digits: int) -> str:
    low, high = (f"{value:,.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _microjoules(network: Costs, skipping: bool) -> str:
    energy = (network.skipping if skipping else network.built).energy
    return _span([energy.low.total_pj / 1e6, energy.high.total_pj / 1e6], 2)


def networks_table(networks: Sequence[Costs]) -> str:
    """Every network with its costs, by side and accuracy."""
    header = ("weights", "width", "kept", "accuracy, %", "weights, bytes", "model, bytes", "packed file, bytes",
              "traffic, bytes", "MMAC", "cycles", "skipping", "energy, µJ", "skipping")
    rows = []
    for network in sorted(networks, key=lambda each: (each.result.side, each.accuracy)):
        result = network.result
        kept = f"{result.densities[0]:g}" if result.coats else f"{result.kept:g}"
        rows.append((f"{result.coats} coat{'s' * (result.coats > 1)}" if result.coats else result.side,
                     f"{result.width}", kept, f"{network.accuracy:.2f}", f"{network.weight_bytes:,}",
                     f"{network.model_bytes:,}", f"{result.file_bytes:,}" if result.coats else "",
                     f"{network.dram_bytes:,}", f"{network.macs / 1e6:.2f}", f"{network.built.cycles:,}",
                     f"{network.skipping.cycles:,}", _microjoules(network, False), _microjoules(network, True)))
    return markdown(header, rows)


def _area_time(target: str, skipping: bool) -> Callable[[Costs], float]:
    return lambda each: each.area(target) * (each.skipping if skipping else each.built).cycles


def _area_ratio(one: Sequence[Costs], other: Sequence[Costs], accuracy: float, target: str,
                decoder: bool) -> float | None:
    """Of the smallest engines on which each side reaches ``accuracy``; None if either does not."""
    sizes = [min((each.area(target, decoder=decoder) for each in side if each.accuracy >= accuracy), default=None)
             for side in (one, other)]
    return None if None in sizes else sizes[0] / sizes[1]


def ratios_table(networks: Sequence[Costs], levels: Sequence[float] = LEVELS) -> str:
    """What coats pay over what stored weights do, at equal accuracy: above 1, coats pay more."""
    sides = by_side(networks)
    coats = sides["coats"]
    measures: dict[str, Callable[[Sequence[Costs], float], list[float | None]]] = {
        "coded weights, bytes": lambda side, level: [ratio(coats, side, lambda each: each.weight_bytes, level)],
        "model, bytes": lambda side, level: [ratio(coats, side, lambda each: each.model_bytes, level)],
        f"model, coats {SPREAD:g} points better or worse": lambda side, level: [
            ratio(coats, side, lambda each: each.model_bytes, level, better) for better in (SPREAD, 0., -SPREAD)],
        "traffic, bytes": lambda side, level: [ratio(coats, side, lambda each: each.dram_bytes, level)],
        "energy": lambda side, level: energy_ratios(coats, side, level, "built"),
        "energy, zeros skipped": lambda side, level: energy_ratios(coats, side, level, "skipping"),
        "energy, decoders alike": lambda side, level: energy_ratios(coats, side, level, "decoding"),
        "cycles": lambda side, level: [ratio(coats, side, lambda each: each.built.cycles, level)],
        "cycles, zeros skipped": lambda side, level: [ratio(coats, side, lambda each: each.skipping.cycles, level)],
    }
    for target in TARGETS:
        measures |= {
            f"area, {target}": lambda side, level, target=target: [_area_ratio(coats, side, level, target, False)],
            f"area, decoders alike, {target}": lambda side, level, target=target: [
                _area_ratio(coats, side, level, target, True)],
            f"area x time, {target}": lambda side, level, target=target: [
                ratio(coats, side, _area_time(target, False), level)],
            f"area x time, zeros skipped, {target}": lambda side, level, target=target: [
                ratio(coats, side, _area_time(target, True), level)],
        }
    header = ("coats over", *(f"{name}: {level:g} %" for name in SIDES.values() for level in levels))
    rows = []
    for name, measure in measures.items():
        cells = []
        for side in SIDES:
            for level in levels:
                values = measure(sides[side], level)
                known = [value for value in values if value is not None]
                more = " or more" if known and None in values else ""
                cells.append(_span(known, 2) + more if known else "-")
        rows.append((name, *cells))
    return markdown(header, rows)


def areas_table(networks: Sequence[Costs]) -> str:
    """The engines that the networks run on."""
    units = {"ecp5": "LUT", "asap7": "um2"}
    names = {"coats": "coats", **{side: f"{side}, no path from masks to weights" for side in SIDES}}
    engines = {}
    for network in networks:
        side, engine = network.result.side, network.engine
        label = ("1 coat" if network.result.coats == 1 else "2 to 7 coats") if side == "coats" else names[side]
        engines[label] = (f"{engine.weight_bits}", *(f"{network.area(target):,.0f}" for target in TARGETS))
    return markdown(("engine", "weight bits", *(f"{target}, {units[target]}" for target in TARGETS)),
                    [(label, *cells) for label, cells in sorted(engines.items())])


TABLES = {"networks": networks_table, "ratios": ratios_table, "engines": areas_table}
"""Tables by the names of their places in docs/critique.md."""
