"""The register description and everything that is made from it."""

from pathlib import Path

import pytest
from systemrdl import RDLCompileError

from arch.counters import COUNTERS
from arch.descriptor import MAGIC, VERSION, Error
from arch.registers import ADDRESS_BITS, FIELDS, OFFSETS, REGISTERS
from hw import registers as generator

GENERATED = generator.generated()


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_what_is_kept_is_what_the_description_says(path):
    assert path.read_text() == GENERATED[path], "run `python -m hw.registers`"


def test_description_is_sound():
    assert [register.offset for register in REGISTERS] == sorted(set(OFFSETS.values()))
    assert len(OFFSETS) == len(REGISTERS)
    for register in REGISTERS:
        assert register.offset % 4 == 0 and register.offset < 1 << ADDRESS_BITS
        used = 0
        for field in register.fields:
            assert field.mask < 1 << 32 and not used & field.mask, f"{register.name}.{field.name}"
            used |= field.mask


def test_description_agrees_with_what_it_names():
    """Values that the engine's own contracts decide."""
    assert (FIELDS["ID.value"].reset, FIELDS["VERSION.program"].reset) == (MAGIC, VERSION)
    errors = generator.read().find_by_path("ERROR.value").get_property("encode")
    assert {error.name: error.value for error in errors} == {error.name: error.value for error in Error}
    assert f"byte addresses of {ADDRESS_BITS} bits" in generator.document(generator.read())
    for error in Error:
        assert f"    TOPCOAT_ERROR_{error.name} = {error.value}, //" in generator.header(generator.read())
    for name in COUNTERS:
        assert OFFSETS[f"{name}_HIGH".upper()] == OFFSETS[f"{name}_LOW".upper()] + 4


def changed(folder: Path, old: str, new: str) -> Path:
    text = generator.SOURCE.read_text()
    assert old in text
    path = folder / "registers.rdl"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize("output", [generator.table, generator.header, generator.document])
def test_every_output_follows_the_description(tmp_path, output):
    """An output that did not would be no check of anything."""
    top = generator.read(changed(tmp_path, "} STATUS @ 0x044;", "} STATE @ 0x060;"))
    assert output(top) != output(generator.read())


@pytest.mark.parametrize("old, new, message", [
    ("onwrite = woclr;", "onwrite = wclr;", "INTERRUPT_PENDING.done must be one of r, rw, w1c, w1p"),
    ('field { desc = "take all counters at once"; }', 'field { desc = "x"; singlepulse = false; sw = rw; }',
     "CONTROL must have 32 bits, and fields of one access"),
])
def test_what_the_hardware_cannot_do(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        generator.table(generator.read(changed(tmp_path, old, new)))


def test_overlapping_registers(tmp_path, capsys):
    with pytest.raises(RDLCompileError):
        generator.read(changed(tmp_path, "ERROR @ 0x048", "ERROR @ 0x044"))
    assert "overlaps with" in capsys.readouterr().err


def test_documents(tmp_path):
    rdl, markdown, page = generator.write_documents(tmp_path / "first", html=True)
    assert rdl.read_text() == generator.SOURCE.read_text()
    assert markdown.read_text() == (generator.ROOT / "docs" / "registers.md").read_text()
    pages = {path: path.read_text() for path in (page.parent / "content").iterdir()}
    assert len(pages) == 1 + len(REGISTERS) + len(COUNTERS)
    assert any("a start would be obeyed" in text for text in pages.values())
    generator.write_documents(tmp_path / "second", html=True)
    for path in sorted((tmp_path / "first").rglob("*")):
        other = tmp_path / "second" / path.relative_to(tmp_path / "first")
        assert path.is_dir() or path.read_bytes() == other.read_bytes(), path
    assert str(generator.ROOT) not in "".join(pages.values()) + page.read_text()

