"""The packed model file, `.coat`: masks, normalisation and all that is needed to run them, in one checked file.

The file is a safetensors container. It is written by hand here so that the same network always gives the same bytes.
Source: docs/specification.md, "Packed model".
"""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from golden import codes
from golden.checkpoint import write_atomically
from golden.integer import IntegerLayer, IntegerNetwork, kept_counts
from golden.topology import Layer, Topology

FORMAT = "topcoat"
VERSION = 2

READ_VERSIONS = (1, 2)
"""Versions that can be read. Version 1 has no code "ans"."""

MASKS, MULTIPLIERS, BIASES = "masks.0", "multipliers.0", "biases.0"

_TYPES = {MASKS: ("U8", np.uint8), MULTIPLIERS: ("I32", np.int32), BIASES: ("I64", np.int64)}

#: Fields that are stored as they stand in :class:`~golden.integer.IntegerLayer`.
_FIELDS = ("table", "code", "densities", "offset_input", "offset_output", "low", "shift", "residual_multiplier",
           "pool_multiplier", "pool_shift")

#: More of them, for code "ans" alone.
_ANS_FIELDS = ("frequencies", "offset")


class CoatError(ValueError):
    """A packed file that cannot be used; the message is one line: what, where, and what to do."""


def canonical_json(value) -> str:
    """Keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(description: str, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> str:
    """SHA-256, in hex, over the JSON and every tensor: type name, shape and raw bytes by name."""
    sha256 = hashlib.sha256(description.encode("ascii"))
    for name in sorted(tensors):
        kind, shape, data = tensors[name]
        for text in (name, kind, "x".join(map(str, shape))):
            sha256.update(text.encode("ascii") + b"\0")
        sha256.update(data)
    return sha256.hexdigest()


def _symbols(layer: IntegerLayer) -> np.ndarray:
    return layer.stored if layer.code == "stored" else layer.indices


def _format(layer: IntegerLayer) -> codes.Format:
    """How the file has the layer's symbols."""
    if layer.code == "stored":
        return codes.Format(code=layer.code, width=layer.symbol_bits)
    if layer.code != "ans":
        return codes.Format(code=layer.code, coats=layer.coats)
    counts = np.bincount(layer.indices.ravel(), minlength=layer.coats + 1)
    return codes.Format(code=layer.code, coats=layer.coats, frequencies=layer.frequencies, offset=layer.offset,
                        lanes=codes.ans_lanes(counts))


def _kept(layer: IntegerLayer) -> tuple[int, ...]:
    return () if layer.code == "stored" else kept_counts(layer.indices, layer.coats)


