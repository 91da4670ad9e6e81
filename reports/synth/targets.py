"""FPGA families: how Yosys and nextpnr are called for them, and what their cells count as."""

from __future__ import annotations

from dataclasses import dataclass, field

from reports.area.cost import FLIP_FLOPS, LUT_CELLS

__all__ = ["TARGETS", "Layout", "Sites", "Target", "cell_kinds"]


@dataclass(frozen=True)
class Sites:
    """Where a device has blocks of one kind: each of its rows has groups of them."""

    rows: tuple[int, ...]
    #: The first columns of the groups.
    groups: tuple[int, ...]
    #: Of a group's sites, the column in the group and nextpnr's name.
    members: tuple[tuple[int, str], ...]

    def bels(self, first: int | None = None) -> dict[str, tuple[int, int]]:
        """Column and row by nextpnr's name, of the ``first`` members of each group, or of all."""
        return {f"X{group + offset}/Y{row}/{name}": (group + offset, row)
                for row in self.rows for group in self.groups for offset, name in self.members[:first]}


@dataclass(frozen=True)
class Layout:
    """Where a device has its blocks. The other rows are logic, but for two rows and columns at each edge."""

    memories: Sites
    #: A group's members in the order in which they share least with those before.
    multipliers: Sites

    @classmethod
    def ecp5(cls, memories: tuple[int, ...], multipliers: tuple[int, ...], groups: tuple[int, ...]) -> Layout:
        """From the rows of block memories and of multipliers, which are in the same columns."""
        return cls(Sites(memories, groups, tuple((2 * index, f"EBR{index}") for index in range(4))),
                   Sites(multipliers, groups, tuple((index, f"MULT18_{index}") for index in (0, 4, 1, 5))))


@dataclass(frozen=True, kw_only=True)
class Target:
    """An FPGA family, with the device that it is routed on."""

    name: str
    #: Yosys's command, with its options: the same whatever is made of the netlist. ``-no-rw-check``, where there is
    #: one: no logic around a block memory for a word that is read while it is written, on which nothing of ours hangs
    #: (tests/engine/test_geometries.py).
    synthesis: str
    #: Options for multiplier blocks, and for none.
    use_dsp: str = ""
    no_dsp: str = ""
    #: Options for columns: no pads.
    inner: str = ""
    #: Labels of the command, in order, from which it can run.
    stages: tuple[str, ...]
    #: The first of them after which names are not needed: memories are in place, gates are not.
    gates: str
    #: What a cell counts as: LUTs, flip-flops, block memories, multiplier blocks.
    lut: dict[str, int]
    ff: tuple[str, ...]
    bram: dict[str, int]
    dsp: tuple[str, ...]
    #: Yosys's commands on the flat netlist.
    finish: str = ""
    #: nextpnr's variant; none for a target that cannot be routed.
    nextpnr: str = ""
    device: str = ""
    package: str = ""
    speed: str = ""
    #: MHz that nextpnr aims at; 0 where the netlist says it.
    frequency: float = 0.
    #: Options of nextpnr, from device, package and speed.
    options: tuple[str, ...] = ()
    #: How nextpnr places and routes, where not as by default.
    place_and_route: tuple[str, ...] = ()
    #: The same after :mod:`reports.synth.preplace`.
    preplaced: tuple[str, ...] = ()
    #: And more of it with an aim that was given, not the target's: it may take long if that is out of reach.
    aimed: tuple[str, ...] = ()
    #: What nextpnr's second router is told, which its options do not say. nextpnr reads "10" as binary.
    router2: dict[str, str] = field(default_factory=dict)
    #: Places of the pins, without the clock's on Nexus, for nextpnr variants that choose none themselves, and the line
    #: that says one.
    pins: tuple[str, ...] = ()
    pin_line: str = ""
    pin_option: tuple[str, ...] = ()
    #: Columns and rows of devices: the extent of a floor plan.
    grids: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Of devices for which :mod:`reports.synth.preplace` chooses sites.
    layouts: dict[str, Layout] = field(default_factory=dict)
    #: A cell that takes one of the LUTs of a tile of logic, and their names.
    lut_cell: str = ""
    lut_sites: tuple[str, ...] = ()

    def require(self, *, route: bool):
        """Raises ValueError if it is to be routed and cannot be."""
        if route and not self.nextpnr:
            routed = ", ".join(name for name, target in TARGETS.items() if target.nextpnr)
            raise ValueError(f"{self.name} is for synthesis only, nextpnr does not route it: leave out --route, or "
                             f"take one of {routed}")


_LATTICE_STAGES = ("begin", "coarse", "map_ram", "map_ffram", "map_gates", "map_ffs", "map_luts", "map_cells", "check")

