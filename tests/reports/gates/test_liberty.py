import pytest

from reports.gates.liberty import CellLibrary
from tests.reports.gates.cells import LIBERTY

@pytest.fixture(scope="module")
def library() -> CellLibrary:
    return CellLibrary([LIBERTY])


def test_the_library(library):
    assert library.voltage == 2
    # An inverter with four like it, 4 fF: half of .4 and .8 ns at 8 fF, averaged.
    assert library.slew == pytest.approx(.3e-9)


def test_a_gate(library):
    cell = library.cell("INV")
    assert (cell.inputs, cell.flop, cell.area) == (("A",), None, 1)
    assert cell.capacitance == pytest.approx({"A": 1e-15})
    output = cell.outputs["Y"]
    assert output.truth == 0b01
    # Rising 3 fJ and 1 more per fF, falling 1 fJ; beyond 10 fF as at 10.
    inside, = output.internal
    assert [inside.at(load * 1e-15) for load in (0, 4, 20)] == pytest.approx([2e-15, 4e-15, 7e-15])
    assert output.delay.at(0) == pytest.approx(.1e-9)


def test_grounds_give_no_energy_and_names_side_by_side_are_a_product(library):
    cell = library.cell("XOR2")
    assert cell.outputs["Y"].truth == 0b0110
    assert sum(curve.at(0) for curve in cell.outputs["Y"].internal) == pytest.approx(4e-15)
    assert cell.input_energy == pytest.approx({"A": .5e-15, "B": 0})


def test_a_flip_flop(library):
    cell = library.cell("DFF")
    assert cell.inputs == ("D",) and cell.flop.clock == "CK"
    # Rows: D in bit 0, state in bit 1.
    assert cell.flop.next_state == 0b1010
    assert {pin: output.truth for pin, output in cell.outputs.items()} == {"Q": 0b10, "QN": 0b01}
    assert (cell.flop.clock_hold, cell.flop.clock_change) == pytest.approx((3e-15, -2e-15))
    # Q drives the D of another, 1 fF at 2 V: 2 fJ; QN's inside is nothing.
    assert library.register() == pytest.approx(.5 * (0 - 2 + 0 + 2) * 1e-15)


@pytest.mark.parametrize("function, truth", [
    ("A", 0b1010), ("!A", 0b0101), ("A'", 0b0101), ("A&B", 0b1000), ("A*B", 0b1000), ("A B", 0b1000), ("A+B", 0b1110),
    ("A|B", 0b1110), ("A^B", 0b0110), ("!(A&B)", 0b0111), ("(A|B)'", 0b0001), ("(!A&!B) | (A B)", 0b1001),
    ("A | B & !A", 0b1110), ("A ^ B & B", 0b0100), ("1", 0b1111), ("(0)", 0), ("!!A B", 0b1000)])
def test_functions(function, truth):
    cells = CellLibrary([LIBERTY.replace("A B' + A' B", function)])
    assert cells.cell("XOR2").outputs["Y"].truth == truth


@pytest.mark.parametrize("change, name, message", [
    (("INV", "INV"), "NAND9", "the Liberty files have no cell NAND9"),
    (("INV", "INV"), "LATCH", "cell LATCH is a latch or has an asynchronous reset, which the RTL has not"),
    (('"CK"', '"!CK"'), "DFF", "cell DFF is clocked on !CK, not on a rising edge of a pin"),
    (("A B' + A' B", "A C"), "XOR2", "cell XOR2 has a pin without a function of its inputs ('C')"),
])
def test_cells_that_cannot_be_simulated(change, name, message):
    with pytest.raises(ValueError) as error:
        CellLibrary([LIBERTY.replace(*change)]).cell(name)
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["", "module m; endmodule", "library (a) { cell (b) {", "library (a) { } }"])
def test_texts_that_are_no_library(text):
    with pytest.raises(ValueError, match="^not a Liberty file: it must be one library group$"):
        CellLibrary([text])


@pytest.mark.parametrize("change", [
    ("nom_voltage : 2.0;", ""), ('"1ns"', '"1s"'), ("(1, ff)", "(1, coulomb)"), ('"1V"', '"1mV"')])
def test_units_that_are_not_known(change):
    with pytest.raises(ValueError, match="^library round must give nom_voltage, time_unit and capacitive_load_unit, "
                                         "and 1V as voltage_unit$"):
        CellLibrary([LIBERTY.replace(*change)])


def test_a_library_without_an_inverter():
    with pytest.raises(ValueError, match="^the Liberty files have no inverter"):
        CellLibrary([LIBERTY.replace('"!A"', '"A"')])
