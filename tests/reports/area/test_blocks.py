import dataclasses

import pytest

from arch.config import PRESETS
from hw.ans import AnsTable
from hw.decoder import CoatDecoder
from hw.lane import DecoderLane
from hw.threefry import RandomStream
from reports.area import blocks
from reports.area.blocks import BLOCKS, Sample, block_verilog, samples
from reports.area.outline import outlined_verilog
from reports.area.sources import _module, source_digest


def test_an_outline_has_ports_and_nothing_inside():
    text = block_verilog(Sample("decoder", "tiny", ()))
    assert text.count("module outline_DecoderLane(") == text.count("module outline_AnsTable(") == 1
    assert text.count("  outline_DecoderLane ") == PRESETS["tiny"].decoder_lanes
    outline = text[text.index("(* blackbox *)\nmodule outline_DecoderLane("):]
    outline = outline[:outline.index("endmodule")]
    assert "input [15:0] \\word ," in outline and "output [3:0] \\symbol ," in outline
    assert "reg" not in outline and "assign" not in outline
    assert "module topcoat_block.lane" not in text


def test_what_is_inside_an_outline_does_not_matter(monkeypatch):
    config = PRESETS["tiny"]
    outlined = outlined_verilog(CoatDecoder(config), "block", (DecoderLane,))
    whole = outlined_verilog(CoatDecoder(config), "block")
    elaborate = DecoderLane.elaborate

    def changed(self, platform):
        m = elaborate(self, platform)
        m.submodules += AnsTable()
        return m

    monkeypatch.setattr(DecoderLane, "elaborate", changed)
    assert outlined_verilog(CoatDecoder(config), "block", (DecoderLane,)) == outlined
    assert outlined_verilog(CoatDecoder(config), "block") != whole


def test_an_outline_of_what_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="CoatDecoder has no RandomStream"):
        outlined_verilog(CoatDecoder(PRESETS["tiny"]), "block", (RandomStream,))


def test_every_block_of_the_engine_is_counted_once():
    """Outlines of the control are blocks; whatever a block leaves out is one as well."""
    components = {block.component for block in BLOCKS.values()}
    left_out = [part for block in BLOCKS.values() for part in block.without]
    assert len(left_out) == len(set(left_out)) and set(left_out) <= components
    outside = {BLOCKS[name].component for name in ("engine", "register_file")}
    assert components - set(left_out) == outside


def test_memories_start_with_anything():
    assert "initial begin" not in block_verilog(Sample("mask_buffer", "tiny", ()))


def test_samples_are_distinct_and_only_cells_have_register_files():
    every = samples(registers=True)
    assert len(set(every)) == len(every)
    assert {sample.block for sample in set(every) - set(samples(registers=False))} == {"register_file"}


def test_a_sample_reads_as_words():
    sample = Sample("column", "edge", (("lanes", 8), ("weight_bits", 2)))
    assert str(sample) == "column of edge lanes=8 weight_bits=2"
    assert sample.config == dataclasses.replace(PRESETS["edge"], lanes=8, weight_bits=2)


def test_the_digest_of_sources_covers_what_a_module_imports(tmp_path, monkeypatch):
    digests = [source_digest(module) for module in {block.component.__module__ for block in BLOCKS.values()}]
    assert len(set(digests)) == len(digests)
    _, imports = _module("hw.lane")
    assert {"hw.ans", "arch.config"} <= imports


def _digest(tmp_path, monkeypatch, text):
    (tmp_path / "some_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    _module.cache_clear()
    source_digest.cache_clear()
    try:
        return source_digest("some_module")
    finally:
        _module.cache_clear()
        source_digest.cache_clear()


def test_the_digest_of_sources_is_of_what_they_do(tmp_path, monkeypatch):
    def digest(text):
        return _digest(tmp_path, monkeypatch, text)

    plain = digest("def f(x):\n    return x + 1\n")
    assert plain == digest('"""Text."""\n\n\ndef f(x):\n    """More."""\n    return (x + 1)  # y\n')
    assert plain != digest("def f(x):\n    return x + 2\n")
    assert plain != digest("from hw.instance import emitted_instance\n\ndef f(x):\n    return x + 1\n")


def test_a_register_file_is_made_for_each_depth():
    depths = [sample.config.weight_slots for sample in samples(registers=True) if sample.block == "register_file"]
    assert depths == [2, 4, 8, 16, 32]
    assert len({block_verilog(Sample("register_file", "edge", (("weight_slots", depth),))) for depth in depths}) == 5
    assert blocks.TOP in block_verilog(Sample("register_file", "edge", (("weight_slots", 2),)))
