"""How long reports take, in processor time of all their processes: no longer on one free core."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def processor_seconds(*arguments) -> float:
    """Of a command and the processes that it starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "topcoat.cli", *map(str, arguments)], cwd=ROOT, capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.nightly
def test_comparison_of_resnet50(tmp_path):
    assert processor_seconds("compare", "--network", "resnet50", "-o", tmp_path) < 60


@pytest.mark.nightly
def test_sweep_of_two_thousand_designs(tmp_path):
    """That of docs/measurements.md."""
    lists = {"network": "resnet18-cifar", "width": "32,64", "density": ".1,.3,.5", "code": "raw,unary,ans",
             "columns": "16,32", "lanes": "16,32", "activation-kib": "64,256", "mask-kib": "16,64", "workers": 2}
    options = [word for name, value in lists.items() for word in (f"--{name}", value)]
    assert processor_seconds("sweep", *options, "-o", tmp_path) < 300
