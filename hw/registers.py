"""What is made from arch/registers.rdl: the table that decode and driver use, the drivers' C header, and documents.

``python -m hw.registers`` writes the three that are kept in the tree. HTML is large, and written on demand.
"""

from __future__ import annotations

import pprint
import tempfile
from collections.abc import Iterator
from pathlib import Path

from systemrdl import RDLCompiler
from systemrdl.node import AddrmapNode, FieldNode, RegNode
from systemrdl.rdltypes import UserEnum

from arch.registers import Access, Register

__all__ = ["SOURCE", "document", "generated", "header", "read", "table", "write_documents"]

ROOT = Path(__file__).parents[1]

SOURCE = ROOT / "arch" / "registers.rdl"
"""The description, in SystemRDL 2.0."""

_ACCESSES = {
    # Readable, writable, what a write does, whether a one written lasts a cycle.
    (True, False, None, False): Access.READ,
    (True, True, None, False): Access.READ_WRITE,
    (True, True, "woclr", False): Access.CLEAR,
    (False, True, None, True): Access.PULSE,
}

_DOCUMENT = """\
# {title}

Generated from `arch/registers.rdl` by `python -m hw.registers`.

{description}

Access: `r` read only; `rw` keeps what was written; `w1c` set by hardware, a one written clears; `w1p` a one written
acts once, reads as zero.

| register | offset | access | bits | field | meaning |
|---|---|---|---|---|---|
{registers}
What ERROR holds:

| number | error | meaning |
|---|---|---|
{errors}"""


def read(source: Path = SOURCE) -> AddrmapNode:
    """The description. Raises systemrdl.RDLCompileError if it is not SystemRDL."""
    compiler = RDLCompiler()
    compiler.compile_file(str(source))
    return compiler.elaborate().top


def _access(field: FieldNode) -> Access:
    """What software may do with a field. Raises ValueError for what the hardware cannot do."""
    on_write = field.get_property("onwrite")
    properties = (field.is_sw_readable, field.is_sw_writable, on_write and on_write.name,
                  field.get_property("singlepulse"))
    if properties not in _ACCESSES:
        raise ValueError(f"{field.get_path()} must be one of {', '.join(access.value for access in Access)}")
    return _ACCESSES[properties]


def _registers(top: AddrmapNode) -> Iterator[tuple]:
    """Arguments of :meth:`arch.registers.Register.of`, by ascending offset. Raises ValueError for a register that the
    hardware cannot have."""
    for node in top.descendants():
        if not isinstance(node, RegNode):
            continue
        accesses = {_access(field) for field in node.fields()}
        if len(accesses) != 1 or node.get_property("regwidth") != 32:
            raise ValueError(f"{node.get_path()} must have 32 bits, and fields of one access")
        description = node.get_property("desc")
        if node.parent != top:
            description = f"{node.parent.get_property('desc')}: {description}"
        fields = tuple((field.inst_name, field.low, field.width, field.get_property("desc") or description,
                        field.get_property("reset")) for field in node.fields())
        name = "_".join(node.get_path_segments()[1:])
        yield name, node.absolute_address, accesses.pop().value, description, fields


def table(top: AddrmapNode) -> str:
    """arch/register_table.py: the description as Python values."""
    counters = [node for node in top.children() if not isinstance(node, RegNode)]
    values = {
        "REGISTERS": tuple(_registers(top)),
        "COUNTERS": {node.inst_name.lower(): node.get_property("desc") for node in counters},
        "COUNTER_BITS": sum(field.width for register in counters[0].registers() for field in register.fields()),
    }
    return "\n".join(('"""Generated from arch/registers.rdl by `python -m hw.registers`."""\n', *(
        f"{name} = {pprint.pformat(value, width=110, sort_dicts=False)}" for name, value in values.items()))) + "\n"


def header(top: AddrmapNode) -> str:
    """driver/topcoat_registers.h: offsets, as a struct for `offsetof`; masks, positions and resets of fields; and, as
    PeakRDL leaves it out, an enumeration of what ERROR holds."""
    # Only who changes the description needs it.
    from peakrdl_cheader.c_standards import CStandard
    from peakrdl_cheader.exporter import CHeaderExporter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "topcoat_registers.h"
        CHeaderExporter().export(top, str(path), std=CStandard.gnu99, reuse_typedefs=False)
        before, mark, after = path.read_text().rstrip().rpartition("\n\n\n#ifdef __cplusplus")
    errors = "".join(f"    TOPCOAT_ERROR_{error.name} = {error.value}, // {error.rdl_desc}\n" for error in _errors(top))
    return f"{before}\n// enum - topcoat.ERROR\ntypedef enum {{\n{errors}}} topcoat_error;{mark}{after}\n"


def _errors(top: AddrmapNode) -> type[UserEnum]:
    return top.find_by_path("ERROR.value").get_property("encode")


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def document(top: AddrmapNode) -> str:
    """docs/registers.md: all registers in one table, and the errors."""
    lines = []
    for register in (Register.of(*values) for values in _registers(top)):
        fields = [(str(field.lsb) if field.bits == 1 else f"{field.lsb + field.bits - 1}:{field.lsb}", field.name,
                   field.description) for field in register.fields]
        place = register.name, f"0x{register.offset:03X}", register.access.value
        if [name for _, name, _ in fields] == ["value"]:
            lines.append(_row(*place, *fields[0]))
        else:
            lines.append(_row(*place, "", "", register.description))
            lines += [_row("", "", "", *field) for field in fields]
    return _DOCUMENT.format(
        title=top.get_property("name"), description=top.get_property("desc").strip(), registers="".join(lines),
        errors="".join(_row(error.value, error.name, error.rdl_desc) for error in _errors(top)))


def generated() -> dict[Path, str]:
    """What is kept in the tree: content by path. Raises ValueError for a description that the hardware cannot have."""
    top = read()
    return {ROOT / "arch" / "register_table.py": table(top), ROOT / "driver" / "topcoat_registers.h": header(top),
            ROOT / "docs" / "registers.md": document(top)}


def write_documents(folder: Path, *, html: bool = False) -> list[Path]:
    """Writes ``registers.rdl`` and ``registers.md`` into ``folder``, and with ``html`` a website,
    ``registers/index.html`` and what it shows. Returns their paths. The same description always gives the same files.
    Raises ValueError for a website without what makes it."""
    if html:
        try:
            from peakrdl_html import HTMLExporter
        except ImportError:
            raise ValueError("the website needs PeakRDL-html: pip install 'topcoat[html]'") from None
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    top = read()
    paths = [folder / "registers.rdl", folder / "registers.md"]
    paths[0].write_text(SOURCE.read_text())
    paths[1].write_text(document(top))
    if html:
        paths.append(folder / "registers" / "index.html")
        # Neither the time nor the place of the build.
        exporter = HTMLExporter(generate_source_links=False, user_context={"build_ts": 0})
        exporter.export(top, str(paths[2].parent), title=top.get_property("name"))
    return paths


if __name__ == "__main__":
    for path, content in generated().items():
        path.write_text(content)
