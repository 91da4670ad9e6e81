"""One output column: weight slots, multipliers, adder tree and partial sums."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import EngineConfig
from hw.planes import SIGN_GROUP, add_with_carry, plane_dot
from hw.weights import slot_row

__all__ = ["Column"]


class Column(wiring.Component):
    """Multiplies ``lanes`` activations by the weights of a slot and adds the dot product to a partial sum.

    Operation: with lanes that are multipliers, weights of 2 or 4 bits are sign and magnitude. A negative product is
    one's-complemented, and the slot's count of negative weights, added once in the tree, makes up for the missing ones:
    no multiplier wider than the magnitude and no carry chain per lane. Weights of 8 bits are two's complement and
    multiplied as such. Lanes of planes add bits of weights instead (:func:`hw.planes.plane_dot`). All control comes
    from :class:`hw.array.Array`, already delayed to the cycle it is for. The halves of the partial sums are separate
    memories, so that one is drained while the other accumulates.

    Latency, in cycles after the activations (S = ``tree_stages``):

    * 0: ``slot`` is read, products are registered; rows written in this cycle are not seen yet. Lanes of planes do so
      in cycle 1, and S counts it.
    * 1..S: adder tree, a register every two levels; in cycle S - 1 ``read_addresses`` names the old partial sum.
    * S: the old partial sum comes, from the half that ``goes_on`` says.
    * S + 1: dot product and old partial sum are added and written where ``store_valid`` and ``store_address`` say. The
      sum can be read from cycle S + 2.

    Parameters
    ----------
    sign_group : int
        Lanes of planes: how their signs are applied (:data:`hw.planes.SIGN_GROUP`).

    Members
    -------
    See the comments on the ports.
    """

    def __init__(self, config: EngineConfig, *, sign_group: int = SIGN_GROUP):
        self._config = config
        self._sign_group = sign_group
        address = range(config.partial_sums)
        super().__init__({
            #: The next cycle's ``row`` is written, into slot ``row_slot``.
            "row_comes": In(1),
            "row_slot": In(range(config.weight_slots)),
            "row": In(slot_row(config)),
            #: One run of activations, and the slot to multiply it with.
            "activations": In(data.ArrayLayout(signed(8), config.lanes)),
            "slot": In(range(config.weight_slots)),
            #: What to read from either half of the partial sums, for accumulating or draining.
            "read_addresses": In(data.ArrayLayout(Shape.cast(address), 2)),
            #: One bit per half: the sum goes on from the old one there. With neither it starts.
            "goes_on": In(2),
            #: One bit per half: write the sum there.
            "store_valid": In(2),
            "store_address": In(address),
            #: Half of ``sum``: the half asked for in the cycle before.
            "drain_half": In(1),
            #: Partial sum at the ``read_addresses`` of the cycle before.
            "sum": Out(signed(config.accumulator_bits)),
        })

    @staticmethod
    def tree_stages(config: EngineConfig) -> int:
        """:func:`arch.latency.tree_stages` of this column."""
        return latency.tree_stages(config)

    def _multiplier_dot(self, m: Module, row: data.View) -> Value:
        """Adds the multipliers and their adder tree; returns the dot product."""
        config = self._config

        # Cycle 0.
        products = []
        for lane in range(config.lanes):
            activation, weight = self.activations[lane], row.weights[lane]
            if config.weight_bits == 8:
                value = activation * weight.as_signed()
            else:
                value = activation * weight[:-1]
                value = (value.as_unsigned() ^ weight[-1].replicate(len(value))).as_signed()
            product = Signal(value.shape(), name=f"product_{lane}", reset_less=True)
            m.d.sync += product.eq(value)
            products.append(product)

        # Cycles 1..S.
        largest = 128 if config.weight_bits == 8 else config.weight_limit
        dot_limit = config.lanes * 128 * largest
        dot_shape = Shape.cast(range(-dot_limit, dot_limit + 1))
        sums, level = products, 0
        while len(sums) > 1:
            values = [low + high for low, high in zip(sums[::2], sums[1::2])]
            level += 1
            # The count joins where the operands are narrow and it has come through one register only.
            if level == 2 and config.weight_bits != 8:
                negatives = Signal.like(row.negatives, reset_less=True)
                m.d.sync += negatives.eq(row.negatives)
                values[0] = values[0] + negatives
            last = len(values) == 1
            registered = level % 2 == 0 or last
            sums = [Signal(dot_shape if last else value.shape(), name=f"sum_{level}_{index}", reset_less=True)
                    for index, value in enumerate(values)]
            for target, value in zip(sums, values):
                m.d["sync" if registered else "comb"] += target.eq(value)
        return sums[0]

    def elaborate(self, platform):
        m = Module()
        config = self._config

        activations, slot = self.activations, self.slot
        if config.lane == "planes":
            activations, slot = (Signal.like(port, name=f"{name}_here", reset_less=True) for name, port in (
                ("activations", activations), ("slot", slot)))
            m.d.sync += [activations.eq(self.activations), slot.eq(self.slot)]
        slots = Memory(shape=slot_row(config), depth=config.weight_slots, init=[])
        m.submodules.slots = slots
        row_write = slots.write_port()
        row_read = slots.read_port(domain="comb")
        # Registers of its own in every column: the slots' enables are many, and all over the die.
        row_slot = Signal.like(self.row_slot, name="row_slot_here", reset_less=True)
        m.d.sync += row_write.en.eq(self.row_comes)
        with m.If(self.row_comes):
            m.d.sync += row_slot.eq(self.row_slot)
        m.d.comb += [
            row_write.addr.eq(row_slot),
            row_write.data.eq(self.row),
            row_read.addr.eq(slot),
        ]

        if config.lane == "planes":
            dot, carry = plane_dot(m, config, self.tree_stages(config) - 1, activations, row_read.data,
                                   self._sign_group)
        else:
            dot, carry = self._multiplier_dot(m, row_read.data), None

        # Cycles S - 1 (address), S (memory output) and S + 1 (addition). A block memory is slow: its output goes
        # straight into a register, which is cleared if it is not what the sum goes on from.
        sum_shape = signed(config.accumulator_bits)
        stored, partials = [], []
        total = Signal(sum_shape)
        for half in range(2):
            memory = Memory(shape=sum_shape, depth=config.partial_sums, init=[])
            m.submodules[f"half_{half}"] = memory
            read, write = memory.read_port(), memory.write_port()
            partial = Signal(sum_shape, name=f"partial_{half}", reset_less=True)
            m.d.comb += [
                read.addr.eq(self.read_addresses[half]),
                write.en.eq(self.store_valid[half]),
                write.addr.eq(self.store_address),
                write.data.eq(total),
            ]
            m.d.sync += partial.eq(Mux(self.goes_on[half], read.data, 0))
            stored.append(read.data)
            partials.append(partial)
        old = (partials[0] | partials[1]).as_signed()
        m.d.comb += [
            total.eq(dot + old if carry is None else add_with_carry(old, dot, carry)),
            self.sum.eq(Mux(self.drain_half, stored[1], stored[0])),
        ]
        return m
