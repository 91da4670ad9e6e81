"""Program files: what they hold, damage, and programs that move."""

import dataclasses
import re
import struct
import zlib

import numpy as np
import pytest

from arch import descriptor
from driver.program import HEADER_BYTES, ProgramFile


def test_a_file_holds_the_program(case, tmp_path):
    path = tmp_path / "fashion-n1.program"
    path.write_bytes(case.file.to_bytes())
    file = ProgramFile.read(path)
    program = case.program
    assert file == case.file
    assert file.image.ljust(len(program.image), b"\0") == program.image
    assert (file.program_place, file.input_place, file.output_place) == (
        program.program_address, program.input_address, program.output_address)
    assert file.pack_input(case.images) == program.pack_input(case.images)
    content = np.random.default_rng(0).bytes(program.output_bytes)
    assert np.array_equal(file.unpack_output(content), program.unpack_output(content))


@pytest.mark.parametrize("change, message", [
    (lambda content: b"", "no program file: make one with `topcoat compile`"),
    (lambda content: b"x" + content[1:], "no program file: make one with `topcoat compile`"),
    (lambda content: content[:40] + b"x" + content[41:],
     "the program file's header is damaged: its checksum is wrong"),
    (lambda content: content[:-1], "the program file must have {size} bytes, not {size_less_one}"),
    (lambda content: content + b"x", "the program file must have {size} bytes, not {size_and_one}"),
])
def test_damage(case, tmp_path, change, message):
    content = case.file.to_bytes()
    path = tmp_path / "bad.program"
    path.write_bytes(change(content))
    message = message.format(size=len(content), size_less_one=len(content) - 1, size_and_one=len(content) + 1)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}$"):
        ProgramFile.read(path)


def test_another_version(case):
    content = bytearray(case.file.to_bytes())
    content[4] = 9
    content[HEADER_BYTES - 4:HEADER_BYTES] = zlib.crc32(content[:HEADER_BYTES - 4]).to_bytes(4, "little")
    with pytest.raises(ValueError, match="must have version 1, not 9: make it anew with `topcoat compile`"):
        ProgramFile.from_bytes(bytes(content))


@pytest.mark.parametrize("field, value", [
    ("image", b"\0" * 256), ("image", b"\0" * (1 << 24)), ("input_place", 1 << 24), ("output_bytes", 1 << 24),
    ("input_place", 2), ("output_bytes", 5)])
def test_regions_lie_where_they_can(case, field, value):
    with pytest.raises(ValueError, match="^the program's (descriptors|input|output|image), .* inside of .* bytes$"):
        dataclasses.replace(case.file, **{field: value})


def test_a_program_that_moves(case):
    """Only addresses of memory change, all by as much, and checksums are right again."""
    moved = case.file.relocated(0xFF00_0000)
    changed = set()
    for index in range(case.file.descriptors):
        first = index * descriptor.BYTES
        contents = [file.image[first:first + descriptor.BYTES] for file in (case.file, moved)]
        before, after = map(descriptor.unpack, contents)
        assert after["crc"] == zlib.crc32(contents[1][:-4])
        words = [struct.unpack("<32I", content) for content in contents]
        assert {after_word - before_word for before_word, after_word in zip(*(each[:-1] for each in words))} <= {
            0, 0xFF00_0000}
        names = {"LOAD": {"memory_address"}, "STORE": {"memory_address"},
                 "LAYER": {"mask_address", "parameter_address"}}.get(descriptor.Opcode(before["opcode"]).name, set())
        for name in names:
            assert after[name] == before[name] + 0xFF00_0000
        changed |= names
    assert changed == {"memory_address", "mask_address", "parameter_address"}
    end = case.file.descriptors * descriptor.BYTES
    assert moved.image[end:] == case.file.image[end:]
    assert moved.relocated(0) == case.file


@pytest.mark.parametrize("address", [64, -4096, (1 << 32) - 4096])
def test_an_address_that_cannot_be(case, address):
    with pytest.raises(ValueError, match=f"^address must be a multiple of 4096 .* not {address:#x}$"):
        case.file.relocated(address)
