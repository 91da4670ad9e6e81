"""Training: reproducible, resumable to the bit, and clear about a checkpoint it cannot use."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from compiler.geometry import geometries
from golden import checkpoint, sweep, training
from golden.checkpoint import CheckpointError
from golden.densities import kept_count
from golden.networks import plain
from golden.trained import TrainingConfig, load_network
from golden.training import train

CONFIG = TrainingConfig(topology=plain(widths=(8, 8, 8), input_shape=(1, 8, 8), classes=3), densities=(.5, .25),
                        epochs=3, batch_size=8, warmup_steps=2, refresh_steps=4, shift=1, held_out=16)
DENSE = dataclasses.replace(CONFIG, densities=None, held_out=0)
PRUNED = dataclasses.replace(CONFIG, densities=None, kept=.3, bits=4)


def write_idx(path, array):
    path.write_bytes(bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny steps lose more to waking threads than they gain, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three classes that differ in which rows are bright."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for stem, count in (("train", 176), ("t10k", 60)):
        labels = rng.integers(0, 3, count).astype(np.uint8)
        images = rng.integers(0, 100, (count, 8, 8)).astype(np.uint8)
        for image, label in zip(images, labels):
            image[3 * label:3 * label + 2] += 150
        write_idx(folder / f"{stem}-images-idx3-ubyte", images)
        write_idx(folder / f"{stem}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Folder of an uninterrupted run of CONFIG. Tests must not change it."""
    folder = tmp_path_factory.mktemp("run") / "out"
    train(CONFIG, folder, data=data, progress=False)
    return folder


class Interrupted(Exception):
    pass


def train_interrupted(config, folder, data, monkeypatch, epochs):
    """Train, and be stopped in the middle of the epoch after ``epochs`` whole ones."""
    whole = training.Run.train_epoch

    def stopped(run, progress):
        if run.epoch == epochs:
            raise Interrupted
        return whole(run, progress)

    with monkeypatch.context() as patch:
        patch.setattr(training.Run, "train_epoch", stopped)
        with pytest.raises(Interrupted):
            train(config, folder, data=data, progress=False)


@pytest.mark.parametrize("epochs", [1, 2])
def test_resumed_run_equals_the_uninterrupted_one(data, finished, tmp_path, monkeypatch, epochs):
    train_interrupted(CONFIG, tmp_path, data, monkeypatch, epochs)
    partial = checkpoint.load(tmp_path)
    assert (partial.epoch, partial.complete) == (epochs, False)
    assert "momentum.conv1.scores" in partial.tensors
    torch.manual_seed(99)  # global generators must not matter
    resumed, whole = train(CONFIG, tmp_path, data=data, progress=False), checkpoint.load(finished)
    assert resumed.metrics == whole.metrics
    assert resumed.tensors.keys() == whole.tensors.keys()
    for name in whole.tensors:
        np.testing.assert_array_equal(resumed.tensors[name], whole.tensors[name], err_msg=name)


@pytest.mark.parametrize("config", [DENSE, PRUNED], ids=["dense", "pruned"])
def test_run_of_stored_weights_resumes(data, tmp_path, monkeypatch, config):
    train_interrupted(config, tmp_path / "cut", data, monkeypatch, 1)
    resumed = train(config, tmp_path / "cut", data=data, progress=False)
    whole = train(config, tmp_path / "whole", data=data, progress=False)
    assert resumed.tensors.keys() == whole.tensors.keys() and resumed.metrics == whole.metrics
    for name in whole.tensors:
        np.testing.assert_array_equal(resumed.tensors[name], whole.tensors[name], err_msg=name)


def test_finished_checkpoint_holds_all_that_packing_needs(data, finished):
    network, config, saved = load_network(finished)
    assert config == CONFIG and saved.complete and saved.epoch == 3
    assert saved.metrics["test_accuracy"] > .5
    expected = set()
    for layer in CONFIG.topology.layers:
        roles = ["scores", "thresholds"]
        if layer.normalised:
            roles += [f"norm.{role}" for role in ("gamma", "beta", "mean", "variance")]
        expected |= {f"{layer.name}.{role}" for role in roles}
        assert saved.tensors[f"{layer.name}.scores"].shape == layer.weight_shape
    assert saved.tensors.keys() == expected
    test_images = training.datasets.load(data, "test")
    assert training.accuracy(network, test_images) == saved.metrics["test_accuracy"]
    assert json.loads((finished / "config.json").read_text()) == CONFIG.to_json()
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]


def test_pruned_run_ends_with_its_density(data, tmp_path):
    train(PRUNED, tmp_path, data=data, progress=False)
    network, config, saved = load_network(tmp_path)
    assert config == PRUNED
    for layer in network.layers.values():
        assert layer.conv.mask.sum() == kept_count(layer.layer.weights, .3)
        assert torch.equal(layer.conv.mask, torch.from_numpy(saved.tensors[f"{layer.layer.name}.mask"]))


@pytest.mark.parametrize("change, message", [
    ({"kept": .3}, "bits must be 4 or 8, not None"), ({"bits": 4}, "kept must be above 0 and at most 1, not None"),
    ({"kept": 0., "bits": 4}, "kept must be above 0"), ({"kept": .3, "bits": 3}, "bits must be 4 or 8, not 3"),
    ({"kept": .3, "bits": 8, "densities": (.5,)}, "leave densities None"),
])
def test_pruning_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DENSE, **change)


def test_configurations_without_pruning_do_not_mention_it():
    assert not {"kept", "bits"} & (CONFIG.to_json().keys() | DENSE.to_json().keys())
    assert TrainingConfig.from_json(PRUNED.to_json()) == PRUNED


