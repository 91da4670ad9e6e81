"""Training of supermask networks and of the dense baseline, resumable at every epoch.

All randomness of an epoch is a function of (seed, epoch), so a resumed run needs no generator state to repeat what an
uninterrupted run would have done, bit for bit on one machine and thread count.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import torch
from torch.nn import functional
from tqdm import tqdm

from golden import checkpoint, datasets
from golden.checkpoint import Checkpoint, CheckpointError
from golden.datasets import ImageSet
from golden.network import SupermaskNetwork
from golden.trained import TrainingConfig, network_tensors, restore


def augment(images: torch.Tensor, shift: int, flip: bool, generator: torch.Generator) -> torch.Tensor:
    """Shift every uint8 image by up to ``shift`` pixels each way, black moving in, and mirror half of them."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (shift,) * 4)
    top, left = torch.randint(0, 2 * shift + 1, (2, count, 1), generator=generator)
    columns = torch.arange(width).expand(count, width)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < .5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    rows = (torch.arange(height) + top)[:, None, :, None]
    columns = (columns + left)[:, None, None, :]
    channels = torch.arange(images.shape[1])[:, None, None]
    return padded[torch.arange(count)[:, None, None, None], channels, rows, columns]


def prepare(images: torch.Tensor) -> torch.Tensor:
    """uint8 pixels to what the network reads: float32 pixel / 255, channels last."""
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(network: SupermaskNetwork, images: ImageSet, *, batch_size: int = 500, bfloat16: bool = False) -> float:
    """Fraction of images that the network, as it stands, classifies right."""
    network.eval()
    correct = 0
    for first in range(0, len(images.labels), batch_size):
        batch = torch.from_numpy(images.images[first:first + batch_size])
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            predicted = network(prepare(batch)).argmax(1)
        correct += int((predicted == torch.from_numpy(images.labels[first:first + batch_size])).sum())
    return correct / len(images.labels)


class Run:
    """One training run: the network, its optimizer, and their way to and from a checkpoint."""

    def __init__(self, config: TrainingConfig, images: ImageSet):
        self.config = config
        count = len(images.labels) - config.held_out
        if count < config.batch_size:
            raise ValueError(f"held_out must leave at least one batch of {config.batch_size}, not {count} images")
        self.images = torch.from_numpy(images.images[:count])
        self.labels = torch.from_numpy(images.labels[:count])
        self.network = config.build()
        self.tensors = network_tensors(self.network)
        self.parameters = {name: tensor for name, tensor in self.tensors.items() if tensor.requires_grad}
        decayed = [tensor for tensor in self.parameters.values() if tensor.dim() == 4]
        plain = [tensor for tensor in self.parameters.values() if tensor.dim() != 4]
        self.optimizer = torch.optim.SGD(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.}],
            lr=config.learning_rate, momentum=config.momentum, nesterov=True)
        self.epoch = 0
        self.steps = count // config.batch_size

    def _learning_rate(self, step: int) -> float:
        config = self.config
        if step < config.warmup_steps:
            return config.learning_rate * (step + 1) / config.warmup_steps
        return config.learning_rate * .5 * (1 + math.cos(math.pi * step / (config.epochs * self.steps)))

    def step(self, batch: torch.Tensor, labels: torch.Tensor, learning_rate: float) -> float:
        """One optimizer step on uint8 images; returns the loss (nats per image)."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            logits = self.network(prepare(batch))
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.config.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def train_epoch(self, progress: bool) -> float:
        """One pass over the images; returns the mean loss (nats per image)."""
        config = self.config
        generator = torch.Generator().manual_seed((config.seed << 16 | self.epoch) % (1 << 63))
        order = torch.randperm(len(self.labels), generator=generator)
        self.network.train()
        total = 0.
        for step in tqdm(range(self.steps), desc=f"epoch {self.epoch + 1}/{config.epochs}", disable=not progress):
            chosen = order[step * config.batch_size:(step + 1) * config.batch_size]
            batch = augment(self.images[chosen], config.shift, config.flip, generator)
            passed = self.epoch * self.steps + step
            if passed % config.refresh_steps == 0:
                self.network.refresh(passed / (config.epochs * self.steps))
            total += self.step(batch, self.labels[chosen], self._learning_rate(passed))
        if not math.isfinite(total):
            raise ValueError(f"the loss is not finite in epoch {self.epoch + 1}: lower the learning rate")
        self.epoch += 1
        return total / self.steps

    def state(self, metrics: dict) -> Checkpoint:
        """The run as a checkpoint; its arrays are views, so save them before the next step."""
        complete = self.epoch == self.config.epochs
        tensors = dict(self.tensors)
        if not complete:
            for name, parameter in self.parameters.items():
                tensors[f"momentum.{name}"] = self.optimizer.state[parameter]["momentum_buffer"]
        return Checkpoint(config=self.config.to_json(), epoch=self.epoch, complete=complete, metrics=metrics,
                          tensors={name: tensor.detach().numpy() for name, tensor in tensors.items()})

    def resume(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint of the same configuration. CheckpointError if a tensor is missing or misshapen."""
        momentum = {f"momentum.{name}": torch.empty_like(parameter) for name, parameter in self.parameters.items()}
        restore({**self.tensors, **momentum}, saved)
        for name, parameter in self.parameters.items():
            self.optimizer.state[parameter]["momentum_buffer"] = momentum[f"momentum.{name}"]
        self.epoch = saved.epoch


