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
    assert "energy (µJ per frame)" in printed.out and str(folder / "index.html") in printed.out
    assert "designs of fashion: 100%" in printed.err
    rows = json.loads(target.read_text())
    assert [row["coats"] for row in rows] == [1, 3]
    for row in rows:
        assert (row["network"], row["schedule"], row["code"]) == ("fashion", "linear:0.6", "unary")
        assert (row["weights"], row["macs"], row["accuracy"]) == (307_232, 10_721_024, None)
        assert row["frames_per_second"] == pytest.approx(50e6 / row["cycles"])
        assert row["engine"]["name"] == "edge" and {one["dram_pj_per_bit"] for one in row["energy_pj"]} == {6.}
    whole = json.loads((folder / "compare.json").read_text())
    assert whole["rows"] == rows and [row["label"] for row in whole["baselines"]] == ["int8", "int4", "1 bit"]
    with open(folder / "compare.csv", newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == ["1 coat", "3 coats", "int8", "int4", "1 bit"]
    assert (folder / "index.html").exists() and (folder / "size.png").exists() and (folder / "size.svg").exists()


@pytest.mark.parametrize("options, message", [
    (("--coats", "0-7"), "coats must be counts and ranges in 1..7"), (("--network", "lenet"), "network must be one of"),
    (("--schedule", "uniform"), "schedule must be uniform:S, linear:S"), (("--clock", 0), "clock must be above 0 MHz"),
    (("--schedule", "released", "--coats", "1-7"), "schedule released has densities of 1 to 3 coats, not 4"),
    (("--dram-pj", "-1"), "at least 0 pJ/bit"), (("fashion-n3",), "give --network or models, not both: fashion-n3"),
])
def test_what_it_cannot_compare(options, message, tmp_path, capsys):
    assert message in failing(capsys, "--network", "fashion", "-o", tmp_path / "page", *options)
    assert not (tmp_path / "page").exists()


def test_options_of_networks_need_one(tmp_path, capsys):
    assert failing(capsys, "--dram-pj", 4, "-o", tmp_path / "page").endswith("--dram-pj needs --network NAME")


def test_stale_points_say_how_to_renew_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("reports.area.points._current", lambda point: False)
    load.cache_clear()
    try:
        message = failing(capsys, "--network", "fashion", "--coats", "1", "-o", tmp_path / "page")
    finally:
        load.cache_clear()
    assert f"is of other RTL: renew it with `topcoat area --renew {targets()[0]}" in message
