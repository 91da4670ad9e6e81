"""Tables of cross-checks in Markdown, from their records alone: what docs/crosschecks.md shows."""

from __future__ import annotations

from reports.tables import markdown

SHARED = {"array": "array", "partial sums": "partial sums", "weight slots": "weight slots",
          "mask buffer": "weight buffer", "activation memory": "activation memory"}
"""Parts that both sides have: our component and the tools' name."""

MEMORIES = {"activation memory": "activation memory", "mask buffer": "weight buffer", "partial sums": "partial sums"}
"""Memories whose accesses are compared: our component and AccelForge's name."""

STREAMS = ("mask_bytes", "load_bytes", "store_bytes")
"""Streams of DRAM that the tools have as well."""

ORDERS = {"engine": "in the engine's order", "search": "in an order of its own"}


def _over(one: float, other: float) -> str:
    """How much more ``one`` is than ``other``."""
    return f"{100 * (one / other - 1):+.1f} %"


def _micro(pj: float) -> str:
    return f"{pj / 1e6:,.2f}"


def _total(rows: list[dict], *keys: str) -> int:
    total = 0
    for row in rows:
        for key in keys:
            row = row[key]
        total += row
    return total


def zigzag_layers(record: dict) -> str:
    """Cycles and bytes by layer, the engine's order of loops."""
    rows = []
    for ours, theirs in zip(record["ours"], record["theirs"]):
        found, moved = theirs["engine"], ours["bytes"]
        rows.append((ours["name"], ours["cycles"], found["cycles"], _over(ours["cycles"], found["cycles"]),
                     theirs["search"]["cycles"], found["cycles_loaded"], moved["mask_bytes"], found["bytes"]["W"],
                     moved["load_bytes"], found["bytes"]["I"], moved["store_bytes"], found["bytes"]["O"]))
    sums = [sum(column) for column in zip(*(row[1:3] + row[4:] for row in rows))]
    rows.append(("all", *sums[:2], _over(*sums[:2]), *sums[2:]))
    return markdown(("layer", "cycles: ours", "ZigZag", "ours over it", "its own order", "ZigZag, filling and draining",
                     "weight bytes: ours", "ZigZag", "input bytes: ours", "ZigZag", "output bytes: ours", "ZigZag"),
                    rows)


def zigzag_energy(record: dict) -> str:
    """µJ by layer of what both sides have, and of DRAM."""
    rows, sums = [], [0.] * 5
    for ours, theirs in zip(record["ours"], record["theirs"]):
        found = theirs["engine"]["pj"]
        values = (sum(ours["pj"][name] for name in SHARED), sum(found[name] for name in SHARED.values()),
                  sum(ours["pj"][name] for name in ours["pj"] if name not in SHARED and name != "dram"),
                  ours["pj"]["dram"], found["dram"])
        sums = [total + value for total, value in zip(sums, values)]
        rows.append((ours["name"], values))
    return markdown(("layer", "shared parts: ours, µJ", "ZigZag, µJ", "ours over it", "parts of ours alone, µJ",
                     "DRAM: ours, µJ", "ZigZag, µJ"),
                    ((name, _micro(values[0]), _micro(values[1]), _over(*values[:2]), *map(_micro, values[2:]))
                     for name, values in (*rows, ("all", sums))))


def _parts(record: dict, tool: str) -> str:
    """µJ of the whole network by part."""
    rows = []
    for name, part in (*SHARED.items(), ("dram", "dram")):
        ours, *found = (_total(record["ours"], "pj", name),
                        *(_total(record["theirs"], order, "pj", part) for order in ORDERS))
        rows.append((part if part != "dram" else "DRAM", _micro(ours), _micro(found[0]), _over(ours, found[0]),
                     _micro(found[1])))
    return markdown(("part", "ours, µJ", f"{tool} {ORDERS['engine']}, µJ", "ours over it",
                     f"{tool} {ORDERS['search']}, µJ"), rows)


def zigzag_parts(record: dict) -> str:
    """As :func:`_parts`."""
    return _parts(record, "ZigZag")


def accelforge_parts(record: dict) -> str:
    """As :func:`_parts`."""
    return _parts(record, "AccelForge")


def scalesim_layers(record: dict) -> str:
    """Cycles by layer beside those of systolic arrays of the same size, and what part of the array they use."""
    multipliers = record["problem"]["columns"] * record["problem"]["lanes"]
    rows = [(ours["name"], ours["macs"], ours["cycles"], theirs["ws"], theirs["os"])
            for ours, theirs in zip(record["ours"], record["theirs"])]
    rows.append(("all", *(sum(column) for column in zip(*(row[1:] for row in rows)))))
    return markdown(("layer", "cycles: ours", "of peak", "SCALE-Sim, weight-stationary", "of peak",
                     "SCALE-Sim, output-stationary", "of peak"),
                    ((name, *(cell for cycles in found
                              for cell in (cycles, f"{100 * macs / cycles / multipliers:.1f} %")))
                     for name, macs, *found in rows))


def accelforge_layers(record: dict) -> str:
    """Cycles, bytes of DRAM, accesses of memories and energy by layer, the engine's order of loops."""
    rows = []
    for ours, theirs in zip(record["ours"], record["theirs"]):
        found = theirs["engine"]
        accesses = [sum(side[part].values()) for pair in MEMORIES.items()
                    for side, part in zip((ours["accesses"], found["accesses"]), pair)]
        rows.append((ours["name"], ours["cycles"], found["cycles"], sum(ours["bytes"][name] for name in STREAMS),
                     sum(found["bytes"].values()), *accesses, sum(ours["pj"][name] for name in SHARED),
                     sum(found["pj"][name] for name in SHARED.values())))
    rows.append(("all", *(sum(column) for column in zip(*(row[1:] for row in rows)))))
    accessed = (cell for name in MEMORIES.values() for cell in (f"{name}, thousand accesses: ours", "AccelForge"))
    return markdown(("layer", "cycles: ours", "AccelForge", "ours over it", "DRAM bytes: ours", "AccelForge", *accessed,
                     "shared parts: ours, µJ", "AccelForge, µJ", "ours over it"),
                    ((name, *found[:2], _over(*found[:2]), *found[2:4],
                      *(f"{count / 1e3:,.1f}" for count in found[4:10]), *map(_micro, found[10:]),
                      _over(*found[10:])) for name, *found in rows))


def nvdla_rows(record: dict) -> str:
    """Frames per second and utilisation by array."""
    return markdown(("multipliers", "NVDLA: frames/s", "of peak", "our array", "frames/s, ideal memory", "of peak",
                     "memory, GB/s", "frames/s, every map through that memory", "of peak"),
                    ((row["macs"], f"{row['nvdla_frames']:g}", f"{100 * row['nvdla_utilisation']:.1f} %", row["array"],
                      f"{row['frames']:.1f}", f"{100 * row['utilisation']:.1f} %", f"{row['bandwidth']:g}",
                      f"{row['bound_frames']:.1f}", f"{100 * row['bound_utilisation']:.1f} %")
                     for row in record["rows"]))


TABLES = {"zigzag": (zigzag_layers, zigzag_energy, zigzag_parts), "scalesim": (scalesim_layers,),
          "accelforge": (accelforge_layers, accelforge_parts), "nvdla": (nvdla_rows,)}
"""What is shown of each tool's record."""
