"""The command line: what other tools rely on, and one clear line for bad input."""

import json
import struct

import pytest

from arch.config import EngineConfig
from compiler import compile_network
from driver.program import ProgramFile
from golden import bundled, networks, packed
from golden.packed import CoatError, load
from reports.actions import actions
from reports.energy import energies
from reports.records import program_record, zero_fractions
from sim import toolchain
from tests.random_networks import random_values
from topcoat.cli import COMMANDS, main

MODEL = "fashion-n3"


def failing(capsys, *arguments) -> str:
    """The one line that a failing command prints."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"topcoat {arguments[0]}: error: ")
    return lines[0]


def idx(folder, count: int, size: int):
    """Writes a test split of ``count`` black images."""
    pixels = bytes(count * size ** 2)
    (folder / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, size, size) + pixels)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + bytes(count))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"example: topcoat {command}" in capsys.readouterr().out


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(f"  {command} " in text for command in COMMANDS)


@pytest.mark.parametrize("key, counter, rounds, words", [
    ((0, 0), (0, 0), 13, "9d1c5ec6 8bd50731"),
    ((0, 0), (0, 0), 20, "6b200159 99ba4efe"),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), 13, "ba3e4725 f27d669e"),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), 20, "c4923a9c 483df7a0"),
])
def test_stream_prints_the_known_answers(key, counter, rounds, words, capsys):
    seed = key[0] | key[1] << 32
    assert main(["stream", "--seed", str(seed), "--stream", str(counter[1]), "--block", str(counter[0]), "--count", "1",
                 "--rounds", str(rounds)]) == 0
    assert capsys.readouterr().out == f"{words}\n"


def test_stream_refuses_other_rounds(capsys):
    assert "rounds must be" in failing(capsys, "stream", "--rounds", 12)


def test_models_lists_names_first(capsys):
    assert main(["models"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == list(bundled.models()) and MODEL in names


def test_inspect_accounts_for_every_byte(tmp_path, capsys):
    assert main(["inspect", MODEL, "--json", str(tmp_path / "size.json")]) == 0
    report = json.loads((tmp_path / "size.json").read_text())
    size = bundled.find(MODEL).stat().st_size
    assert report["file_bytes"] == size == sum(report["parts"].values())
    assert size <= 1.02 * report["payload_bytes"] + 4096
    for layer in report["layers"]:
        assert set(layer) >= {"name", "weights", "densities", "code", "coded_bits", "shannon_bits"}
        assert layer["shannon_bits"] <= layer["coded_bits"]
    assert sum(layer["weights"] for layer in report["layers"]) == report["weights"]
    assert {"paper_bits", "weights"} <= set(report)


@pytest.mark.parametrize("model", bundled.models())
def test_bundled_models_are_as_small_as_promised(model):
    network = load(bundled.find(model))
    macs = sum(network.topology.macs().values())
    assert macs <= 12_000_000
    total = sum(path.stat().st_size for path in bundled.FOLDER.rglob("*") if path.is_file())
    assert total <= 4 << 20


def test_unknown_model(capsys):
    assert "neither a file nor bundled" in failing(capsys, "inspect", "no-such-model")


@pytest.mark.parametrize("damage", ("truncated", "flipped header", "flipped mask", "another file", "empty"))
def test_damaged_models_are_refused(damage, tmp_path, capsys):
    data = bytearray(bundled.find(MODEL).read_bytes())
    if damage == "truncated":
        data = data[:-100]
    elif damage == "flipped header":
        data[200] ^= 4
    elif damage == "flipped mask":
        data[-20000] ^= 1
    elif damage == "another file":
        data = bytearray(b"\x7fELF" * 1000)
    else:
        data = bytearray()
    path = tmp_path / "broken.coat"
    path.write_bytes(data)
    with pytest.raises(CoatError):
        load(path)
    commands = ["inspect", path], ["simulate", path], ["evaluate", path], ["compare", path, "-o", tmp_path / "out"]
    for command in commands:
        assert str(path) in failing(capsys, *command)


def test_failed_command_leaves_earlier_results(tmp_path, capsys):
    target = tmp_path / "size.json"
    target.write_text("earlier")
    failing(capsys, "inspect", "no-such-model", "--json", target)
    assert target.read_text() == "earlier"


def test_missing_data_set(tmp_path, capsys):
    assert "is missing" in failing(capsys, "evaluate", MODEL, "--data", tmp_path)


def test_images_of_the_wrong_shape(tmp_path, capsys):
    idx(tmp_path, 2, 20)
    assert "images must have shape (1, 28, 28)" in failing(capsys, "simulate", MODEL, "--data", tmp_path)


def test_more_images_than_there_are(capsys):
    assert "images must be in 1..256" in failing(capsys, "simulate", MODEL, "--images", 1000)


def test_a_layer_the_engine_cannot_hold(tmp_path, capsys):
    topology = networks.plain(widths=(8, 8), input_shape=(1, 96, 96), classes=10)
    packed.save(random_values(topology, 1, EngineConfig.preset("tiny"), "unary"), tmp_path / "big.coat")
    idx(tmp_path, 1, 96)
    message = failing(capsys, "simulate", tmp_path / "big.coat", "--data", tmp_path, "--preset", "tiny")
    assert "layer conv2" in message and "16384" in message


def test_coats_out_of_range(tmp_path, capsys):
    assert "coats" in failing(capsys, "train", "--coats", 8, "-o", tmp_path)


def test_evaluate_on_the_bundled_images(tmp_path, capsys):
    target = tmp_path / "accuracy.json"
    assert main(["evaluate", MODEL, "--data", str(bundled.IMAGES), "--json", str(target)]) == 0
    result = json.loads(target.read_text())
    assert result["images"] == 256 and result["accuracy"] >= .9


def test_simulate_says_what_other_tools_read(tmp_path, capsys):
    target = tmp_path / "run.json"
    assert main(["simulate", MODEL, "--images", "2", "--json", str(target), "--report", str(tmp_path / "page")]) == 0
    network, config = packed.load(bundled.find(MODEL)), EngineConfig.preset("edge")
    record = program_record(compile_network(network, config), zero_fractions(network))
    energy = energies(actions(record, config), config)
    said = f"{energy.low.total_pj / 1e6:,.2f} to {energy.high.total_pj / 1e6:,.2f} µJ"
    assert f"energy of an image: {said}, by constant set" in capsys.readouterr().out
    assert said in (tmp_path / "page" / "index.html").read_text()
    result = json.loads(target.read_text())
    assert set(result) >= {"bit_exact", "layers", "images", "accuracy", "golden_accuracy", "cycles", "macs",
                           "utilisation", "weight_bytes", "sim_seconds", "cycles_per_second"}
    assert all(set(layer) >= {"name", "bit_exact", "cycles", "macs"} for layer in result["layers"])
    assert result["bit_exact"] and result["images"] == 2
    assert result["macs"] == sum(layer["macs"] for layer in result["layers"]) == 2 * 10_721_024
    assert result["weight_bytes"] == sum(layer["weight_bytes"] for layer in result["layers"])
    assert result["utilisation"] == pytest.approx(result["macs"] / (256 * result["cycles"]))


def test_demo_and_comparison(tmp_path, capsys):
    target = tmp_path / "demo.json"
    assert main(["demo", "-o", str(tmp_path / "page"), "--json", str(target)]) == 0
    printed = capsys.readouterr().out
    assert "\nBIT-EXACT" in printed and "= accuracy golden" in printed
    result = json.loads(target.read_text())
    rows = result["comparison"]
    assert [row["coats"] for row in rows] == [1, 2, 3, 5, 7] and all(row["bit_exact"] for row in rows)
    for row in rows:
        assert row["shannon_bytes"] <= row["mask_bytes"] <= row["paper_bytes"] < row["file_bytes"] < row["int8_bytes"]
        # Whole beats: at most one beat per layer above the coded bits, and the words that lanes ask for ahead.
        assert row["mask_bytes"] <= row["weight_traffic"] < 1.01 * row["mask_bytes"] + 10 * 16 * 4
    page = (tmp_path / "page" / "index.html").read_text()
    assert page.count("<svg") == 5 and "http-equiv" not in page


def test_missing_compiler_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    toolchain.find_toolchain.cache_clear()
    assert main(["simulate", MODEL]) == 1
    assert "error: g++ was not found on PATH: install" in capsys.readouterr().err.splitlines()[-1]


def test_compile_writes_a_program_file(tmp_path, capsys):
    path = tmp_path / "fashion-n1.program"
    assert main(["compile", "fashion-n1", "--preset", "tiny", "--batch", "2", "--address", "0x10000000", "-o",
                 str(path)]) == 0
    program = compile_network(load(bundled.find("fashion-n1")), EngineConfig.preset("tiny"), batch=2)
    file = ProgramFile.read(path)
    assert file.address == 0x1000_0000 and file.relocated(0) == ProgramFile.of(program)
    assert f"memory: {file.memory_bytes} bytes from 0x10000000 on" in capsys.readouterr().out
    assert "multiple of 4096" in failing(capsys, "compile", "fashion-n1", "--preset", "tiny", "--address", "64", "-o",
                                         path)
    assert ProgramFile.read(path) == file


def test_lanes_of_planes_have_programs_of_their_own(tmp_path):
    path = tmp_path / "fashion-n1.program"
    config = EngineConfig.preset("tiny", lane="planes")
    assert main(["compile", "fashion-n1", "--preset", "tiny", "--lane", "planes", "-o", str(path)]) == 0
    assert ProgramFile.read(path) == ProgramFile.of(compile_network(load(bundled.find("fashion-n1")), config))
    assert ProgramFile.read(path).configuration == config.hash != EngineConfig.preset("tiny").hash


def test_simulate_runs_the_lanes_asked_for(monkeypatch, capsys):
    def simulated(network, images, config, **_):
        raise ValueError(f"{config.name}, {config.lane}, {config.step_cycles}, {config.activation_banks}")

    monkeypatch.setattr("topcoat.commands.simulate.simulate_network", simulated)
    given = "--preset", "tiny", "--lane", "planes", "--step-cycles", "2", "--activation-banks", "8"
    assert failing(capsys, "simulate", MODEL, *given).endswith("tiny, planes, 2, 8")
    assert failing(capsys, "simulate", MODEL).endswith("edge, multiplier, 1, 8")
    assert failing(capsys, "simulate", MODEL, "--activation-banks", "3").endswith(
        "activation_banks must be a power of two, not 3")
