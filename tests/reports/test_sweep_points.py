"""Points of a sweep, their rows, the folder that keeps them, and the plots."""

import dataclasses

import pyarrow
import pytest
from pyarrow import parquet

from arch.config import EngineConfig
from golden.densities import RELEASED_DENSITIES
from reports.area import area, suited
from reports.design import Design, costs
from reports.sweep import plots, points, store
from reports.sweep.points import Point, columns, evaluate, failure, grid, model_hash, row
from reports.sweep.run import missing
from reports.sweep.store import Store


def fashion(**values) -> list[Point]:
    return grid(**{"networks": ["fashion"], "presets": ["tiny"], "coats": [1, 3], "densities": [.3], "codes": ["raw"],
                   **values})


def test_grid_is_all_combinations_in_order_with_own_values_where_none_are_given():
    made = fashion(presets=["edge", "tiny"], codes=["raw", "ans"], columns=[8, 4])
    assert len(made) == 16 and made == sorted(made)
    assert {(point.preset, point.lanes, point.mask_bytes) for point in made} == {("tiny", 8, 4096), ("edge", 16, 16384)}
    assert {point.width for point in made} == {32}
    assert len({point.group for point in made}) == 4


@pytest.mark.parametrize("values, message", [
    ({"networks": ["vgg"]}, "network must be one of resnet18, "),
    ({"presets": ["huge"]}, "preset must be one of tiny, "),
    ({"codes": ["gzip"]}, "code must be one of best, raw, unary, ans, not 'gzip'"),
    ({"schedules": ["gaussian"]}, "schedule must be one of uniform, linear, released, not 'gaussian'"),
    ({"schedules": ["released"], "coats": [4, 5]}, "schedule released has 1 to 3 coats, none of those given"),
    ({"stored": [2]}, "stored must be one of 8, 4, 1, not 2"),
    ({"batches": [0]}, "batch must be at least 1, not 0"),
    ({"coats": [0, 1]}, "coats must be in 1..7, not 0"),
    ({"densities": [1.5]}, "density must be above 0 and at most 1, not 1.5"),
    ({"widths": [0]}, "width must be at least 1, not 0"),
])
def test_grid_refuses_what_no_design_can_have(values, message):
    with pytest.raises(ValueError, match=message):
        fashion(**values)


def test_grid_has_released_coats_once_and_stored_weights_on_every_engine():
    made = fashion(coats=[2, 3, 4], densities=[.1, .3], schedules=["linear", "released"], stored=[8, 1],
                   columns=[4, 8], batches=[1, 2])
    released = [point for point in made if point.schedule == "released"]
    assert {(point.coats, point.density) for point in released} == {(2, .3), (3, .3)} and len(released) == 2 * 4
    assert released[0].design().densities == RELEASED_DENSITIES[:2]
    stored = [point for point in made if point.bits]
    assert {(point.coats, point.schedule, point.density, point.code) for point in stored} == {
        (0, "stored", 1, "stored")}
    assert len(stored) == 2 * 4 and len(made) == len(stored) + len(released) + 3 * 2 * 4


def test_a_stored_row_is_what_the_baseline_costs():
    point = next(point for point in fashion(stored=[8], batches=[2]) if point.bits)
    found, cost = row(point), costs(Design(network="fashion", bits=8, batch=2, config=EngineConfig.preset("tiny")))
    assert found["error"] is None and found["dram_bytes"] == cost.estimate.dram_bytes
    assert found["cycles"] == cost.estimate.cycles and found["energy_low_pj"] == cost.energy.low.total_pj
    for target in points.area_targets():
        part = area(suited(cost.engine, target), target, weight_path=False)
        assert found[f"area_{target}_total_{part.unit.lower()}"] == part.total


def test_a_row_is_what_the_design_costs():
    point = fashion(coats=[3], widths=[16], mask_bytes=[8192])[0]
    found = row(point)
    assert list(found) == [column.name for column in columns()]
    cost = costs(Design(network="fashion", coats=3, schedule="uniform:0.7", code="raw", width=16,
                        config=EngineConfig.preset("tiny", mask_bytes=8192)))
    assert found["error"] is None and found["model"] == model_hash()
    assert found["cycles"] == cost.estimate.cycles and found["packed_bytes"] == cost.packed_bytes
    assert found["dram_bytes"] == cost.estimate.dram_bytes == sum(
        found[f"dram_{stream}_bytes"] for stream in ("program", "mask", "parameter", "load", "store"))
    assert found["area_ecp5_total_lut"] == cost.area("ecp5")["total"]
    assert found["energy_high_pj"] == cost.energy.high.total_pj == max(
        value for name, value in found.items() if name.endswith("_dram_20_pj"))
    # On chip and DRAM are the total.
    assert found["energy_horowitz_45_on_chip_pj"] + found["energy_dram_8_pj"] == pytest.approx(
        found["energy_horowitz_45_dram_8_pj"])


