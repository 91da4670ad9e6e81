"""Sweeps on clusters: the same file however they run, whatever is killed on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import parquet

from reports.sweep.cluster import compute, connect
from topcoat.cli import main

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

# 156 points, of which 52 cannot be built; memories are small, so that planning takes its time.
SWEEP = ["--network", "fashion", "--coats", "1-7", "--density", ".1,.15,.2,.25,.3,.4,.5", "--columns", "8,12,16",
         "--activation-kib", "16", "--mask-kib", "4"]


def command(folder, *arguments) -> list[str]:
    return [sys.executable, "-m", "topcoat.cli", "sweep", *SWEEP, "-o", str(folder), *map(str, arguments)]


def sweep(folder, *arguments) -> str:
    done = subprocess.run(command(folder, *arguments), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(condition, what: str, seconds: float = 120):
    """Wait for ``condition``; its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(.02)
    return value


def parts(folder) -> list[Path]:
    return list((folder / "parts").glob("*.parquet"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """The folder of a sweep that nothing disturbed, by one worker."""
    folder = tmp_path_factory.mktemp("sweep") / "reference"
    assert "156 points, 156 to compute" in sweep(folder, "--workers", 1)
    return folder


@pytest.fixture
def scheduler(tmp_path):
    """Address of a scheduler with two worker processes."""
    file = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    processes = [
        subprocess.Popen([sys.executable, "-m", f"distributed.cli.dask_{name}", *common, *arguments], cwd=tmp_path,
                         env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        for name, arguments in (("scheduler", ["--host", "127.0.0.1", "--port", "0"]),
                                ("worker", ["--nworkers", "2", "--nthreads", "1", "--host", "127.0.0.1"]))]
    try:
        until(file.exists, "scheduler")
        yield json.loads(file.read_text())["address"]
    finally:
        for process in processes[::-1]:
            process.terminate()
            process.wait()


def test_results_and_plots(reference):
    rows = parquet.read_table(reference / "results.parquet", use_threads=False).to_pylist()
    assert len(rows) == 156 and {row["bits"] for row in rows} == {0, 1, 4, 8}
    failed = [row for row in rows if row["error"] is not None]
    assert len(failed) == 52 and {row["error"] for row in failed} == {"columns must be a power of two, not 12"}
    assert all(row["columns"] == 12 and row["cycles"] is None for row in failed)
    axes = ["columns", "coats", "density"]
    names = {f"{one}-{other}" for number, one in enumerate(axes) for other in axes[number + 1:]}
    assert {path.name for path in (reference / "plots").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("png", "svg")}


def test_two_workers_of_a_scheduler_give_the_same_file(reference, scheduler, tmp_path):
    sweep(tmp_path / "out", "--scheduler", scheduler)
    assert (tmp_path / "out" / "results.parquet").read_bytes() == (reference / "results.parquet").read_bytes()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_is_stopped_continues(reference, tmp_path, how):
    # Tests that were started in the background ignore Ctrl-C, and would hand that on.
    process = subprocess.Popen(command(tmp_path, "--workers", 2), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    until(lambda: len(parts(tmp_path)) > 1, "part")
    os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()  # Ctrl-C reaches the workers as well
    _, errors = process.communicate()
    if how == signal.SIGINT:
        assert process.returncode == 130 and errors.endswith("topcoat sweep: interrupted\n")
        assert "Traceback" not in errors
    assert not (tmp_path / "results.parquet").exists()
    done = sum(parquet.read_metadata(path).num_rows for path in parts(tmp_path))
    assert 0 < done < 156
    assert f"156 points, {156 - done} to compute" in sweep(tmp_path, "--dry-run")
    assert f"156 points, {156 - done} to compute" in sweep(tmp_path, "--workers", 1)
    assert (tmp_path / "results.parquet").read_bytes() == (reference / "results.parquet").read_bytes()


def test_other_values_extend_a_sweep(reference, tmp_path):
    shutil.copytree(reference, tmp_path / "out")
    said = sweep(tmp_path / "out", "--density", ".1,.7", "--columns", "16", "--workers", 1,
                 "--json", tmp_path / "rows.json")
    assert "17 points, 7 to compute" in said and "163 rows; of these 17 points 0 failed" in said
    chosen = json.loads((tmp_path / "rows.json").read_text())
    assert len(chosen) == 17 and {row["columns"] for row in chosen} == {16}
    rows = parquet.read_table(tmp_path / "out" / "results.parquet", use_threads=False).to_pylist()
    before = parquet.read_table(reference / "results.parquet", use_threads=False).to_pylist()
    assert len(rows) == 163 and [row for row in rows if row["density"] != .7] == before


def test_status_and_plots_are_of_the_points_that_were_asked_for(reference, tmp_path):
    """In a folder that has others, which did not fail."""
    shutil.copytree(reference, tmp_path / "out")
    options = ["sweep", "--network", "fashion", "--coats", "1", "--columns", "12", "--stored", "none", "-o"]
    done = subprocess.run([sys.executable, "-m", "topcoat.cli", *options, str(tmp_path / "out"), "--workers", "1"],
                          cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "of these 1 points 1 failed\n  1 x columns must be a power of two, not 12\n" in done.stdout
    assert done.stdout.endswith("no plot: one takes two lists of several values\n")


def test_a_worker_that_dies_loses_no_item():
    def slowly(items):
        time.sleep(.2)
        return items

    results, workers = [], None
    with connect(workers=2) as client:
        workers = client.run(os.getpid)
        for chunk in compute(client, {"a": range(10), "b": range(10, 20)}, slowly, None):
            if not results:
                os.kill(next(iter(workers.values())), signal.SIGKILL)
            results += chunk
    assert sorted(results) == list(range(20))


def test_an_item_that_kills_workers_is_given_up_and_no_other():
    def fragile(items):
        if 3 in items:
            os._exit(1)
        return items

    with connect(workers=1) as client:
        results = [item for chunk in compute(client, {"a": range(5)}, fragile, lambda item, why: (item, why), deaths=2)
                   for item in chunk]
    given_up = (3, "2 workers died while they computed this point")
    assert sorted(item for item in results if item != given_up) == [0, 1, 2, 4]
    assert results.count(given_up) == 1


def test_what_the_function_raises_and_a_cluster_without_workers_end_it():
    def failing(items):
        raise RuntimeError("workers run another version")

    with connect(workers=1) as client:
        with pytest.raises(RuntimeError, match="^workers run another version$"):
            list(compute(client, {"a": [1]}, failing, None))
        client.cluster.scale(0)
        until(lambda: not client.nthreads(), "end of the worker")
        with pytest.raises(RuntimeError, match="no worker at .* for 0.2 s: start some with `dask worker"):
            list(compute(client, {"a": [1]}, failing, None, patience=.2))


@pytest.mark.parametrize("arguments, message", [
    (["--coats", "1-x"], "--coats must be a list such as 1-7 or 8,16, not '1-x'"),
    (["--coats", "3-1"], "--coats has no value: '3-1'"),
    (["--mask-kib", ".3"], "--mask-kib must be a list such as 16,64 or .5, in KiB and whole bytes, not '.3'"),
    (["--mask-kib", "inf"], "--mask-kib must be a list such as 16,64 or .5, in KiB and whole bytes, not 'inf'"),
    (["--mask-kib", "8.0003"], "--mask-kib must be a list such as 16,64 or .5, in KiB and whole bytes, not '8.0003'"),
    (["--stored", "2"], "stored must be one of 8, 4, 1, not 2"),
    (["--density", "high"], "--density must be a list such as .1,.3, not 'high'"),
    (["--coats", "8"], "coats must be in 1..7, not 8"),
    (["--network", "vgg"], "network must be one of resnet18"),
    (["--metric", "speed"], "metric must be one of "),
    (["--workers", "0"], "--workers must be at least 1, not 0"),
    (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "--workers are processes on this machine"),
    (["--scheduler", "tcp://127.0.0.1:1"], "no scheduler answers at tcp://127.0.0.1:1: start one with"),
    (["--scheduler", "nonsense://x"], "no scheduler answers at nonsense://x: start one with"),
])
def test_bad_options_are_one_line(arguments, message, tmp_path, capsys):
    assert main(["sweep", "-o", str(tmp_path / "out"), *arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "point/s" not in line and line]
    assert len(lines) == 1 and lines[0].startswith("topcoat sweep: error: ") and message in lines[0]


def test_dry_run_writes_nothing(tmp_path, capsys):
    assert main(["sweep", "-o", str(tmp_path / "out"), "--coats", "1-7", "--columns", "8,16", "--mask-kib", ".5-2,16",
                 "--dry-run"]) == 1
    assert main(["sweep", "-o", str(tmp_path / "out"), "--coats", "1-7", "--columns", "8,16", "--mask-kib", ".5,16-17",
                 "--dry-run"]) == 0
    assert capsys.readouterr().out == "60 points, 60 to compute\n"
    assert not (tmp_path / "out").exists()