def test_finished_run_is_not_repeated(finished, tmp_path):
    before = (finished / checkpoint.NAME).stat().st_mtime_ns
    train(CONFIG, finished, data=tmp_path / "no data needed", progress=False)
    assert (finished / checkpoint.NAME).stat().st_mtime_ns == before


def damage(data, how):
    if how == "truncated":
        return data[:len(data) // 2]
    if how == "empty":
        return b""
    if how == "flipped tensor bit":
        return data[:-3] + bytes((data[-3] ^ 4,)) + data[-2:]
    return data.replace(b'\\"rounds\\": 13', b'\\"rounds\\": 20', 1)


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped tensor bit", "changed state"])
def test_damaged_checkpoint(data, finished, tmp_path, how):
    original = (finished / checkpoint.NAME).read_bytes()
    damaged = damage(original, how)
    assert damaged != original
    (tmp_path / checkpoint.NAME).write_bytes(damaged)
    (tmp_path / "log.jsonl").write_text("kept\n")
    for use in (lambda: train(CONFIG, tmp_path, data=data, progress=False), lambda: load_network(tmp_path)):
        with pytest.raises(CheckpointError, match=r"checkpoint.safetensors is damaged \(.*delete it") as error:
            use()
        assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [checkpoint.NAME, "log.jsonl"]
    assert (tmp_path / "log.jsonl").read_text() == "kept\n"
    assert (tmp_path / checkpoint.NAME).read_bytes() == damaged


def test_checkpoint_of_another_configuration(data, finished):
    with pytest.raises(CheckpointError, match="another configuration"):
        train(dataclasses.replace(CONFIG, seed=2), finished, data=data, progress=False)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint.safetensors is missing"):
        load_network(tmp_path)


def test_tensor_of_another_shape(finished, tmp_path):
    saved = checkpoint.load(finished)
    checkpoint.save(tmp_path, dataclasses.replace(saved, tensors={**saved.tensors, "conv1.scores": np.zeros(3, "f4")}))
    with pytest.raises(CheckpointError, match=r"conv1.scores must have shape \(8, 1, 3, 3\)"):
        load_network(tmp_path)


def test_failed_write_keeps_the_old_checkpoint(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoint.write_atomically(path, fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"] and path.read_text() == "old"


def test_augmentation_shifts_and_mirrors():
    images = torch.zeros(512, 1, 5, 5, dtype=torch.uint8)
    images[:, :, 2, 1] = 7
    moved = training.augment(images, 1, True, torch.Generator().manual_seed(0))
    assert moved.dtype == torch.uint8 and moved.shape == images.shape
    assert (moved.sum((1, 2, 3)) == 7).all()
    places = {tuple(place[1:].tolist()) for place in moved[:, 0].nonzero()}
    assert places == {(y, x) for y in (1, 2, 3) for x in range(5)}
    still = training.augment(images, 0, False, torch.Generator().manual_seed(0))
    assert torch.equal(still, images)


def test_too_many_held_out(data, tmp_path):
    with pytest.raises(ValueError, match="held_out must leave at least one batch of 8, not 1 images"):
        train(dataclasses.replace(CONFIG, held_out=175), tmp_path, data=data, progress=False)


@pytest.mark.parametrize("change, message", [
    ({"topology": plain(widths=(4,), input_shape=(1, 9, 8), classes=3)}, r"images must be \(1, 9, 8\)"),
    ({"topology": plain(widths=(4,), input_shape=(1, 8, 8), classes=2)}, "labels below 2"),
    ({"learning_rate": float("inf")}, "the loss is not finite in epoch 1: lower the learning rate"),
])
def test_training_that_cannot_work(data, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(CONFIG, **change), tmp_path, data=data, progress=False)
    assert not (tmp_path / checkpoint.NAME).exists()


@pytest.mark.parametrize("name", ["epochs", "batch_size", "refresh_steps"])
def test_counts_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        dataclasses.replace(CONFIG, **{name: 0})


def test_sweep_skips_finished_runs(data, tmp_path, monkeypatch, capsys):
    runs = {"coats2-seed1": dataclasses.replace(CONFIG, epochs=1), "dense-seed1": dataclasses.replace(DENSE, epochs=1)}
    monkeypatch.setitem(sweep.TABLES, "accuracy", lambda: runs)
    arguments = ["accuracy", "--out", str(tmp_path / "runs"), "--data", str(data)]
    assert sweep.main(arguments) == 0
    assert sweep.main(["accuracy", "--out", str(tmp_path / "runs"), "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("test accuracy") == 4
    assert sweep.main(["accuracy", "--out", str(tmp_path / "other"), "--data", str(tmp_path)]) == 1
    assert "error: coats2-seed1:" in capsys.readouterr().err


def test_accuracy_table():
    names = list(sweep.accuracy_table())
    assert names[:6] == [f"{case}-seed1" for case in ("coats3", "coats1", "coats7", "coats5", "coats2", "dense")]
    assert len(names) == 12


def test_critique_table():
    """Within what such a comparison may cost: 24 trainings of 12 million multiply-accumulates."""
    runs = sweep.critique_table()
    assert len(runs) <= 24 and len({config.epochs for config in runs.values()}) == 1
    for name, config in runs.items():
        assert sum(geometry.macs for geometry in geometries(config.topology)) < 12e6
        assert name.startswith(f"int{config.bits}-" if config.bits else f"coats{len(config.densities)}-")
