"""Verilog of an engine as it is simulated and measured. What other people's flows get is in hw/rtl.py."""

from __future__ import annotations

import functools

from amaranth.back import verilog
from amaranth.hdl import Fragment, Value
from amaranth.hdl._ir import PortDirection  # what verilog.convert uses; has no public name in 0.5
from amaranth.lib import wiring

from arch.config import EngineConfig
from hw.accelerator import Accelerator
from hw.column import Column
from hw.engine import Engine
from hw.lane import DecoderLane
from hw.selftest import SelfTest
from hw.verilog_text import tidy

__all__ = ["ACCELERATOR_MODULE", "COLUMN_MODULE", "ENGINE_MODULE", "LANE_MODULE", "SELF_TEST_MODULE",
           "accelerator_verilog", "component_ports", "engine_verilog", "self_test_verilog"]

ENGINE_MODULE = "topcoat_engine"
COLUMN_MODULE = "topcoat_column"
LANE_MODULE = "topcoat_lane"
ACCELERATOR_MODULE = "topcoat_accelerator"
SELF_TEST_MODULE = "topcoat_self_test"


def component_ports(component: wiring.Component) -> dict[str, tuple[Value, PortDirection]]:
    """The flattened ports of a component, named as in the Verilog."""
    directions = {wiring.In: PortDirection.Input, wiring.Out: PortDirection.Output}
    return {"__".join(map(str, path)): (Value.cast(value), directions[member.flow])
            for path, member, value in component.signature.flatten(component)}


def _convert(component: wiring.Component, name: str) -> str:
    text, _ = verilog.convert_fragment(Fragment.get(component, None), component_ports(component), name,
                                       emit_src=False, strip_internal_attrs=True)
    return tidy(text)


@functools.cache
def _parts(config: EngineConfig) -> str:
    """The modules of which every engine has several instances."""
    column = _convert(Column(config), COLUMN_MODULE)
    lane = _convert(DecoderLane(config), LANE_MODULE)
    return f"{column}\n{lane}"


@functools.cache
def engine_verilog(config: EngineConfig) -> str:
    """The whole engine as one text: module ``topcoat_engine``, its column ``topcoat_column`` and its decoder's lane
    ``topcoat_lane``.

    The same configuration always gives the same text.
    """
    engine = _convert(Engine(config, emit=True), ENGINE_MODULE)
    return f"{_parts(config)}\n{engine}"


@functools.cache
def accelerator_verilog(config: EngineConfig) -> str:
    """Engine, AXI4 bridge and registers as one text: module ``topcoat_accelerator`` and the two of
    :func:`engine_verilog` that it has several instances of.

    The same configuration always gives the same text.
    """
    accelerator = _convert(Accelerator(config, emit=True), ACCELERATOR_MODULE)
    return f"{_parts(config)}\n{accelerator}"


def self_test_verilog(test: SelfTest) -> str:
    """A self-test, made with ``emit``, as one text: module ``topcoat_self_test`` and the two of :func:`engine_verilog`
    that it has several instances of."""
    return f"{_parts(test.config)}\n{_convert(test, SELF_TEST_MODULE)}"
