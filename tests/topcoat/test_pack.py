"""`topcoat pack`: the code of the coat indices is chosen or named."""

import numpy as np
import pytest

from golden import checkpoint, packed
from golden.checkpoint import Checkpoint
from golden.networks import plain
from golden.trained import TrainingConfig, network_tensors
from topcoat.cli import main


def write_idx(path, array):
    path.write_bytes(bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished checkpoint, and images of noise."""
    folder, rng = tmp_path_factory.mktemp("pack"), np.random.default_rng(0)
    config = TrainingConfig(topology=plain(widths=(16, 32), input_shape=(1, 8, 8), classes=3), densities=(.3, .1))
    tensors = {name: tensor.detach().numpy() for name, tensor in network_tensors(config.build()).items()}
    checkpoint.save(folder, Checkpoint(config=config.to_json(), epoch=config.epochs, complete=True,
                                       metrics={"test_accuracy": .5}, tensors=tensors))
    for stem in ("train", "t10k"):
        write_idx(folder / f"{stem}-images-idx3-ubyte", rng.integers(0, 256, (8, 8, 8)).astype(np.uint8))
        write_idx(folder / f"{stem}-labels-idx1-ubyte", rng.integers(0, 3, 8).astype(np.uint8))
    return folder


def pack(folder, path, *options):
    assert main(["pack", str(folder), "-o", str(path), "--data", str(folder), *options]) == 0
    return packed.load(path)


def test_the_code_is_named_or_the_best(folder, tmp_path):
    best = pack(folder, tmp_path / "best.coat")
    chosen = {layer.code for layer in best.layers}
    assert "ans" in chosen and len(chosen) > 1  # a few hundred weights are not worth a lane's first state
    sizes = {"best": packed.inspect(tmp_path / "best.coat")["coded_bits"]}
    for code in ("raw", "unary", "ans"):
        network = pack(folder, tmp_path / f"{code}.coat", "--code", code)
        assert {layer.code for layer in network.layers} == {code}
        for layer, other in zip(network.layers, best.layers, strict=True):
            np.testing.assert_array_equal(layer.indices, other.indices)
        sizes[code] = packed.inspect(tmp_path / f"{code}.coat")["coded_bits"]
    assert sizes["best"] == min(sizes.values()) and len(set(sizes.values())) == 4


def test_other_codes_are_refused(folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["pack", str(folder), "-o", str(tmp_path / "m.coat"), "--code", "huffman"])
    assert caught.value.code == 2 and "--code" in capsys.readouterr().err