@pytest.mark.parametrize("values, error", [
    ({"columns": [12]}, "columns must be a power of two, not 12"),
    ({"activation_bytes": [64]}, "activation_bytes must be at least 4 words per bank, not 64"),
    ({"networks": ["resnet18"], "activation_bytes": [1024]}, "do not fit the engine's 1024"),
])
def test_a_point_that_fails_is_a_row_with_its_error(values, error):
    point = fashion(coats=[1], **values)[0]
    found = row(point)
    assert error in found["error"] and "\n" not in found["error"]
    assert found["cycles"] is None and {name: found[name] for name in points.AXES} == dataclasses.asdict(point)


def test_errors_that_nobody_foresaw_are_rows_with_their_type(monkeypatch):
    monkeypatch.setattr(points, "costs", lambda design: 1 // 0)
    assert row(fashion()[0])["error"].startswith("ZeroDivisionError: ")


def test_a_worker_with_another_model_computes_nothing():
    with pytest.raises(RuntimeError, match=f"another version of Topcoat .model {model_hash()}, here 0123"):
        evaluate(fashion(), "0123")


def test_the_model_is_its_sources_and_data(monkeypatch, tmp_path):
    for path in points.CONSTANTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes() + b" ")
    monkeypatch.setattr(points, "CONSTANTS", tmp_path)
    assert model_hash.__wrapped__() != model_hash()
    monkeypatch.undo()
    assert model_hash.__wrapped__() == model_hash()
    monkeypatch.setattr(points, "source_digest", lambda *_: "other")
    assert model_hash.__wrapped__() != model_hash()


def test_parts_become_one_sorted_file_whatever_their_order(tmp_path):
    rows = [failure(point, "as a test") for point in fashion(codes=["raw", "ans"], columns=[4, 8])]
    files = []
    for name, order in ("one", rows), ("other", rows[::-1]):
        with Store(tmp_path / name) as kept:
            for start in range(0, len(order), 3):
                kept.add(order[start:start + 3])
            files.append(kept.merge())
        assert not list((tmp_path / name / "parts").iterdir())
    assert files[0].read_bytes() == files[1].read_bytes()
    table = parquet.read_table(files[0], use_threads=False)
    assert table.to_pylist() == rows
    assert table.schema.field("cycles").metadata[b"unit"] == b"cycles"
    assert all(field.metadata[b"description"] for field in table.schema)


def test_a_store_that_was_killed_has_what_was_added(tmp_path):
    rows = [failure(point, "as a test") for point in fashion(columns=[4, 8])]
    with Store(tmp_path) as kept:
        kept.add(rows[:2])
        kept.merge()
        kept.add(rows[2:3])
    with Store(tmp_path) as kept:  # merged, but killed before the part was deleted: the same rows twice
        kept.add(rows[:1])
        assert [*kept.rows.values()] == rows[:3]
        assert missing(fashion(columns=[4, 8]), kept) == fashion(columns=[4, 8])[3:]


def test_rows_of_another_model_are_computed_again(tmp_path, monkeypatch):
    made = fashion(columns=[4, 8])
    with monkeypatch.context() as other:
        for module in points, store:
            other.setattr(module, "model_hash", lambda: "0123")
        with Store(tmp_path) as kept:
            kept.add([failure(point, "old") for point in made[:2]])
            kept.merge()
    with Store(tmp_path) as kept:
        assert not kept.rows and kept.stale == dict.fromkeys(made[:2], "0123")
        assert missing(made[1:3], kept) == made[1:3] and missing(made[2:3], kept, stale=True) == made[:3]
        kept.add([failure(point, "new") for point in made[1:3]])
        path = kept.merge()
    old, *new = parquet.read_table(path, use_threads=False).to_pylist()
    assert (old["model"], old["error"]) == ("0123", store.STALE) and {one["error"] for one in new} == {"new"}
    with Store(tmp_path) as kept:
        assert list(kept.rows) == made[1:3] and kept.stale == {made[0]: "0123"}


