"""`topcoat compare --network`: files that other tools read, and one clear line for what it cannot compare."""

import csv
import json

import pytest

from reports.area.points import load, targets
from topcoat.cli import main


def failing(capsys, *arguments) -> str:
    """The one line that the command prints."""
    assert main(["compare", *map(str, arguments)]) == 1
    line, = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("topcoat compare: error: ")
    return line


def test_a_network_by_its_shapes(tmp_path, capsys):
    target, folder = tmp_path / "rows.json", tmp_path / "page"
    assert main(["compare", "--network", "fashion", "--coats", "1,3", "--schedule", "linear:0.6", "--preset", "edge",
                 "--code", "unary", "--clock", "50", "--dram-pj", "6", "--jobs", "2", "-o", str(folder), "--json",
                 str(target)]) == 0
    printed = capsys.readouterr()
    header, _, units, *_ = printed.out.splitlines()
    assert header.split()[:3] == ["weights", "accuracy", "packed"] and "µJ per frame" in units
    assert max(map(len, printed.out.splitlines())) < 170 and str(folder / "index.html") in printed.out
    assert "designs of fashion: 100%" in printed.err
    rows = json.loads(target.read_text())
    assert [row["label"] for row in rows] == ["1 coat", "3 coats", "int8", "int4", "1 bit"]
    for row in rows[:2]:
        assert (row["network"], row["schedule"], row["code"]) == ("fashion", "linear:0.6", "unary")
        assert (row["weights"], row["macs"], row["accuracy"]) == (307_232, 10_721_024, None)
        assert row["frames_per_second"] == pytest.approx(50e6 / row["cycles"])
        assert row["engine"]["name"] == "edge" and {one["dram_pj_per_bit"] for one in row["energy_pj"]} == {6.}
    assert json.loads((folder / "compare.json").read_text()) == rows
    with open(folder / "compare.csv", newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == ["1 coat", "3 coats", "int8", "int4", "1 bit"]
    assert (folder / "index.html").exists() and (folder / "size.png").exists() and (folder / "size.svg").exists()


def test_another_engine_and_width(tmp_path):
    assert main(["compare", "--network", "fashion", "--coats", "3", "--preset", "edge", "--width", "16", "--columns",
                 "8", "--lanes", "32", "--activation-kib", "64", "--mask-kib", "8", "--jobs", "1", "-o", str(tmp_path),
                 "--json", str(tmp_path / "rows.json")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    fields = "name", "columns", "lanes", "activation_bytes", "mask_bytes"
    assert [rows[0]["engine"][field] for field in fields] == ["custom", 8, 32, 64 << 10, 8 << 10]
    assert {row["weights"] for row in rows} == {77_328} and {row["accuracy"] for row in rows} == {None}
    page = (tmp_path / "index.html").read_text()
    assert all(f">{value} <" in page for value in (8, 16, 32, 64))


@pytest.mark.parametrize("options, message", [
    (("--coats", "0-7"), "coats must be counts and ranges in 1..7"), (("--network", "lenet"), "network must be one of"),
    (("--schedule", "uniform"), "schedule must be uniform:S, linear:S"), (("--clock", 0), "clock must be above 0 MHz"),
    (("--schedule", "released", "--coats", "1-7"), "schedule released has densities of 1 to 3 coats, not 4"),
    (("--dram-pj", "-1"), "at least 0 pJ/bit"), (("--width", 0), "width must be at least 1"),
    (("--columns", 0), "columns"), (("--mask-kib", 0), "mask_bytes"),
    (("--mask-kib", "inf"), "a size in KiB must be whole bytes, such as 16 or .5, not inf"),
    (("--mask-kib", "much"), "a size in KiB must be whole bytes, such as 16 or .5, not much"),
    (("--activation-kib", "8.0003"), "a size in KiB must be whole bytes, such as 16 or .5, not 8.0003"),
    (("fashion-n3",), "give --network or models, not both: fashion-n3"),
])
def test_what_it_cannot_compare(options, message, tmp_path, capsys):
    assert message in failing(capsys, "--network", "fashion", "-o", tmp_path / "page", *options)
    assert not (tmp_path / "page").exists()


def test_options_of_networks_need_one(tmp_path, capsys):
    assert failing(capsys, "--dram-pj", 4, "-o", tmp_path / "page").endswith("--dram-pj needs --network NAME")
    assert failing(capsys, "--mask-kib", 4, "-o", tmp_path / "page").endswith("--mask-kib needs --network NAME")


def test_stale_points_say_how_to_renew_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("reports.area.points._current", lambda point: False)
    load.cache_clear()
    try:
        message = failing(capsys, "--network", "fashion", "--coats", "1", "-o", tmp_path / "page")
    finally:
        load.cache_clear()
    assert f"is of other RTL: renew it with `topcoat area --renew {targets()[0]}" in message
