"""The critique: costs are the cost model's, favours to stored weights are favours, and the page shows the record."""

import dataclasses
import math

import numpy as np
import pytest

from arch.config import PRESETS
from golden import sweep
from golden.densities import uniform_densities
from reports.critique import coding, equal, measure, tables
from reports.critique.__main__ import PAGE, main, networks, page
from reports.critique.costs import costs
from reports.critique.record import Result, load, save
from reports.design import Design
from reports.design import costs as design_costs

EDGE = PRESETS["edge"]
COATS = Result(name="coats", width=16, densities=uniform_densities(.3, 3), bits=0, kept=0., epochs=1, seed=1,
               float_accuracy=.9, integer_accuracy=.9, file_bytes=1, coded_bits=(1.,) * 10, zeros=(0,) * 10)


def stored(bits, share=1.):
    """A result whose weights, none of them 0, have that share of ``bits`` bits."""
    weights = [layer.weights for layer in COATS.topology.layers]
    return dataclasses.replace(COATS, densities=(), bits=bits, kept=1.,
                               coded_bits=tuple(share * bits * count for count in weights))


def test_adaptive_code_is_that_of_its_estimates():
    """Symbol by symbol: what has been seen, plus a half each."""
    sequence = np.random.default_rng(1).integers(0, 3, 50) ** 2 // 2
    counts, bits = np.full(3, .5), 0.
    for symbol in sequence:
        bits -= math.log2(counts[symbol] / counts.sum())
        counts[symbol] += 1
    assert coding.adaptive_bits(np.bincount(sequence, minlength=3).tolist()) == pytest.approx(bits)


