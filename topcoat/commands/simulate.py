"""Run a model on the simulated engine, hold every tensor of every layer against the integer model, and count.

example: topcoat simulate fashion-n3 --preset edge --images 16 --backend native --json run.json
example: topcoat simulate --network resnet18 --coats 3 --preset base --check layers --report out/resnet18
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from golden import bundled, datasets, packed, untrained
from golden.codes import CHOICES
from golden.densities import SCHEDULES
from golden.integer import IntegerNetwork
from golden.networks import NETWORKS
from golden.photograph import photographs
from golden.recode import recode
from reports import page
from reports.actions import actions
from reports.baseline import int8_bytes
from reports.energy import energies
from reports.records import run_record, zero_fractions
from reports.traffic import traffic_floor
from sim import memory
from sim.network import BACKENDS, CHECKS, NetworkRun, simulate_network
from topcoat.engine import add_engine_arguments, engine_config
from topcoat.output import table, write_json


_NETWORK_OPTIONS = ("coats", "density", "schedule", "seed")
"""Options that only ``--network`` has; what is not given is up to :func:`golden.untrained.network`."""


def _rate(text: str) -> tuple[int, int]:
    """``BEATS/CYCLES`` as a pair."""
    beats, slash, cycles = text.partition("/")
    if not slash or not beats.isdigit() or not cycles.isdigit():
        raise argparse.ArgumentTypeError(f"must be BEATS/CYCLES, for example 3/4, not {text!r}")
    return int(beats), int(cycles)


def configure(parser):
    parser.add_argument("model", nargs="?", metavar="M.coat", help="file, or a bundled model's name")
    network = parser.add_argument_group("instead of a model: a network of random masks, whose answers mean nothing")
    network.add_argument("--network", choices=NETWORKS, metavar="NAME", help=", ".join(NETWORKS))
    network.add_argument("--coats", type=int, metavar="N", help="number of coats (default: 3)")
    network.add_argument("--density", type=float, metavar="D", help="kept fraction of the first coat (default: 0.3)")
    network.add_argument("--schedule", choices=SCHEDULES, help="of the further coats' densities (default: uniform)")
    network.add_argument("--seed", type=int, metavar="S", help="of masks and weights (default: 1)")
    parser.add_argument("--code", choices=CHOICES,
                        help="of the masks (default: the model's own, or for a network the best of each layer)")
    add_engine_arguments(parser, note="; energies are of multipliers")
    parser.add_argument("--backend", choices=BACKENDS, default="native", help="simulator (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1, metavar="B", help="images of a run (default: %(default)s)")
    parser.add_argument("--images", type=int, metavar="K", help="how many images (default: one batch)")
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="IDX folder whose test images a model runs (default: the bundled ones)")
    parser.add_argument("--check", choices=CHECKS, default="layers",
                        help="what is held against the integer model (default: %(default)s)")
    parser.add_argument("--memory", choices=memory.NAMES, default="ideal",
                        help="behind the engine, as sim/memory.py describes it (default: %(default)s)")
    parser.add_argument("--latency", type=int, metavar="L", help="its latency in cycles, instead of its own")
    parser.add_argument("--rate", type=_rate, metavar="B/C", help="its beats per cycles, instead of its own")
    parser.add_argument("--waves", type=Path, metavar="F", help="write the waveforms of the run there")
    parser.add_argument("--report", dest="output", type=Path, metavar="DIR",
                        help="write a page with every counter, a chart of every layer's cycles, and energy there")
    parser.add_argument("--json", type=Path, metavar="F", help="write the result there")


def _untrained(options) -> tuple[IntegerNetwork, np.ndarray, None]:
    """Network, images and no labels of ``--network``."""
    if options.data is not None:
        raise ValueError("--data is for models: a network of random masks runs on a photograph")
    arguments = {name: value for name in (*_NETWORK_OPTIONS, "code") if (value := getattr(options, name)) is not None}
    network = untrained.network(options.network, **arguments)
    print(f"{options.network}: {network.provenance['weights']}; geometry, traffic and bits are real\n")
    return network, photographs(network.topology.input_shape, options.images), None


def _trained(options) -> tuple[IntegerNetwork, np.ndarray, np.ndarray]:
    """Network, images and labels of a model."""
    for name in _NETWORK_OPTIONS:
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} is for --network: a model has its own")
    network = packed.load(bundled.find(options.model))
    test = datasets.load(options.data or bundled.IMAGES, "test").first(options.images)
    test.require_classes(network.topology.layers[-1].out_channels)
    if options.code is not None:
        network = recode(network, options.code)
    return network, test.images, test.labels


def _summary(result: NetworkRun, floor: int, baseline: int, network_seconds: float) -> str:
    verdict = {True: "BIT-EXACT", False: "NOT BIT-EXACT", None: "NOT CHECKED"}[result.bit_exact]
    accuracy = "accuracy means nothing"
    if result.accuracy is not None:
        golden = "unknown" if result.golden_accuracy is None else f"{result.golden_accuracy:.4f}"
        accuracy = f"accuracy RTL {result.accuracy:.4f}, golden {golden}"
    moved, seconds = sum(result.bytes.values()), result.seconds
    return (f"{verdict}, {result.images} images, {accuracy}, utilisation {100 * result.utilisation:.1f} %\n"
            f"{result.cycles:,} cycles ({result.predicted_cycles:,} predicted), {moved:,} bytes over the memory "
            f"interface ({sum(result.planned_bytes.values()):,} planned)\n"
            f"traffic floor {floor:,} bytes ({moved / floor:.3f} times that), with int8 weights {baseline:,} bytes "
            f"({baseline / moved:.2f} times as many)\n"
            f"seconds: network {network_seconds:.1f}, compilation {seconds.compilation:.1f}, "
            f"integer model {seconds.golden:.1f}, build {seconds.build:.1f}, simulation {seconds.simulation:.1f} "
            f"({result.cycles_per_second:,.0f} cycles per second)")


def run(options) -> int:
    if (options.model is None) == (options.network is None):
        raise ValueError("name a model or a --network, and not both")
    if options.batch < 1:
        raise ValueError(f"batch must be at least 1, not {options.batch}")
    if options.images is None:
        options.images = options.batch
    config = engine_config(options)
    timing = memory.memory_timing(options.memory, config, latency=options.latency, rate=options.rate)
    start = time.monotonic()
    network, images, labels = (_trained if options.network is None else _untrained)(options)
    network_seconds = time.monotonic() - start
    result = simulate_network(network, images, config, labels=labels, backend=options.backend, batch=options.batch,
                              check=options.check, memory=timing, waves=options.waves,
                              label=options.model or options.network)
    runs = options.images // options.batch
    floor = runs * traffic_floor(network, config.activation_bytes, batch=options.batch).total
    baseline = runs * sum(int8_bytes(network, config, batch=options.batch).values())
    print(table(page.LAYER_HEADER, page.layer_rows(result)))
    for line in (*result.mismatches, *result.byte_differences):
        print(line)
    print(f"\n{_summary(result, floor, baseline, network_seconds)}")
    values = result.to_json()
    values["memory"] = {"name": options.memory, "basis": memory.basis(options.memory), **values["memory"]}
    write_json(options.json, {**values, "traffic_floor_bytes": floor, "int8_baseline_bytes": baseline})
    if options.output is not None:
        target = options.output / "index.html"
        title = f"{result.network} on topcoat {options.preset}"
        record = run_record(result, zero_fractions(network))
        energy = energies(actions(record, config), config)
        print(f"energy of an image: {energy.low.total_pj / result.images / 1e6:,.2f} to "
              f"{energy.high.total_pj / result.images / 1e6:,.2f} µJ, by constant set and cost of DRAM")
        page.write(target, title, [page.layer_report(result, floor, baseline), page.energy_report(result, energy)])
        print(f"page: {target}")
    return 0 if result.passed else 1