TARGETS = {target.name: target for target in (
    Target(
        name="ecp5", synthesis="synth_ecp5 -abc9 -nowidelut -no-rw-check", no_dsp="-nodsp", stages=_LATTICE_STAGES,
        gates="map_gates", lut={**LUT_CELLS["ecp5"], "TRELLIS_DPR16X4": 4}, ff=FLIP_FLOPS,
        bram={"DP16KD": 1, "PDPW16KD": 1}, dsp=("MULT18X18D",),
        nextpnr="ecp5", device="85k", package="CABGA756", speed="6", frequency=120,
        options=("--{device}", "--package", "{package}", "--speed", "{speed}", "--lpf-allow-unconstrained"),
        # Placed less densely than by default, an engine is routed sooner.
        place_and_route=("--placer-heap-beta", "0.6"),
        # Wires are shortest so, and its first router does not finish where they are crowded (docs/synth.md).
        preplaced=("--placer", "static", "--router", "router2"),
        # Wires that miss the aim are routed anew until none does, or 1,500 times (docs/synth.md).
        aimed=("--tmg-ripup",),
        # Ways around what is crowded may leave a net's bounding box by so many tiles, not by 3 (docs/synth.md).
        router2={"router2/bbMargin/x": "12", "router2/bbMargin/y": "12"},
        grids={"25k": (73, 51), "45k": (91, 72), "85k": (127, 96)},
        layouts={"25k": Layout.ecp5((25, 37), (13,), (4, 13, 22, 33, 42, 51, 60)),
                 "45k": Layout.ecp5((10, 34, 58), (22, 46), (4, 13, 22, 31, 42, 51, 60, 69, 78)),
                 "85k": Layout.ecp5((22, 46, 70, 82), (10, 34, 58),
                                    (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114))},
        lut_cell="LUT4", lut_sites=tuple(f"SLICE{part}.K{lut}" for part in "ABCD" for lut in range(2))),
    Target(
        name="ice40", synthesis="synth_ice40 -device u -no-rw-check", use_dsp="-dsp",
        stages=("begin", "flatten", "coarse", "map_ram", "map_ffram", "map_gates", "map_ffs", "map_luts", "map_cells",
                "check"), gates="map_gates",
        lut={"SB_LUT4": 1},
        ff=tuple(f"SB_DFF{edge}{enable}{reset}" for edge in ("", "N") for enable in ("", "E")
                 for reset in ("", "R", "S", "SR", "SS")),
        bram={f"SB_RAM40_4K{read}{write}": 1 for read in ("", "NR") for write in ("", "NW")}, dsp=("SB_MAC16",),
        nextpnr="ice40", device="up5k", package="sg48", frequency=12,
        options=("--{device}", "--package", "{package}"), grids={"up5k": (26, 32)}),
    Target(
        name="nexus", synthesis="synth_nexus -family lifcl", no_dsp="-nodsp", inner="-noiopad", stages=_LATTICE_STAGES,
        gates="map_gates",
        lut={"LUT4": 1, "CCU2": 2, "DPR16X4": 4, "INV": 1}, ff=("FD1P3BX", "FD1P3DX", "FD1P3IX", "FD1P3JX"),
        bram={"DP16K": 1, "PDP16K": 1, "PDPSC16K": 1, "SP16K": 1},
        dsp=("MULT9X9", "MULT18X18", "MULT18X36", "MULT36X36", "MULTPREADD9X9", "MULTPREADD18X18", "MULTADDSUB9X9WIDE",
             "MULTADDSUB18X18", "MULTADDSUB18X18WIDE", "MULTADDSUB18X36", "MULTADDSUB36X36"),
        nextpnr="nexus", device="LIFCL-40-9BG400C", options=("--device", "{device}"),
        pins=("E17", "F13", "G13"), pin_line="ldc_set_location -site {{{site}}} [get_ports {port}]",
        pin_option=("--pdc", "{file}"), grids={"LIFCL-40-9BG400C": (88, 57)}),
    Target(
        name="gowin", synthesis="synth_gowin -family gw5a -nowidelut -noiopads -no-rw-check", no_dsp="-nodsp",
        stages=_LATTICE_STAGES, gates="map_gates",
        lut={**{f"LUT{inputs}": 1 for inputs in range(1, 5)}, "ALU": 1, "RAM16SDP4": 4, "INV": 1},
        ff=tuple(f"DFF{edge}{kind}" for edge in ("", "N")
                 for kind in ("", "E", "S", "SE", "R", "RE", "P", "PE", "C", "CE")),
        bram={cell: 1 for cell in ("SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B", "pROM", "pROMX9")},
        dsp=("MULT9X9", "MULT12X12", "MULT18X18", "MULT27X36", "MULT36X36", "MULTALU18X18", "MULTALU27X18"),
        finish="iopadmap -bits -inpad IBUF O:I -outpad OBUF I:O A:top; ",
        nextpnr="himbaechel-gowin", device="GW5AST-LV138PG484AC1/I0", frequency=100, options=("--device", "{device}"),
        pins=("V22", "AA13", "AB13", "AA16"), pin_line='IO_LOC "{port}" {site};', pin_option=("--vopt", "cst={file}"),
        grids={"GW5AST-LV138PG484AC1/I0": (182, 109)}),
    Target(
        name="xc7", synthesis="synth_xilinx -family xc7 -flatten -noiopad -noclkbuf", no_dsp="-nodsp",
        stages=("begin", "prepare", "map_dsp", "coarse", "map_memory", "map_ffram", "fine", "map_cells", "map_ffs",
                "map_luts", "finalize", "check"), gates="fine",
        lut={**LUT_CELLS["xc7"], "RAM32X1S": 1, "RAM32X1D": 2, "RAM64X1S": 1, "RAM64X1D": 2, "RAM32M": 4, "RAM64M": 4,
             "RAM128X1D": 4, "RAM32X16DR8": 8, "RAM64X8SW": 8},
        ff=FLIP_FLOPS, bram={"RAMB18E1": 1, "RAMB36E1": 2}, dsp=("DSP48E1",)),
)}
"""The targets of ``topcoat synth``."""


def cell_kinds(target: Target) -> dict[str, tuple[str, int]]:
    """By type of cell: which of ``lut``, ``ff``, ``bram``, ``dsp`` it counts as, and how many."""
    return {**{cell: ("lut", count) for cell, count in target.lut.items()}, **{cell: ("ff", 1) for cell in target.ff},
            **{cell: ("bram", count) for cell, count in target.bram.items()},
            **{cell: ("dsp", 1) for cell in target.dsp}}
