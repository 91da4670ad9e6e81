"""Another code for the same coat indices: the networks compute the same, only their masks take other bits."""

from __future__ import annotations

import dataclasses

import numpy as np

from golden import ans, codes
from golden.codes import CHOICES
from golden.integer import IntegerNetwork

def code_fields(indices: np.ndarray, coats: int, code: str = "best") -> dict:
    """What an :class:`~golden.integer.IntegerLayer` says about the code of its coat indices 0..``coats``.

    ``code`` is one of :data:`~golden.codes.CHOICES`; ValueError for another.
    """
    if code not in CHOICES:
        raise ValueError(f"code must be one of {', '.join(CHOICES)}, not {code!r}")
    counts = np.bincount(indices.ravel(), minlength=coats + 1)
    if code == "best":
        code = codes.best_code(counts)
    frequencies, offset = ans.best_table(counts) if code == "ans" else ((), 0)
    return {"code": code, "symbol_bits": codes.symbol_bits(code, coats), "frequencies": frequencies, "offset": offset}


def recode(network: IntegerNetwork, code: str = "best") -> IntegerNetwork:
    """``network`` with its coat indices in ``code``, one of :data:`~golden.codes.CHOICES`; stored weights stay as they
    are."""
    fields = [{} if layer.code == "stored" else code_fields(layer.indices, layer.coats, code)
              for layer in network.layers]
    layers = tuple(dataclasses.replace(layer, **changes) for layer, changes in zip(network.layers, fields))
    return dataclasses.replace(network, layers=layers)
