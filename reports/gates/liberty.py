"""What Liberty files say of standard cells: functions, capacitances, energies and delays at one slew.

Yosys reads functions and areas and skips power. The readers on PyPI end with a tree of groups, the smaller part of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

__all__ = ["Cell", "CellLibrary", "Flop", "Output"]

FANOUT = 4
"""All tables are read at one slew: that of the smallest inverter when it drives so many like it."""

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\\\r?\n", re.DOTALL)
_TOKEN = re.compile(r'"([^"]*)"|([^\s(){}:;,"]+)|([(){}:])')
_FACTORS = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6}
_FUNCTION = re.compile(r"\s*(\w+|[!'&*|+^()])")


@dataclass
class _Group:
    """A group: what stands in its parentheses, its attributes by name, the groups in it."""

    kind: str
    arguments: list[str]
    values: dict[str, str | list[str]] = field(default_factory=dict)
    groups: list[_Group] = field(default_factory=list)

    def of(self, kind: str) -> list[_Group]:
        return [group for group in self.groups if group.kind == kind]


def _parse(text: str) -> _Group:
    """The group of the library. Raises ValueError for a text that is none."""
    # (word, "") or ("", punctuation); commas and semicolons say nothing that order does not.
    tokens = [(match[1] or match[2] or "", match[3] or "") for match in _TOKEN.finditer(_COMMENT.sub(" ", text))]
    root = _Group("", [])
    path, at = [root], 0
    try:
        while at < len(tokens):
            name, mark = tokens[at]
            if mark == "}":
                path.pop()
                at += 1
            elif tokens[at + 1][1] == ":":
                path[-1].values[name] = tokens[at + 2][0]
                at += 3
            else:
                end = tokens.index(("", ")"), at)
                arguments = [word for word, _ in tokens[at + 2:end]]
                at = end + 1
                if tokens[at:at + 1] == [("", "{")]:
                    path.append(_Group(name, arguments))
                    path[-2].groups.append(path[-1])
                    at += 1
                else:
                    path[-1].values[name] = arguments
    except (IndexError, ValueError):
        path.clear()
    if path != [root] or [group.kind for group in root.groups] != ["library"]:
        raise ValueError("not a Liberty file: it must be one library group")
    return root.groups[0]


def _numbers(texts: Iterable[str]) -> np.ndarray:
    return np.array([[float(number) for number in text.replace(",", " ").split()] for text in texts])


def _evaluate(text: str, values: dict[str, int], ones: int) -> int:
    """A boolean function of ``values``, integers of as many bits as ``ones``. Raises KeyError for an unknown name."""
    tokens = _FUNCTION.findall(text) + [""]
    at = 0

    def operand() -> int:
        nonlocal at
        token = tokens[at]
        at += 1
        if token == "!":
            return ones & ~operand()
        if token == "(":
            value = either()
            at += 1
        else:
            value = {"0": 0, "1": ones, **values}[token]
        while tokens[at] == "'":
            at += 1
            value = ones & ~value
        return value

    def chain(part: Callable[[], int], operators: str, join: Callable[[int, int], int]) -> int:
        nonlocal at
        value = part()
        while tokens[at] and (tokens[at] in operators or "&" in operators and tokens[at] not in ")|+^"):
            at += tokens[at] in operators  # names side by side are a product
            value = join(value, part())
        return value

    def exclusive() -> int:
        return chain(operand, "^", int.__xor__)

    def both() -> int:
        return chain(exclusive, "&*", int.__and__)

    def either() -> int:
        return chain(both, "|+", int.__or__)

    return either()


def _columns(names: Iterable[str]) -> tuple[dict[str, int], int]:
    """The column of every variable in a truth table, row i in bit i, and a column of ones."""
    names = list(names)
    rows = range(1 << len(names))
    columns = {name: sum((row >> index & 1) << row for row in rows) for index, name in enumerate(names)}
    return columns, (1 << len(rows)) - 1


@dataclass(frozen=True)
class _Curves:
    """A quantity over the load of an output: the mean of several curves."""

    #: Farads, and the quantity at them.
    curves: tuple[tuple[np.ndarray, np.ndarray], ...]

    def at(self, load: float) -> float:
        """At ``load`` farads, or at the nearest load there is."""
        return fmean(float(np.interp(load, loads, values)) for loads, values in self.curves) if self.curves else 0.


@dataclass(frozen=True)
class Output:
    """A driving pin."""

    #: Truth table over the cell's inputs, the first one in the lowest bit of the row; of a flop over its state.
    truth: int
    #: Joules of a transition, either way, without what charges the load; one per supply rail.
    internal: tuple[_Curves, ...]
    #: Seconds from an input to this pin.
    delay: _Curves


@dataclass(frozen=True)
class Flop:
    """What a flip-flop has besides outputs."""

    clock: str
    #: Truth table of the next state over the inputs and the present state, which is the highest bit of the row.
    next_state: int
    #: Joules of the clock pin in a cycle that leaves the state as it is, the load of the pin left out; and how much
    #: more it is in one that changes it.
    clock_hold: float
    clock_change: float


@dataclass(frozen=True)
class Cell:
    """A standard cell."""

    name: str
    area: float
    #: Pins but for the clock, in the order of truth tables.
    inputs: tuple[str, ...]
    outputs: dict[str, Output]
    #: Farads, and joules of a transition that changes no output, by input pin, the clock included.
    capacitance: dict[str, float]
    input_energy: dict[str, float]
    flop: Flop | None


class CellLibrary:
    """Cells of ``texts``, Liberty files of one library. Raises ValueError for one that is not as it should be."""

    def __init__(self, texts: Iterable[str]):
        libraries = [_parse(text) for text in texts]
        first = libraries[0].values
        self._groups = {cell.arguments[0]: cell for library in libraries for cell in library.of("cell")}
        self._cells: dict[str, Cell] = {}
        conditions = libraries[0].of("operating_conditions")
        volts = first.get("nom_voltage") or conditions and conditions[0].values.get("voltage")
        time = re.fullmatch(r"([\d.]+)([fpnu])s", first.get("time_unit", ""))
        farads, prefix = first.get("capacitive_load_unit", ("", "?"))
        if not volts or not time or prefix[0].lower() not in _FACTORS or first.get("voltage_unit", "1V") != "1V":
            raise ValueError(f"library {' '.join(libraries[0].arguments)} must give nom_voltage, time_unit and "
                             "capacitive_load_unit, and 1V as voltage_unit")
        #: Volts.
        self.voltage = float(volts)
        self._second = float(time[1]) * _FACTORS[time[2]]
        self._farad = float(farads) * _FACTORS[prefix[0].lower()]
        self._joule = self._farad  # times voltage_unit squared
        #: Seconds.
        self.slew = 0.
        self._settle_slew()

    def cell(self, name: str) -> Cell:
        """The cell ``name``. Raises ValueError for one that is not there, or is not of gates and simple flip-flops."""
        if name not in self._cells:
            if name not in self._groups:
                raise ValueError(f"the Liberty files have no cell {name}")
            self._cells[name] = self._read(self._groups[name])
        return self._cells[name]

    def register(self) -> float:
        """Joules of a bit written into the smallest plain flip-flop, which drives another: half of the bits differ from
        the ones before. The clock pin's are left out."""
        flops = [group for group in self._groups.values() if self._is_plain_flop(group)]
        if not flops:
            raise ValueError("the Liberty files have no flip-flop without set, reset and enable")
        cell = self.cell(min(flops, key=lambda group: float(group.values["area"])).arguments[0])
        pin, load = cell.inputs[0], cell.capacitance[cell.inputs[0]]
        inside = min(sum(curve.at(load) for curve in output.internal) for output in cell.outputs.values())
        return .5 * (inside + cell.flop.clock_change + cell.input_energy[pin] + load * self.voltage ** 2 / 2)

    @staticmethod
    def _is_plain_flop(group: _Group) -> bool:
        states = group.of("ff")
        inputs = [pin for pin in group.of("pin") if pin.values.get("direction") == "input"]
        return (len(states) == 1 and len(inputs) == 2 and not {"clear", "preset"} & set(states[0].values)
                and states[0].values["clocked_on"] in [pin.arguments[0] for pin in inputs])

    def _settle_slew(self):
        inverters = [group for group in self._groups.values() if self._is_inverter(group)]
        if not inverters:
            raise ValueError("the Liberty files have no inverter, which sets the slew that tables are read at")
        smallest = min(inverters, key=lambda group: float(group.values["area"]))
        pins = {pin.values["direction"]: pin for pin in smallest.of("pin")}
        load = FANOUT * float(pins["input"].values["capacitance"]) * self._farad
        for _ in range(16):
            transitions = [self._curve(table) for timing in pins["output"].of("timing") for table in timing.groups
                           if table.kind in ("rise_transition", "fall_transition")]
            self.slew = self._second * _Curves(tuple(transitions)).at(load)

    @staticmethod
    def _is_inverter(group: _Group) -> bool:
        functions = [pin.values["function"] for pin in group.of("pin") if "function" in pin.values]
        inputs = [pin.arguments[0] for pin in group.of("pin") if pin.values.get("direction") == "input"]
        return len(inputs) == len(functions) == 1 and not group.of("ff") and _evaluate(
            functions[0], {inputs[0]: 0b10}, 0b11) == 0b01

    def _curve(self, table: _Group) -> tuple[np.ndarray, np.ndarray]:
        """A table at the slew: farads and what the table has there, in the file's unit."""
        values = _numbers(table.values["values"])
        if values.size == 1:
            return np.zeros(1), values[0]
        slews = self._second * _numbers(table.values["index_1"])[0]
        if "index_2" not in table.values:
            return np.zeros(1), np.array([np.interp(self.slew, slews, values.ravel())])
        loads = self._farad * _numbers(table.values["index_2"])[0]
        return loads, np.array([np.interp(self.slew, slews, column) for column in values.reshape(len(slews), -1).T])

    def _curves(self, groups: Iterable[_Group], names: tuple[str, ...], unit: float) -> _Curves:
        """The mean of the tables ``names`` of ``groups``."""
        curves = (self._curve(table) for group in groups for table in group.groups if table.kind in names)
        return _Curves(tuple((loads, unit * values) for loads, values in curves))

    @staticmethod
    def _by_rail(cell: _Group, pin: _Group) -> list[list[_Group]]:
        """Groups of a pin's power by the supply it is drawn from; a ground, at 0 V, gives none."""
        grounds = {rail.arguments[0] for rail in cell.of("pg_pin") if rail.values["pg_type"].endswith("ground")}
        rails = defaultdict(list)
        for group in pin.of("internal_power"):
            rails[group.values.get("related_pg_pin")].append(group)
        return [groups for rail, groups in rails.items() if rail not in grounds]

    def _power(self, groups: Iterable[_Group], *names: str) -> _Curves:
        return self._curves(groups, names or ("rise_power", "fall_power"), self._joule)

    def _output(self, cell: _Group, pin: _Group, truth: int) -> Output:
        return Output(truth=truth, internal=tuple(map(self._power, self._by_rail(cell, pin))),
                      delay=self._curves(pin.of("timing"), ("cell_rise", "cell_fall"), self._second))

    def _read(self, group: _Group) -> Cell:
        name, pins = group.arguments[0], {pin.arguments[0]: pin for pin in group.of("pin")}
        flops = group.of("ff")
        if group.of("latch") or flops and {"clear", "preset"} & set(flops[0].values):
            raise ValueError(f"cell {name} is a latch or has an asynchronous reset, which the RTL has not")
        clock = flops[0].values["clocked_on"].strip("() ") if flops else None
        if clock is not None and clock not in pins:
            raise ValueError(f"cell {name} is clocked on {clock}, not on a rising edge of a pin")
        inputs = tuple(pin for pin, values in pins.items() if values.values["direction"] == "input" and pin != clock)
        driving = {pin: values for pin, values in pins.items() if values.values["direction"] == "output"}
        states = flops[0].arguments if flops else []
        columns, ones = _columns((*inputs, *states[:1]))
        columns |= {state: ones & ~columns[states[0]] for state in states[1:]}
        state_columns = {state: 0b10 >> index for index, state in enumerate(states)}
        try:
            functions = {pin: values.values["function"] for pin, values in driving.items()}
            outputs = {pin: self._output(group, driving[pin], _evaluate(text, state_columns if flops else columns,
                                                                 0b11 if flops else ones))
                       for pin, text in functions.items()}
            columns |= {pin: _evaluate(text, columns, ones) for pin, text in functions.items()}
            flop = self._flop(group, pins[clock], _evaluate(flops[0].values["next_state"], columns, ones),
                              columns, ones) if flops else None
        except KeyError as error:
            raise ValueError(f"cell {name} has a pin without a function of its inputs ({error})") from error
        return Cell(
            name=name, area=float(group.values["area"]), inputs=inputs, outputs=outputs, flop=flop,
            capacitance={pin: self._farad * float(values.values["capacitance"]) for pin, values in pins.items()
                         if pin not in driving},
            input_energy={pin: sum(self._power(rail).at(0.) for rail in self._by_rail(group, pins[pin]))
                          for pin in inputs})

    def _flop(self, cell: _Group, pin: _Group, next_state: int, columns: dict[str, int], ones: int) -> Flop:
        """Joules of both edges of the clock, apart for the rows that hold the state and those that change it: where
        the state changes, libraries may have the energy of the rising edge in that of the output."""
        rows = ones.bit_length()
        hold, change = [], []
        for row in range(rows):
            total = 0.
            for rail in self._by_rail(cell, pin):
                matching = [group for group in rail if "when" in group.values
                            and _evaluate(group.values["when"], columns, ones) >> row & 1]
                groups = matching or [group for group in rail if "when" not in group.values]
                total += sum(self._power(groups, name).at(0.) for name in ("rise_power", "fall_power"))
            stays = (next_state >> row & 1) == (row >= rows // 2)
            (hold if stays else change).append(total)
        return Flop(clock=pin.arguments[0], next_state=next_state, clock_hold=fmean(hold),
                    clock_change=fmean(change) - fmean(hold))
