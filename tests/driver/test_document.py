"""The examples of docs/driver.md."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import driver
from driver.device import Device
from driver.program import ProgramFile
from sim.device import SimulatedDevice
from tests.driver.conftest import CONFIG

TEXT = (Path(__file__).parents[2] / "docs" / "driver.md").read_text()
BOARD, SIMULATED = re.findall("```python\n(.*?)```", TEXT, re.DOTALL)


def test_simulation(case):
    names = {}
    exec(SIMULATED, names)
    assert np.array_equal(names["results"], case.direct.outputs)
    assert names["counters"] == case.direct.counters


def test_board(case, monkeypatch):
    """With a simulated board in place of /dev/mem."""
    def opened(registers: str, *, registers_offset: int, memory: str, memory_offset: int, memory_bytes: int) -> Device:
        assert registers == memory == "/dev/mem" and registers_offset % 4096 == 0
        return SimulatedDevice(CONFIG, memory_bytes=memory_bytes, address=memory_offset)

    monkeypatch.setattr("driver.device.MappedDevice", opened)
    monkeypatch.setattr(ProgramFile, "read", lambda path: case.file)
    names = {"images": case.images}
    exec(BOARD, names)
    assert np.array_equal(names["results"], case.direct.outputs)
    assert names["cycles"] == case.direct.counters["cycles"]


@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_c(tmp_path, standard):
    source = tmp_path / "classify.c"
    source.write_text(re.search("```c\n(.*?)```", TEXT, re.DOTALL)[1])
    subprocess.run(["gcc", f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c", source,
                    f"-I{Path(driver.__file__).parent}", "-o", tmp_path / "classify.o"], check=True)


def test_what_a_board_needs():
    """Python, NumPy and two folders, as the page says."""
    code = "import sys, driver.device, driver.engine; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=Path(driver.__file__).parents[1], check=True,
                            capture_output=True, text=True).stdout.split()
    ours = {path.parent.name for path in Path(driver.__file__).parents[1].glob("*/__init__.py")}
    assert ours & set(loaded) == {"arch", "driver"}
    assert not {"amaranth", "systemrdl", "torch"} & set(loaded)
