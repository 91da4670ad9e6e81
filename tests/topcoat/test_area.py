import json

from topcoat.cli import main


def test_the_command_shows_coats_beside_int8(tmp_path, capsys):
    assert main(["area", "--preset", "base", "--target", "ecp5", "--json", str(tmp_path / "area.json")]) == 0
    assert "2 to 7 coats" in capsys.readouterr().out
    rows = json.loads((tmp_path / "area.json").read_text())["rows"]
    assert [row["engine"] for row in rows] == ["1 coat", "2 to 7 coats", "int8", "int8, stored only"]
    assert all(row["total"] > row["logic"] > row["array"] > row["lane"] > 0 for row in rows)


def test_unknown_libraries_are_asked_for_the_area_of_a_cell(tmp_path, capsys):
    (tmp_path / "small.lib").write_text("library (small) { cell (NAND2X1) { area : 1; } }")
    assert main(["area", "--renew", "small", "--liberty", str(tmp_path / "small.lib")]) == 1
    assert "--sram-cell UM2" in capsys.readouterr().err


def test_a_target_without_points_is_one_line(capsys):
    assert main(["area", "--target", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("topcoat area: error: no points for target 'nowhere': make them with ")
