import json
import os
import stat

import pytest

from reports.area import points, synthesis
from reports.area.blocks import samples
from reports.area.library import Library
from reports.tools import find_yosys

TARGETS = points.targets()


@pytest.mark.parametrize("target", TARGETS)
def test_the_cached_points_are_of_this_rtl(target):
    cached = points.load(target)
    assert [point.sample for point in cached.points] == samples(registers=target not in synthesis.FPGAS)
    assert cached.tool.startswith("Yosys ") and all(len(digest) == 64 for digest in cached.liberty.values())
    assert bool(cached.liberty) == bool(cached.nand2_area) == bool(cached.sram_cell) == (
        target not in synthesis.FPGAS)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A copy of the points of ecp5 that may be changed."""
    (tmp_path / "ecp5.json").write_text((points.FOLDER / "ecp5.json").read_text())
    monkeypatch.setattr(points, "FOLDER", tmp_path)
    points.load.cache_clear()
    yield tmp_path / "ecp5.json"
    points.load.cache_clear()


@pytest.fixture
def few(monkeypatch):
    """A target of eight points."""
    wanted = samples(registers=False)[:8]
    monkeypatch.setattr(points, "samples", lambda *, registers: wanted)
    return wanted


def _change(path, change):
    values = json.loads(path.read_text())
    change(values["points"])
    path.write_text(json.dumps(values))


def test_a_point_of_other_verilog_is_refused_in_one_line(cache):
    _change(cache, lambda cached: cached[0].update(verilog="0" * 64, sources="0" * 64))
    with pytest.raises(points.StalePoint) as error:
        points.load("ecp5")
    assert str(error.value) == ("area of column of edge lanes=8 weight_bits=2 on ecp5 is of other RTL: "
                                "renew it with `topcoat area --renew ecp5`")


def test_a_point_whose_sources_changed_but_not_its_verilog_holds(cache):
    _change(cache, lambda cached: cached[0].update(sources="0" * 64))
    assert points.load("ecp5").points


def test_a_missing_point_is_refused(cache):
    _change(cache, lambda cached: cached.pop())
    with pytest.raises(points.StalePoint, match="is missing: renew it with `topcoat area --renew ecp5`"):
        points.load("ecp5")


def test_a_target_without_points_is_refused(cache):
    with pytest.raises(points.StalePoint, match="no points for target 'mylib': .*--renew mylib --liberty FILE"):
        points.load("mylib")


@pytest.fixture
def yosys(tmp_path):
    """A program that counts its runs and finds three LUTs in every block."""
    path = tmp_path / "yosys"
    path.write_text(f"""#!/bin/sh
if [ "$1" = --version ]; then echo 'Yosys 9.9 (git sha1 abc, by hand)'; exit; fi
echo run >> {tmp_path}/runs
if [ -e {tmp_path}/broken ]; then echo 'ERROR: broken'; exit 1; fi
echo '{{"modules": {{"topcoat_block": {{"num_cells_by_type": {{"LUT4": 3, "$mem_v2": 1}}}}}}}}' > stat.json
""")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def _runs(yosys):
    path = yosys.with_name("runs")
    count = path.read_text().count("run") if path.exists() else 0
    path.unlink(missing_ok=True)
    return count


def test_renewal_goes_on_where_it_stopped_and_makes_only_what_is_stale(cache, few, yosys):
    class Stop(Exception):
        pass

    def three(wanted):
        for number, sample in enumerate(wanted):
            if number == 3:
                raise Stop
            yield sample

    with pytest.raises(Stop):
        points.renew("ecp5", yosys=str(yosys), progress=three)
    # Another Yosys: no old point stays.
    assert _runs(yosys) == 3 and len(points.read("ecp5").points) == 3
    renewed = points.renew("ecp5", yosys=str(yosys))
    assert _runs(yosys) == len(few) - 3
    assert [(point.sample, point.cells) for point in renewed.points] == [(sample, {"LUT4": 3}) for sample in few]
    assert points.load("ecp5") == renewed and renewed.tool == "Yosys 9.9 (git sha1 abc)"
    _change(cache, lambda cached: cached[5].update(verilog="0" * 64, sources="0" * 64))
    _change(cache, lambda cached: cached[6].update(sources="0" * 64))
    assert points.renew("ecp5", yosys=str(yosys)) == renewed
    assert _runs(yosys) == 1


def test_a_block_that_fails_is_named_and_keeps_no_old_point(cache, few, yosys):
    points.renew("ecp5", yosys=str(yosys))
    _change(cache, lambda cached: cached[5].update(verilog="0" * 64, sources="0" * 64))
    (yosys.parent / "broken").touch()
    with pytest.raises(RuntimeError, match="^column of edge lanes=32 for ecp5: yosys failed: ERROR: broken"):
        points.renew("ecp5", yosys=str(yosys))
    assert [point.sample for point in points.read("ecp5").points] == few[:5] + few[6:]


def test_liberty_files_belong_to_standard_cells(tmp_path):
    with pytest.raises(ValueError, match="target osu018 needs its Liberty files: --liberty FILE"):
        points.renew("osu018")
    with pytest.raises(ValueError, match="target ecp5 takes no Liberty files"):
        points.renew("ecp5", library=Library("ecp5", (), 1.))


def test_a_missing_yosys_is_named():
    with pytest.raises(RuntimeError, match=r"no Yosys found \(tried no-such-yosys\): "):
        find_yosys("no-such-yosys")


@pytest.mark.parametrize("target", TARGETS)
def test_points_have_nothing_of_the_machine_they_were_made_on(target):
    text = (points.FOLDER / f"{target}.json").read_text()
    assert os.sep not in json.loads(text)["flags"] and os.path.expanduser("~") not in text


def test_memories_and_outlines_are_no_cells():
    for target in TARGETS:
        for point in points.read(target).points:
            assert not any(cell.startswith(("$", "\\", "outline")) for cell in point.cells)
            assert point.cells