@pytest.mark.parametrize("bits", [4, 8])
def test_stored_bits_are_near_the_entropy(bits):
    rng = np.random.default_rng(2)
    weights = np.rint(rng.laplace(0, .1 * 2 ** bits, 50_000)).clip(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
    weights *= rng.random(weights.size) < .2
    _, counts = np.unique(weights, return_counts=True)
    entropy = -(counts * np.log2(counts / weights.size)).sum()
    assert entropy < coding.stored_bits(weights.astype(np.int8), bits) < 1.02 * entropy
    assert coding.stored_bits(np.zeros(1000, np.int8), bits) < 10


def test_costs_of_coats_are_the_designs():
    design = design_costs(Design(network="fashion", width=16, coats=3, config=EDGE))
    found = costs(COATS, EDGE)
    assert found.engine == design.engine and found.macs == design.estimate.macs
    assert (found.dram_bytes, found.built.cycles) == (design.estimate.dram_bytes, sum(
        layer.cycles for layer in design.estimate.layers))
    for mine, theirs in zip(found.built.energy.energies, design.energy.energies, strict=True):
        assert mine.total_pj == pytest.approx(theirs.total_pj)


@pytest.mark.parametrize("bits", [4, 8])
def test_stored_weights_that_do_not_shrink_are_the_baseline(bits):
    """But for the weight buffer, which a design may get larger."""
    design = design_costs(Design(network="fashion", width=16, bits=bits, config=EDGE))
    found = costs(stored(bits), EDGE)
    assert found.dram_bytes == design.estimate.dram_bytes
    assert found.built.energy.low.total_pj == pytest.approx(design.energy.low.total_pj, rel=.02)
    assert found.area("ecp5") == design.area("ecp5")["total"]


def test_coding_and_zeros_save():
    whole, coded = costs(stored(8), EDGE), costs(stored(8, .25), EDGE)
    weights = sum(layer.weights for layer in COATS.topology.layers)
    assert whole.dram_bytes - coded.dram_bytes == pytest.approx(.75 * weights, rel=.02)
    assert coded.built.cycles <= whole.built.cycles
    assert whole.skipping == whole.built
    zeros = tuple(layer.weights * 3 // 4 for layer in COATS.topology.layers)
    sparse = costs(dataclasses.replace(stored(8, .25), zeros=zeros), EDGE)
    assert sparse.built == coded.built
    assert sparse.skipping.cycles == pytest.approx(coded.built.cycles / 4, rel=.01)
    parts = [run.energy.energies[0].components for run in (sparse.skipping, coded.built)]
    assert parts[0]["array"] == pytest.approx(parts[1]["array"] / 4, rel=.01)
    assert parts[0]["requantiser"] == parts[1]["requantiser"]


def test_decoders_alike():
    """A symbol costs both sides the same, tables only coats; the rest of a run stays."""
    coats, weights = costs(COATS, EDGE), costs(stored(4), EDGE)
    assert coats.decoding == coats.built and weights.decoding.cycles == weights.built.cycles
    for ours, with_it, without in zip(*(run.energy.energies for run in (
            coats.built, weights.decoding, weights.built)), strict=True):
        assert .5 < with_it.components["decoder"] / ours.components["decoder"] < 1
        assert {**with_it.components, "decoder": 0} == {**without.components, "decoder": 0}


def test_coats_decode_what_they_skip():
    zeros = tuple(layer.weights * 3 // 4 for layer in COATS.topology.layers)
    run = costs(dataclasses.replace(COATS, zeros=zeros), EDGE)
    parts = [run.energy.energies[0].components for run in (run.skipping, run.built)]
    assert parts[0]["generator"] == parts[1]["generator"] > 0
    assert parts[0]["partial sums"] < parts[1]["partial sums"]


def test_cost_at_equal_accuracy():
    points = [(10., 90.), (40., 92.), (20., 89.), (40., 91.), (80., 91.9)]
    assert equal.front(points) == [(10., 90.), (40., 92.)]
    assert equal.cost_at(points, 91.) == pytest.approx(20.)
    assert equal.cost_at(points, 92.) == pytest.approx(40.)
    assert equal.cost_at(points, 89.9) == 10. and equal.cost_at(points, 92.1) is None


def test_ratios():
    cheap, dear = (dataclasses.replace(costs(stored(4), EDGE), model_bytes=size, result=dataclasses.replace(
        stored(4), integer_accuracy=accuracy)) for size, accuracy in ((1000, .90), (4000, .92)))
    other = [dataclasses.replace(each, model_bytes=each.model_bytes // 4) for each in (cheap, dear)]

    def size(each):
        return each.model_bytes

    assert equal.ratio([cheap, dear], other, size, 91.) == pytest.approx(4)
    assert equal.ratio([cheap, dear], other, size, 91., better=1.) == pytest.approx(2)
    assert equal.ratio([cheap, dear], other, size, 92.5) is equal.ratio([cheap], other, size, 92.) is None
    ratios = equal.energy_ratios([cheap, dear], other, 91., "built")
    assert len(ratios) == len(cheap.built.energy.energies) and ratios == pytest.approx([1.] * len(ratios))
    assert equal.energy_ratios([cheap], other, 92., "skipping") == []


def test_result_is_its_files(tmp_path):
    """Sizes and zeros of a packed pruned network and of a bundled supermask."""
    from golden import bundled, packed, untrained
    from golden.trained import TrainingConfig
    network = untrained.network("fashion", stored=True)
    provenance = {"float_accuracy": .5, "integer_accuracy": .25}
    packed.save(dataclasses.replace(network, provenance=provenance), tmp_path / "model.coat")
    config = TrainingConfig(topology=network.topology, densities=None, kept=.5, bits=8)
    result = measure.packed_result(tmp_path / "model.coat", config)
    assert (result.side, result.width, result.integer_accuracy) == ("int8", 32, .25)
    assert result.zeros[3] == (network.weights(3) == 0).sum()
    assert result.coded_bits[3] == pytest.approx(coding.stored_bits(network.weights(3), 8), abs=.1)
    path = bundled.FOLDER / "fashion-n3.coat"
    densities = uniform_densities(.3, 3)
    result = measure.packed_result(path, TrainingConfig(topology=network.topology, densities=densities))
    assert (result.side, result.coats, result.file_bytes) == ("coats", 3, path.stat().st_size)
    assert sum(result.coded_bits) == packed.inspect(path)["coded_bits"]
    assert sum(result.zeros) == pytest.approx(.7 * sum(layer.weights for layer in network.topology.layers), abs=20)
    save([result], tmp_path / "record.json")
    assert load(tmp_path / "record.json") == [result]


def test_record_is_of_the_table():
    results = {result.name: result for result in load()}
    runs = sweep.critique_table()
    assert list(results) == list(runs)
    for name, config in runs.items():
        result = results[name]
        assert (result.epochs, result.seed, result.topology) == (config.epochs, config.seed, config.topology)
        assert (result.densities, result.bits, result.kept) == (
            config.densities or (), config.bits or 0, config.kept or 0.)
        for zeros, layer in zip(result.zeros, result.topology.layers, strict=True):
            kept = result.densities[0] if result.coats else result.kept
            assert zeros >= math.floor((1 - kept) * (layer.weights - 1))


def test_page_shows_the_record(monkeypatch, tmp_path, capsys):
    assert page(PAGE.read_text()) == PAGE.read_text(), "renew it: python -m reports.critique"
    copy = tmp_path / "critique.md"
    copy.write_text(PAGE.read_text())
    monkeypatch.setattr("reports.critique.__main__.PAGE", copy)
    assert main([]) == 0
    assert copy.read_text() == PAGE.read_text() and "<svg" in copy.with_suffix(".svg").read_text()
    copy.write_text(PAGE.read_text().replace("<!-- ratios: begin -->", ""))
    assert main([]) == 1
    assert capsys.readouterr().err == "error: critique.md must have one place for the table ratios, not 0\n"


def test_sides_overlap_at_every_level():
    for side in tables.by_side(networks()).values():
        accuracies = [each.accuracy for each in side]
        assert min(accuracies) <= min(tables.LEVELS) and max(tables.LEVELS) <= max(accuracies)
