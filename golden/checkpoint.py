"""Training checkpoints: one safetensors file, self-contained, checked by a digest, replaced atomically. No pickle.

The file's metadata entry "training" is JSON: format version, the configuration (topology, densities, convention,
rounds, seed and the training settings), the number of finished epochs, whether training is complete, the metrics;
"digest" is a SHA-256 of it and of the tensors. Tensors, all float32, by layer name: ``<layer>.scores`` (or
``<layer>.weight`` for the dense baseline) of shape (out, in, ky, kx), ``<layer>.thresholds`` (coats),
``<layer>.mask`` (out, in, ky, kx) of pruned layers,
``<layer>.norm.gamma|beta|mean|variance`` (out), and until training is complete the optimizer's ``momentum.<tensor>``.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

FORMAT = 1
NAME = "checkpoint.safetensors"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message is one line with the file and what to do."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """``config`` is plain JSON (``TrainingConfig.to_json``), ``epoch`` counts finished epochs."""

    config: dict
    epoch: int
    complete: bool
    metrics: dict = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict, repr=False)


def _digest(state: dict, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def write_atomically(path: Path, write) -> None:
    """Call ``write(temporary)`` and rename the result to ``path``: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write ``folder/checkpoint.safetensors`` in one step and return its path."""
    state = {"format": FORMAT, "config": checkpoint.config, "epoch": checkpoint.epoch,
             "complete": checkpoint.complete, "metrics": checkpoint.metrics}
    tensors = {name: np.ascontiguousarray(array) for name, array in checkpoint.tensors.items()}
    metadata = {"training": json.dumps(state), "digest": _digest(state, tensors)}
    data = serialise(tensors, metadata)
    path = Path(folder) / NAME
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
    return path


def load(folder: Path) -> Checkpoint:
    """Read ``folder/checkpoint.safetensors``. Raises CheckpointError, or FileNotFoundError when there is none."""
    path = Path(folder) / NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: name a folder that `train` wrote")
    advice = "delete it to train from the start, or restore it from a copy"
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        state = json.loads(metadata["training"])
        intact = metadata["digest"] == _digest(state, tensors)
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): {advice}") from error
    if not intact:
        raise CheckpointError(f"{path} is damaged (its digest does not match): {advice}")
    if state["format"] != FORMAT:
        raise CheckpointError(f"{path} has format {state['format']}, this version reads {FORMAT}: {advice}")
    return Checkpoint(config=state["config"], epoch=state["epoch"], complete=state["complete"],
                      metrics=state["metrics"], tensors=tensors)