def test_files_of_a_sweep_that_knew_fewer_axes_are_stale(tmp_path):
    made = fashion(columns=[4, 8])
    table = pyarrow.Table.from_pylist([failure(point, "") | {"model": "0123"} for point in made], store.schema())
    parquet.write_table(table.drop_columns(["bits", "batch"]), tmp_path / "results.parquet")
    with Store(tmp_path) as kept:
        assert not kept.rows and kept.stale == dict.fromkeys(made, "0123")
        assert missing(made, kept) == made


def test_only_one_process_has_a_folder(tmp_path):
    with Store(tmp_path):
        with pytest.raises(ValueError, match=f"another sweep is writing to {tmp_path}"):
            Store(tmp_path).__enter__()
    with Store(tmp_path):
        pass


def test_files_that_no_sweep_wrote_are_refused(tmp_path):
    path = tmp_path / "results.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=f"{path} cannot be read .*: delete it"):
        Store(tmp_path).read()
    parquet.write_table(pyarrow.table({"a": [1]}), path)
    with pytest.raises(ValueError, match=f"{path} was not written by this version's"):
        Store(tmp_path).read()


def test_a_plot_per_pair_of_axes_with_several_values(tmp_path):
    made = fashion(columns=[4, 8], codes=["raw", "ans"])
    rows = [{**failure(point, ""), "error": None, "cycles": 1000 * point.columns, "dram_bytes": 5} for point in made]
    rows[0] |= {"error": "as a test", "cycles": None, "dram_bytes": None}
    written = list(plots.write(rows, tmp_path, ["cycles", "dram_bytes"]))
    names = {"columns-coats", "columns-code", "coats-code"}
    assert {path.stem for path in written} == names and len(written) == len(names)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_a_cell_is_the_median_of_what_did_not_fail(tmp_path, monkeypatch):
    made = fashion(columns=[4, 8], codes=["raw", "ans", "unary"])
    rows = [{**failure(point, ""), "error": None, "cycles": {"ans": 1, "raw": 10, "unary": 100}[point.code]}
            for point in made]
    rows[0] |= {"error": "as a test", "cycles": None}  # 4 columns, 1 coat, ans
    drawn = []
    monkeypatch.setattr(plots, "_annotate", lambda panel, scaled, *_: drawn.append(scaled))
    list(plots.write(rows, tmp_path, ["cycles"]))
    assert drawn[0] == [[55, 10], [10, 10]]


def test_stored_weights_are_beside_coats_and_nowhere_else(tmp_path, monkeypatch):
    made = fashion(columns=[4, 8], codes=["raw", "ans"], stored=[8])
    rows = [{**failure(point, ""), "error": None, "utilisation": 1000 if point.bits else point.coats}
            for point in made]
    drawn = {}
    monkeypatch.setattr(plots, "_annotate", lambda panel, scaled, *_: drawn.update({panel.get_ylabel(): scaled}))
    written = []
    for path in plots.write(rows, tmp_path, ["utilisation"]):
        written.append((path.stem, drawn.popitem()[1]))
    assert dict(written) == {"columns-coats": [[1, 3, 1000], [1, 3, 1000]], "columns-code": [[2, 2], [2, 2]],
                             "coats-code": [[1, 1], [3, 3], [1000, 1000]]}


def test_a_cell_without_points_is_empty_and_one_whose_points_failed_says_so(tmp_path, monkeypatch):
    made = fashion(coats=[3, 4], schedules=["uniform", "released"])
    rows = [{**failure(point, ""), "error": None, "cycles": 1} for point in made]
    rows[0] |= {"error": "as a test", "cycles": None}
    texts = []
    monkeypatch.setattr("matplotlib.axes.Axes.text", lambda panel, across, down, text, **_: texts.append(text))
    list(plots.write(rows, tmp_path, ["cycles"]))
    assert sorted(texts) == ["", "1", "1", "failed"]


@pytest.mark.parametrize("metric", ["speed", "code", "lanes"])
def test_a_metric_is_a_column_of_results(metric):
    with pytest.raises(ValueError, match=f"metric must be one of .*cycles.*, not '{metric}'"):
        plots.checked([metric])