def _load_fitting(data: Path, split: str, config: TrainingConfig) -> ImageSet:
    loaded = datasets.load(data, split)
    shape, classes = config.topology.input_shape, config.topology.layers[-1].out_channels
    if loaded.images.shape[1:] != shape or loaded.labels.max() >= classes:
        raise ValueError(f"{data}: {split} images must be {shape} with labels below {classes} for network "
                         f"{config.topology.name}, not {loaded.images.shape[1:]} and {loaded.labels.max()}")
    return loaded


def train(config: TrainingConfig, out_dir: Path, *, data: Path = datasets.FASHION_MNIST,
          progress: bool = True) -> Checkpoint:
    """Train into ``out_dir``, going on from its checkpoint if there is one; returns the finished checkpoint.

    The folder holds ``checkpoint.safetensors``, ``config.json`` (to read) and ``log.jsonl`` (one line per epoch). The
    test split is read once, at the end, with exact thresholds in float32; ``held_out`` images at every epoch. Raises
    CheckpointError if the folder's checkpoint is damaged or belongs to another configuration, ValueError if the data do
    not fit the topology or the loss is not finite; the folder's last checkpoint then stays as it is.
    """
    out_dir = Path(out_dir)
    saved = checkpoint.load(out_dir) if (out_dir / checkpoint.NAME).exists() else None
    if saved is not None:
        if saved.config != config.to_json():
            raise CheckpointError(f"{out_dir / checkpoint.NAME} belongs to another configuration: name another folder")
        if saved.complete:
            return saved
    train_images, test_images = (_load_fitting(data, split, config) for split in ("train", "test"))
    run = Run(config, train_images)
    if saved is not None:
        run.resume(saved)
    held_out = ImageSet(images=train_images.images[len(run.labels):], labels=train_images.labels[len(run.labels):])
    out_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config.to_json(), indent=1)
    checkpoint.write_atomically(out_dir / "config.json", lambda temporary: temporary.write_text(text))
    metrics = dict(saved.metrics) if saved else {}
    while run.epoch < config.epochs:
        start = time.perf_counter()
        metrics["loss"] = run.train_epoch(progress)
        seconds = time.perf_counter() - start
        if config.held_out or run.epoch == config.epochs:
            run.network.refresh(run.epoch / config.epochs)
        if config.held_out:
            metrics["held_out_accuracy"] = accuracy(run.network, held_out, bfloat16=config.bfloat16)
        if run.epoch == config.epochs:
            metrics["test_accuracy"] = accuracy(run.network, test_images)
        finished = run.state(metrics)
        checkpoint.save(out_dir, finished)
        with open(out_dir / "log.jsonl", "a") as log:
            log.write(json.dumps({"epoch": run.epoch, "seconds": round(seconds, 2), **metrics}) + "\n")
    return finished
