"""The packed file: round trips, size, and that nothing damaged, foreign or newer ever becomes a network."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from golden import codes, packed
from golden.checkpoint import Checkpoint
from golden.checkpoint import save as save_checkpoint
from golden.densities import uniform_densities
from golden.integer import IntegerLayer, IntegerNetwork, kept_counts
from golden.networks import fashion, resnet
from golden.packed import CoatError
from golden.recode import code_fields, recode
from golden.topology import IMAGE, Layer, Pool, Topology
from tests.random_networks import random_network

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "packed.json").read_text())


def coated(topology, densities, seed=9, code="best", **provenance):
    """A network of ``topology`` with random indices at the densities and plausible parameters; stored if None."""
    rng = np.random.default_rng(seed)
    layers, offsets = [], {IMAGE: True}
    for shape in topology.layers:
        size = (shape.out_channels, shape.kernel, shape.kernel, shape.in_channels)
        fields = {"code": "stored", "indices": None, "stored": rng.integers(-127, 128, size, np.int8), "table": (),
                  "symbol_bits": 8}
        if densities is not None:
            draw = rng.random(size, np.float32)
            indices = sum((draw < density).astype(np.uint8) for density in densities)
            coats = len(densities)
            fields = {"indices": indices, "stored": None, "table": tuple(range(coats + 1)), "densities": densities,
                      "kept": kept_counts(indices, coats), **code_fields(indices, coats, code)}
        average = shape.pool is not None and shape.pool.kind == "average"
        offsets[shape.name] = shape.relu and not average
        layers.append(IntegerLayer(
            layer=shape, multiplier=rng.integers(-131071, 131072, shape.out_channels, np.int32),
            bias=rng.integers(-1 << 40, 1 << 40, shape.out_channels), shift=int(rng.integers(16, 22)),
            residual_multiplier=int(rng.integers(1, 131072)) if shape.residual else 0, low=0 if average else -128,
            offset_input=offsets[shape.input], offset_output=offsets[shape.name],
            pool_multiplier=80_000 if average else 0, pool_shift=20 if average else 0, **fields))
    return IntegerNetwork(topology, 2 ** 64 - 1, 13, tuple(layers), "released", provenance)


def small(code="best"):
    """A few hundred bytes of payload, with a little of everything."""
    layers = (Layer(name="stem", input=IMAGE, in_channels=1, out_channels=2, kernel=2, padding=1, stream=7),
              Layer(name="sum", input="stem", in_channels=2, out_channels=2, kernel=1, residual="stem",
                    pool=Pool(kind="average")))
    return coated(Topology(name="small", input_shape=(1, 3, 3), layers=layers), (.5, .2), code=code,
                  note="text")


def assert_same(one, other):
    assert (one.topology, one.seed, one.rounds, one.convention, one.provenance) == (
        other.topology, other.seed, other.rounds, other.convention, other.provenance)
    for left, right in zip(one.layers, other.layers, strict=True):
        for name, value in vars(left).items():
            if isinstance(value, np.ndarray):
                assert value.dtype == getattr(right, name).dtype
                np.testing.assert_array_equal(value, getattr(right, name))
            elif name != "kept" or value:  # left out by networks that were not trained
                assert value == getattr(right, name), name


@pytest.mark.parametrize("seed", range(25))
def test_networks_come_back_as_they_were(tmp_path, seed):
    network = random_network(seed)
    packed.save(network, tmp_path / "m.coat")
    assert_same(network, packed.load(tmp_path / "m.coat"))


@settings(deadline=None, max_examples=25)
@given(provenance=st.dictionaries(st.text(max_size=8), st.text() | st.integers() | st.booleans(), max_size=4))
def test_any_provenance_comes_back(tmp_path_factory, provenance):
    path = tmp_path_factory.mktemp("provenance") / "m.coat"
    network = small()
    packed.save(IntegerNetwork(network.topology, 1, 20, network.layers, "edge-popup", provenance), path)
    assert packed.load(path).provenance == provenance


def test_the_same_network_gives_the_same_bytes(tmp_path):
    packed.save(small(), tmp_path / "one.coat")
    packed.save(packed.load(tmp_path / "one.coat"), tmp_path / "two.coat")
    assert (tmp_path / "one.coat").read_bytes() == (tmp_path / "two.coat").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.coat", "two.coat"]


def test_vectors():
    for case in VECTORS["canonical"]:
        assert packed.canonical_json(case["value"]) == case["json"]
    for case in VECTORS["digests"]:
        tensors = {tensor["name"]: (tensor["type"], tuple(tensor["shape"]), bytes.fromhex(tensor["hex"]))
                   for tensor in case["tensors"]}
        assert packed.digest(case["json"], tensors) == case["sha256"], case["note"]
    for case in VECTORS["masks"]:
        data = b""
        for layer in case["layers"]:
            size = {"width": layer["size"]} if layer["code"] == "stored" else {"coats": layer["size"]}
            if layer["code"] == "ans":
                size |= {"frequencies": tuple(layer["frequencies"]), "offset": layer["offset"], "lanes": layer["lanes"]}
            mask, bits = codes.encode(np.array(layer["values"]), layer["code"], **size)
            assert (bits, hashlib.sha256(mask).hexdigest()) == (layer["coded_bits"], layer["mask_sha256"])
            if layer["code"] != "stored":
                assert kept_counts(np.array(layer["values"]), layer["size"]) == tuple(layer["kept"])
            data += mask
        assert data.hex() == case["hex"]


def rewrite(file, path, change):
    """The file after ``change(description, tensors)``, with a digest that holds and written by safetensors itself."""
    with safe_open(file, "numpy") as opened:
        description = json.loads(opened.metadata()["topcoat"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    change(description, tensors)
    text = packed.canonical_json(description)
    kinds = {"uint8": "U8", "int32": "I32", "int64": "I64", "float32": "F32"}
    digest = packed.digest(text, {name: (kinds[str(array.dtype)], array.shape, array.tobytes())
                                  for name, array in tensors.items()})
    save_file(tensors, path, {"topcoat": text, "digest": digest})


def put(*path):
    """A change that puts the last of ``path`` where the others lead."""
    *keys, last, value = path

    def change(description, tensors):
        for key in keys:
            description = description[key]
        description[last] = value
    return change


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "small.coat"
    packed.save(small(), path)
    return path


@pytest.fixture(scope="module")
def ans_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "ans.coat"
    packed.save(small("ans"), path)
    return path


@pytest.mark.parametrize("code", ["raw", "unary", "ans"])
def test_recoding_changes_the_code_alone(code, tmp_path):
    network = random_network(0, layers=8)
    assert {layer.code for layer in network.layers} == set(codes.CODES)
    recoded = recode(network, code)
    packed.save(recoded, tmp_path / "m.coat")
    loaded = packed.load(tmp_path / "m.coat")
    assert_same(recoded, loaded)
    for index, (before, after) in enumerate(zip(network.layers, loaded.layers, strict=True)):
        assert after.code == ("stored" if before.code == "stored" else code)
        np.testing.assert_array_equal(network.weights(index), loaded.weights(index))
    assert_same(recode(recode(network, "best"), code), recoded)
    with pytest.raises(ValueError, match="code must be one of best, raw, unary, ans, not 'stored'"):
        recode(network, "stored")


def test_layers_of_other_codes_have_no_table(ans_file):
    with safe_open(ans_file, "numpy") as opened:
        description = json.loads(opened.metadata()["topcoat"])
    assert description["version"] == 2
    first, second = description["layers"]
    assert sum(first["frequencies"]) == 1024 and first["offset"] in range(16) and first["lanes"] == 1
    assert first["coded_bits"] % 16 == 0 and "lanes" not in second  # as in the layer before
    plain = packed._serialise(small("raw"))
    assert b"frequencies" not in plain and b"lanes" not in plain


def test_files_of_version_1_are_read(file, tmp_path):
    network = small("unary")
    packed.save(network, tmp_path / "new.coat")
    rewrite(tmp_path / "new.coat", tmp_path / "old.coat", put("version", 1))
    assert_same(network, packed.load(tmp_path / "old.coat"))


@pytest.mark.parametrize("change, message", [
    (put("version", 1), "layer stem: code 'ans' must not be in a file of format version 1"),
    (put("layers", 0, "frequencies", [1024]), "layer stem: frequencies must be 3 integers of sum 1024"),
    (put("layers", 0, "frequencies", [512, 256, 255]), "layer stem: frequencies must be 3 integers of sum 1024"),
    (put("layers", 0, "frequencies", 7), "intact but not a valid model"),
    (lambda description, tensors: description["layers"][0].pop("offset"), "layer stem: 'offset' is missing"),
    (lambda description, tensors: description["layers"][0].pop("lanes"), "layer stem: 'lanes' is missing"),
    (put("layers", 0, "offset", 16), "layer stem: offset must be in 0..15, not 16"),
    (put("layers", 0, "lanes", 3), "layer stem: lanes must be a power of two up to 256, not 3"),
    (put("layers", 0, "lanes", 256), "layer stem: bit stream: its . words are exhausted within the symbols of lane"),
    (put("layers", 0, "code", "unary"), "layer stem: bit stream"),
])
def test_nonsense_about_ans_is_refused(ans_file, tmp_path, change, message):
    path = tmp_path / "nonsense.coat"
    rewrite(ans_file, path, change)
    with pytest.raises(CoatError, match=message) as caught:
        packed.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_every_damaged_byte_is_noticed(ans_file, tmp_path):
    data = ans_file.read_bytes()
    path = tmp_path / "damaged.coat"
    for position in range(len(data)):
        for flip in (1 << position % 8, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            with pytest.raises(CoatError) as caught:
                packed.load(path)
            assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_every_truncation_and_extension_is_noticed(file, tmp_path):
    data = file.read_bytes()
    path = tmp_path / "short.coat"
    for damaged in (*(data[:length] for length in range(len(data))), data + b"\0", data + data):
        path.write_bytes(damaged)
        with pytest.raises(CoatError, match="restore it from a copy or pack the model again"):
            packed.load(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.coat"
    for content in (b"", b"hello", pickle.dumps({"weights": [1, 2]}), b"PK\3\4" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(CoatError, match="is damaged or not a packed model"):
            packed.load(path)
    save_file({"weights": np.zeros(3, np.float32)}, path)
    with pytest.raises(CoatError, match="is not a packed model .* name a file that `pack` wrote"):
        packed.load(path)
    with pytest.raises(CoatError, match="is not a packed model"):
        packed.load(save_checkpoint(tmp_path, Checkpoint(config={}, epoch=0, complete=False)))
    for missing in (tmp_path / "none.coat", tmp_path):
        with pytest.raises(FileNotFoundError, match="is missing: name a packed model"):
            packed.load(missing)


def test_files_of_other_writers_are_read(file, tmp_path):
    """Another order of tensors, and every field of every layer written out."""
    def spell_out(description, tensors):
        first, second = description["layers"]
        assert "table" not in second  # left out: the layer before has the same
        description["layers"][1] = {**first, **second}

    rewrite(file, tmp_path / "full.coat", spell_out)
    assert_same(small(), packed.load(tmp_path / "full.coat"))


def drop(name):
    return lambda description, tensors: tensors.pop(name)


def replace(name, array):
    return lambda description, tensors: tensors.update({name: array})


@pytest.mark.parametrize("change, message", [
    (put("version", 3), "has format version 3, this program reads 1 and 2: update topcoat or pack the model again"),
    (put("format", "other"), "is not a packed model .*'other'"),
    (lambda description, tensors: description.pop("version"), "is not a packed model .*'version' is missing"),
    (put("layers", []), "masks.0 must have 0 entries"),
    (lambda description, tensors: description["layers"][0].pop("shift"), "layer stem: 'shift' is missing"),
    (lambda description, tensors: description["topology"].pop("name"), "topology: 'name'"),
    (put("topology", "layers", 0, "out_channels", 3), "layer sum: in_channels is 2, but stem has 3"),
    (replace("multipliers.0", np.zeros(5, np.int32)), "multipliers.0 must have 4 entries, not 5"),
    (put("topology", "layers", 0, "color", 3), "topology: .*color"),
    (put("seed", -1), "seed must be an unsigned 64-bit integer"),
    (put("rounds", 14), "rounds must be one of"),
    (put("layers", 0, "code", "huffman"), "layer stem: code must be one of"),
    (put("layers", 0, "code", "ans"), "layer stem: 'frequencies' is missing"),
    (put("layers", 0, "code", "stored"), "layer stem: "),
    (put("layers", 0, "table", [0, 1]), "layer stem: bit stream"),
    (put("layers", 0, "coded_bits", 9), "layer stem: bit stream|layer stem: bit .* of the bit stream"),
    (put("layers", 0, "coded_bits", -4), "masks.0 must have|layer stem"),
    (put("layers", 0, "coded_bits", "12"), "intact but not a valid model"),
    (put("layers", 0, "mask_sha256", "00"), "layer stem: mask_sha256 does not match its mask"),
    (put("layers", 0, "kept", [1, 1]), r"layer stem: kept must be \(.*\) for its mask, not \(1, 1\)"),
    (put("layers", 0, "shift", 60), "layer stem: shift must be an integer"),
    (put("layers", 1, "offset_input", False), "layer sum: offset_input must be True"),
    (put("layers", 7), "intact but not a valid model"),
    (drop("biases.0"), "tensors must be biases.0, masks.0, multipliers.0, not masks.0, multipliers.0"),
    (replace("masks.1", np.zeros(3, np.uint8)), "tensors must be"),
    (replace("biases.0", np.zeros(4, np.int32)), "biases.0 must be one row of int64"),
    (replace("biases.0", np.zeros((2, 2), np.int64)), "biases.0 must be one row of int64"),
    (replace("biases.0", np.full(4, 1 << 50)), "layer stem: bias must be in"),
])
def test_valid_digests_over_nonsense_are_refused(file, tmp_path, change, message):
    path = tmp_path / "nonsense.coat"
    rewrite(file, path, change)
    with pytest.raises(CoatError, match=message) as caught:
        packed.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


RESNET_50 = resnet(blocks=(3, 4, 6, 3), width=64, input_shape=(3, 224, 224), classes=1000, bottleneck=True,
                   stem_kernel=7, stem_stride=2, stem_pool=Pool(kind="max", kernel=3, stride=2, padding=1),
                   name="resnet50")


@pytest.mark.parametrize("topology, densities", [
    *((fashion(), None if coats is None else uniform_densities(.3, coats)) for coats in (1, 2, 3, 5, 7, None)),
    (RESNET_50, (.3, .0788, .0315)),
], ids=lambda value: getattr(value, "name", str(value)))
def test_files_are_as_small_as_claimed(tmp_path, topology, densities):
    path = tmp_path / "m.coat"
    packed.save(coated(topology, densities, data_set="fashion-mnist", epochs=15, training_seed=1, float_accuracy=.9295,
                       integer_accuracy=.9295, test_images=10_000), path)
    report = packed.inspect(path)
    normalisation = 12 * sum(layer.out_channels for layer in topology.layers)
    masks = sum(-(-layer["coded_bits"] // 8) for layer in report["layers"])
    assert report["payload_bytes"] == masks + normalisation
    assert path.stat().st_size == report["file_bytes"] == sum(report["parts"].values())
    assert report["file_bytes"] <= 1.02 * report["payload_bytes"] + 4096


def test_inspect_says_where_the_bytes_go(tmp_path):
    network = coated(fashion(), (.3, .0788, .0315), seed=2)
    packed.save(network, tmp_path / "m.coat")
    report = json.loads(json.dumps(packed.inspect(tmp_path / "m.coat")))
    weights = report["weights"]
    assert weights == sum(layer.weights for layer in fashion().layers) == report["dense_bytes"]["int8"]
    assert report["shannon_bits"] / weights == pytest.approx(1.207, abs=.01)
    assert report["coded_bits"] <= 1.006 * report["shannon_bits"]
    channels = sum(layer.out_channels for layer in fashion().layers if layer.normalised)
    assert report["paper_bits"] == pytest.approx(1.3788 * weights + 32 * channels)
    for entry, layer in zip(report["layers"], network.layers, strict=True):
        assert entry["name"] == layer.layer.name and entry["code"] == layer.code == "ans"
        assert entry["lanes"] == codes.ans_lanes(np.bincount(layer.indices.ravel(), minlength=4))
        assert entry["densities"] == [(layer.indices > coat).mean() for coat in range(3)]
        assert entry["shannon_bits"] <= entry["coded_bits"]