def _serialise(network: IntegerNetwork) -> bytes:
    formats = [_format(layer) for layer in network.layers]
    coded = codes.encode_layers([(_symbols(layer), form) for layer, form in zip(network.layers, formats)])
    masks = [data for data, _ in coded]
    entries = []
    for layer, form, (data, bits) in zip(network.layers, formats, coded):
        fields = {name: getattr(layer, name) for name in _FIELDS}
        if layer.code == "ans":
            fields |= {**{name: getattr(layer, name) for name in _ANS_FIELDS}, "lanes": form.lanes}
        entries.append({**fields, "coded_bits": bits, "kept": _kept(layer),
                        "mask_sha256": hashlib.sha256(data).hexdigest()})
    # A field that is what it was in the layer before is left out: small networks have more description than masks.
    entries = [{name: value for name, value in entry.items() if name not in previous or previous[name] != value}
               for previous, entry in zip([{}, *entries], entries)]
    description = canonical_json({
        "format": FORMAT, "version": VERSION, "seed": network.seed, "rounds": network.rounds,
        "topology": network.topology.to_json(), "convention": network.convention, "layers": entries,
        "provenance": network.provenance})
    contents = {BIASES: np.concatenate([layer.bias for layer in network.layers]).astype("<i8").tobytes(),
                MULTIPLIERS: np.concatenate([layer.multiplier for layer in network.layers]).astype("<i4").tobytes(),
                MASKS: b"".join(masks)}
    tensors, header, end = {}, {}, 0
    for name, data in contents.items():
        kind, dtype = _TYPES[name]
        shape = (len(data) // np.dtype(dtype).itemsize,)
        tensors[name] = kind, shape, data
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    header["__metadata__"] = {"digest": digest(description, tensors), FORMAT: description}
    text = canonical_json(header).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(contents.values())


def save(network: IntegerNetwork, path: Path) -> None:
    """Write ``network`` to ``path`` in one step. The same network always gives the same bytes."""
    data = _serialise(network)
    write_atomically(Path(path), lambda temporary: temporary.write_bytes(data))


def _what(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


@dataclass(frozen=True)
class _Content:
    """A file that passed its digest."""

    description: dict
    tensors: dict[str, np.ndarray]
    file_bytes: int

    def entries(self) -> list[dict]:
        """The layers' fields, with those that were left out because the layer before has them."""
        entries, previous = [], {}
        for entry in self.description["layers"]:
            previous = {**previous, **entry}
            entries.append(previous)
        return entries


def _read(path: Path) -> _Content:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: name a packed model that `pack` wrote")
    advice = "restore it from a copy or pack the model again"
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}
            known = "digest" in metadata and FORMAT in metadata
            arrays = {name: file.get_tensor(name) for name in kinds} if known else {}
    except (SafetensorError, TypeError, ValueError) as error:
        raise CoatError(f"{path} is damaged or not a packed model ({error}): {advice}") from error
    if not known:
        raise CoatError(f"{path} is not a packed model (no {FORMAT!r} and 'digest' in its metadata): "
                        "name a file that `pack` wrote")
    text = metadata[FORMAT]
    tensors = {name: (kinds[name], array.shape, np.ascontiguousarray(array).tobytes())
               for name, array in arrays.items()}
    if not text.isascii() or digest(text, tensors) != metadata["digest"]:
        raise CoatError(f"{path} is damaged (its digest does not match): {advice}")
    try:
        description = json.loads(text)
        version = description["version"]
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']!r}")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CoatError(f"{path} is not a packed model ({_what(error)}): name a file that `pack` wrote") from error
    if version not in READ_VERSIONS:
        raise CoatError(f"{path} has format version {version!r}, this program reads "
                        f"{' and '.join(map(str, READ_VERSIONS))}: update topcoat or pack the model again")
    return _Content(description, arrays, path.stat().st_size)


def _fields(entry: dict, names: tuple[str, ...]) -> dict:
    return {name: tuple(entry[name]) if isinstance(entry[name], list) else entry[name] for name in names}


def _coded(shape: Layer, entry: dict, data: bytes, version: int) -> codes.Coded:
    """What there is to decode of a layer."""
    code, bits = entry["code"], entry["coded_bits"]
    if hashlib.sha256(data).hexdigest() != entry["mask_sha256"]:
        raise ValueError("mask_sha256 does not match its mask")
    parameters = {"code": code}
    if code == "stored":
        parameters["width"] = bits // shape.weights
    else:
        parameters["coats"] = len(entry["table"]) - 1
    if code == "ans":
        if version == 1:
            raise ValueError("code 'ans' must not be in a file of format version 1")
        parameters |= _fields(entry, (*_ANS_FIELDS, "lanes"))
    return codes.Coded(data, bits, shape.weights, codes.Format(**parameters))


def _layer(shape: Layer, entry: dict, coded: codes.Coded, symbols: np.ndarray | codes.CodeError,
           multiplier: np.ndarray, bias: np.ndarray) -> IntegerLayer:
    if isinstance(symbols, codes.CodeError):
        raise symbols
    form, kept = coded.form, tuple(entry["kept"])
    stored = form.code == "stored"
    symbols = symbols.reshape(shape.out_channels, shape.kernel, shape.kernel, shape.in_channels)
    layer = IntegerLayer(layer=shape, indices=None if stored else symbols, stored=symbols if stored else None,
                         symbol_bits=form.width if stored else codes.symbol_bits(form.code, form.coats),
                         multiplier=multiplier, bias=bias, kept=kept, **_fields(entry, _FIELDS),
                         **(_fields(entry, _ANS_FIELDS) if form.code == "ans" else {}))
    if kept != _kept(layer):
        raise ValueError(f"kept must be {_kept(layer)} for its mask, not {kept}")
    return layer


@contextmanager
def _named(shape: Layer):
    """Errors within say that they are about the layer."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"layer {shape.name}: {_what(error)}") from error


def _network(content: _Content) -> IntegerNetwork:
    description, tensors = content.description, content.tensors
    if set(tensors) != set(_TYPES):
        raise ValueError(f"tensors must be {', '.join(sorted(_TYPES))}, not {', '.join(sorted(tensors))}")
    for name, (_, dtype) in _TYPES.items():
        if tensors[name].dtype != dtype or tensors[name].ndim != 1:
            raise ValueError(f"{name} must be one row of {np.dtype(dtype)}")
    topology = Topology.from_json(description["topology"])
    entries = content.entries()
    sizes = [-(-entry["coded_bits"] // 8) for entry in entries]
    channels = [layer.out_channels for layer in topology.layers]
    for name, expected in ((MASKS, sum(sizes)), (MULTIPLIERS, sum(channels)), (BIASES, sum(channels))):
        if len(tensors[name]) != expected:
            raise ValueError(f"{name} must have {expected} entries, not {len(tensors[name])}")
    coded, mask = [], 0
    for shape, entry, size in zip(topology.layers, entries, sizes, strict=True):
        with _named(shape):
            coded.append(_coded(shape, entry, tensors[MASKS][mask:mask + size].tobytes(), description["version"]))
        mask += size
    layers, channel = [], 0
    for shape, entry, mask, symbols in zip(topology.layers, entries, coded, codes.decode_layers(coded)):
        channels = slice(channel, channel + shape.out_channels)
        with _named(shape):
            layers.append(_layer(shape, entry, mask, symbols, tensors[MULTIPLIERS][channels],
                                 tensors[BIASES][channels]))
        channel = channels.stop
    return IntegerNetwork(topology, description["seed"], description["rounds"], tuple(layers),
                          description["convention"], description["provenance"])


def _load(path: Path) -> tuple[_Content, IntegerNetwork]:
    content = _read(path)
    try:
        return content, _network(content)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CoatError(f"{path} is intact but not a valid model ({_what(error)}): pack the model again") from error


def load(path: Path) -> IntegerNetwork:
    """The network of a packed file, its digest checked before anything else is used.

    Raises CoatError for a file that is damaged, of another kind or of a newer version, and FileNotFoundError if there
    is none.
    """
    return _load(path)[1]


def inspect(path: Path) -> dict:
    """Where every byte of a packed file goes, and what the same network takes in other forms. Plain JSON values.

    ``parts`` are the file's bytes by kind, the description and the container's own under "header"; ``densities`` the
    fractions really kept; ``lanes`` those of code "ans", else None. Raises like :func:`load`.
    """
    content, network = _load(path)
    parts = {name.split(".")[0]: content.tensors[name].nbytes for name in (MASKS, MULTIPLIERS, BIASES)}
    payload = sum(parts.values())
    layers = []
    for layer, entry in zip(network.layers, content.entries()):
        counts = np.bincount(_symbols(layer).view(np.uint8).ravel())
        shape = layer.layer
        layers.append({
            "name": shape.name, "weights": shape.weights, "densities": [kept / shape.weights for kept in layer.kept],
            "code": layer.code, "lanes": entry["lanes"] if layer.code == "ans" else None,
            "coded_bits": entry["coded_bits"], "shannon_bits": codes.shannon_bits(counts),
            "paper_bits": codes.paper_bits(shape.weights, layer.densities, shape.out_channels * shape.normalised)})
    weights = sum(layer["weights"] for layer in layers)
    return {
        "name": network.topology.name, "file_bytes": content.file_bytes, "payload_bytes": payload,
        "parts": {**parts, "header": content.file_bytes - payload}, "weights": weights,
        "coded_bits": sum(layer["coded_bits"] for layer in layers),
        "shannon_bits": sum(layer["shannon_bits"] for layer in layers),
        "paper_bits": sum(layer["paper_bits"] for layer in layers),
        "dense_bytes": {"float32": 4 * weights, "int8": weights, "binary": math.ceil(weights / 8)},
        "seed": network.seed, "rounds": network.rounds, "convention": network.convention,
        "provenance": network.provenance, "layers": layers}
