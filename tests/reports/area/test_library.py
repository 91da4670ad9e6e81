import gzip
import hashlib

import pytest

from reports.area.library import DONT_USE, SRAM_CELLS, Library

NAND = """library (small) {{ cell ({name}) {{ area : {area}; pin (Y) {{ function : "!(A B)"; }} }} }}"""


@pytest.mark.parametrize("name", ["sky130_fd_sc_hd__nand2_1", "NAND2X1", "NAND2xp33_ASAP7_75t_R"])
def test_the_smallest_nand2_is_found_by_name(tmp_path, name):
    (tmp_path / "a.lib").write_text(NAND.format(name=name, area="3.5"))
    (tmp_path / "b.lib.gz").write_bytes(gzip.compress(NAND.format(name="NAND2X8", area="9").encode()))
    assert Library("small", (tmp_path / "b.lib.gz", tmp_path / "a.lib"), 1.).nand2() == (name, 3.5)


def test_a_library_without_a_nand2_is_refused(tmp_path):
    (tmp_path / "a.lib").write_text(NAND.format(name="INVX1", area="1"))
    with pytest.raises(ValueError, match="small: no cell is named like a NAND2"):
        Library("small", (tmp_path / "a.lib",), 1.).nand2()


def test_digests_are_of_what_is_in_a_compressed_file(tmp_path):
    text = NAND.format(name="NAND2X1", area="1").encode()
    (tmp_path / "a.lib.gz").write_bytes(gzip.compress(text))
    assert Library("small", (tmp_path / "a.lib.gz",), 1.).digests() == {"a.lib": hashlib.sha256(text).hexdigest()}


def test_well_known_libraries_are_known(tmp_path):
    for name, cell in SRAM_CELLS.items():
        assert Library.known(name, [tmp_path]) == Library(name, (tmp_path,), cell, DONT_USE.get(name, ()))
    assert Library.known("asap7", [tmp_path], sram_cell=.5, dont_use=[]) == Library("asap7", (tmp_path,), .5, ())


def test_a_library_of_unknown_technology_needs_the_area_of_a_cell(tmp_path):
    with pytest.raises(ValueError, match="technology of small with --sram-cell UM2"):
        Library.known("small", [tmp_path])
