"""The C driver: compiled as C99 without a warning and run against the Verilated accelerator."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from arch.counters import COUNTERS
from arch.registers import OFFSETS
from driver import program as program_file
from sim.device import board_library
from tests.driver.conftest import ADDRESS, CONFIG

HEADERS = Path(program_file.__file__).parent
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", f"-I{HEADERS}")

MAPPED = """\
#include <stdio.h>
#include "topcoat.h"

int main(void)
{
    static uint32_t registers[1024], memory[4];
    const uint8_t content[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t back[8];
    topcoat_mapping mapping = {registers, memory};
    topcoat_device device = topcoat_mapped_device(&mapping);
    topcoat_engine engine;
    registers[0] = 0x544F4354;
    registers[1] = 0x00010002;
    registers[0x44 / 4] = 0x10;
    if (topcoat_open(&engine, device, 0, sizeof memory) != TOPCOAT_OK) return 1;
    device.load(device.context, 4, content, 8);
    device.fetch(device.context, 4, back, 8);
    topcoat_write(&engine, TOPCOAT_OFFSET(PROGRAM_ADDRESS), 5);
    printf("%x %x %x %x %x %u %d\\n", memory[0], memory[1], memory[2], memory[3], registers[0x54 / 4],
           topcoat_read(&engine, TOPCOAT_OFFSET(PROGRAM_ADDRESS)), memcmp(content, back, 8));
    return 0;
}
"""


def compiled(folder: Path, *sources: Path, compiler: tuple[str, ...] = ("gcc", "-std=c99")) -> Path:
    target = folder / "program"
    subprocess.run([*compiler, *WARNINGS, "-o", target, *sources], check=True, capture_output=True, text=True)
    return target


def test_results_and_counters_of_the_direct_backend(case, tmp_path):
    run = compiled(tmp_path, Path(__file__).with_name("run.c"), board_library(CONFIG))
    program, images, output = (tmp_path / name for name in ("program.bin", "input.bin", "output.bin"))
    program.write_bytes(case.file.relocated(ADDRESS).to_bytes())
    images.write_bytes(case.file.pack_input(case.images))
    offsets = [str(OFFSETS[f"{name}_LOW".upper()]) for name in COUNTERS]
    result = subprocess.run([run, program, images, output, *offsets], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    error, *counters = result.stdout.splitlines()
    assert error == "PROGRAM_CRC at 1"
    assert dict(zip(COUNTERS, map(int, counters), strict=True)) == case.direct.counters
    assert np.array_equal(case.file.unpack_output(output.read_bytes()), case.direct.outputs)


@pytest.mark.parametrize("compiler", [("gcc", "-std=c99"), ("g++", "-x", "c++", "-std=c++11")], ids=["c", "c++"])
def test_mapped_registers_and_memory(tmp_path, compiler):
    source = tmp_path / "mapped.c"
    source.write_text(MAPPED)
    run = compiled(tmp_path, source, compiler=compiler)
    assert subprocess.run([run], check=True, capture_output=True, text=True).stdout == "0 4030201 8070605 0 5 5 0\n"
