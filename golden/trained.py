"""Trained networks: the configuration that decides a training's result, and networks from finished checkpoints."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from golden import checkpoint
from golden.checkpoint import Checkpoint, CheckpointError
from golden.network import SupermaskNetwork
from golden.pruned import PrunedConv2d
from golden.topology import Topology


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that decides the result, the data folder apart.

    ``densities`` are the coats' kept fractions, None trains the dense baseline. That one can be pruned and quantised
    (:mod:`golden.pruned`): ``kept`` is its final kept fraction and ``bits`` the width of its weights, given both or
    neither. ``seed`` is the model's 64-bit seed and also seeds scores, order and augmentation. ``refresh_steps``:
    optimizer steps between exact threshold updates.
    ``held_out``: last images of the training split, kept aside to compare settings without touching the test split.
    ``shift``: largest random shift in pixels; ``flip``: mirror half of the images.
    """

    topology: Topology
    densities: tuple[float, ...] | None
    convention: str = "released"
    rounds: int = 13
    seed: int = 1
    epochs: int = 15
    batch_size: int = 128
    learning_rate: float = .5
    momentum: float = .9
    weight_decay: float = 5e-4
    warmup_steps: int = 200
    label_smoothing: float = .1
    refresh_steps: int = 16
    shift: int = 1
    flip: bool = True
    held_out: int = 0
    bfloat16: bool = True
    kept: float | None = None
    bits: int | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size", "refresh_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if (self.kept, self.bits) == (None, None):
            return
        if self.densities is not None:
            raise ValueError("kept and bits are for stored weights, not for coats: leave densities None")
        if self.kept is None or not 0 < self.kept <= 1:
            raise ValueError(f"kept must be above 0 and at most 1, not {self.kept!r}")
        if self.bits not in (4, 8):
            raise ValueError(f"bits must be 4 or 8, not {self.bits!r}")

    def to_json(self) -> dict:
        """Plain JSON values; :meth:`from_json` is the inverse. What only pruned networks have is left out of others."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.bits is None:
            del values["kept"], values["bits"]
        densities = None if self.densities is None else list(self.densities)
        return {**values, "topology": self.topology.to_json(), "densities": densities}

    @classmethod
    def from_json(cls, data: dict) -> TrainingConfig:
        densities = None if data["densities"] is None else tuple(data["densities"])
        return cls(**{**data, "topology": Topology.from_json(data["topology"]), "densities": densities})

    def build(self) -> SupermaskNetwork:
        """The network at its initialisation."""
        generator = torch.Generator().manual_seed(self.seed)
        convolution = None if self.bits is None else lambda layer: PrunedConv2d(
            layer, density=self.kept, bits=self.bits, convention=self.convention, generator=generator)
        return SupermaskNetwork(self.topology, densities=self.densities, seed=self.seed, convention=self.convention,
                                rounds=self.rounds, generator=generator, convolution=convolution)


def network_tensors(network: SupermaskNetwork) -> dict[str, torch.Tensor]:
    """The network's trained state by checkpoint name; the tensors are the live ones, not copies."""
    tensors = {}
    for name, module in network.layers.items():
        if network.densities is None:
            tensors[f"{name}.weight"] = module.conv.trained
        else:
            tensors[f"{name}.scores"] = module.conv.scores
            tensors[f"{name}.thresholds"] = module.conv.thresholds
        if isinstance(module.conv, PrunedConv2d):
            tensors[f"{name}.mask"] = module.conv.mask
        if module.norm is not None:
            norm = module.norm
            for role, tensor in (("gamma", norm.weight), ("beta", norm.bias), ("mean", norm.running_mean),
                                 ("variance", norm.running_var)):
                tensors[f"{name}.norm.{role}"] = tensor
    return tensors


@torch.no_grad()
def restore(tensors: dict[str, torch.Tensor], saved: Checkpoint) -> None:
    """Copy a checkpoint's values into ``tensors``. CheckpointError if one is missing or misshapen."""
    for name, tensor in tensors.items():
        array = saved.tensors.get(name)
        if array is None or array.shape != tuple(tensor.shape):
            raise CheckpointError(f"checkpoint does not fit its topology: {name} must have shape {tuple(tensor.shape)}")
        tensor.copy_(torch.from_numpy(array))


def load_network(folder: Path) -> tuple[SupermaskNetwork, TrainingConfig, Checkpoint]:
    """The network of a checkpoint folder, in evaluation mode with exact thresholds, its configuration and the rest."""
    saved = checkpoint.load(folder)
    try:
        config = TrainingConfig.from_json(saved.config)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{Path(folder) / checkpoint.NAME} has a bad configuration: {error}") from error
    network = config.build()
    restore(network_tensors(network), saved)
    network.refresh()
    return network.eval(), config, saved
