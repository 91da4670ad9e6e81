"""Descriptors against the independent vectors."""

import json
from pathlib import Path

import pytest

from arch import descriptor

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "descriptors.json").read_text())


def test_packed_fields():
    for case in VECTORS["descriptors"]:
        assert descriptor.pack(**case["fields"]).hex() == case["hex"], case["note"]


@pytest.mark.parametrize("fields", VECTORS["refused"], ids=str)
def test_values_that_do_not_fit_are_refused(fields):
    with pytest.raises(ValueError, match="^descriptor field .* must be in "):
        descriptor.pack(**fields)


def test_fields_of_one_operation_do_not_overlap():
    transfer = {"memory_address", "activation_address", "beats"}
    begin = {"magic", "version", "configuration", "seed_low", "seed_high"}
    common = {"opcode", "wait_layers", "wait_loads"}
    layer = set(descriptor.FIELDS) - transfer - begin
    for operation in begin | common, transfer | common, layer:
        taken = {}
        for name in operation:
            field = descriptor.FIELDS[name]
            assert field.lsb + field.bits <= 32 and field.word < descriptor.WORDS
            for bit in range(field.lsb, field.lsb + field.bits):
                assert taken.setdefault((field.word, bit), name) == name
