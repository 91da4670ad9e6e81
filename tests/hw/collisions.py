"""Block memories as some devices have them: a word that is read in the cycle in which it is written is not defined."""

from functools import reduce
from operator import or_

import pytest
from amaranth import *
from amaranth.hdl import MemoryInstance
from amaranth.lib import memory

__all__ = ["undefined_collisions"]


def _elaborate(self: memory.Memory, platform) -> Module:
    """``Memory.elaborate``, where of a word that is read from a block memory all bits are wrong that are written in
    that cycle. Memories that are read without a clock are as they were."""
    m = Module()
    m.submodules.instance = instance = MemoryInstance(data=self.data, attrs=self.attrs)
    stores = {port: instance.write_port(domain=port.domain, addr=port.addr, data=port.data, en=port.en)
              for port in self.write_ports}
    for port in self.read_ports:
        options = dict(domain=port.domain, addr=port.addr, en=port.en,
                       transparent_for=tuple(stores[store] for store in port.transparent_for))
        stored = [store for store in stores if store not in port.transparent_for]
        if port.domain == "comb" or not stored:
            instance.read_port(data=port.data, **options)
            continue
        data = Value.cast(port.data)
        read, hit, wrong = (Signal(len(data), name=name) for name in ("read", "hit", "wrong"))
        instance.read_port(data=read, **options)
        m.d.comb += data.eq(read ^ wrong)
        m.d.comb += hit.eq(reduce(or_, (
            Mux(store.addr == port.addr, Cat(bit.replicate(len(data) // len(store.en)) for bit in store.en), 0)
            for store in stored)))
        with m.If(port.en):
            m.d[port.domain] += wrong.eq(hit)
    return m


def undefined_collisions(patch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """Every ``amaranth.lib.memory.Memory`` that is elaborated while ``patch`` lasts is one of those. Depths and widths
    of those that are, as they are elaborated."""
    found = set()

    def elaborate(self, platform):
        if any(port.domain != "comb" for port in self.read_ports):
            found.add((self.depth, Shape.cast(self.shape).width))
        return _elaborate(self, platform)

    patch.setattr(memory.Memory, "elaborate", elaborate)
    return found
