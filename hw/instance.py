"""Instances of components that are emitted as a module of their own."""

from amaranth import *
from amaranth.lib import wiring

__all__ = ["emitted_instance"]


def emitted_instance(name: str, ports: wiring.PureInterface) -> Instance:
    """An instance of the separately emitted module ``name``. ``ports`` are its ports, seen from inside."""
    prefixes = {wiring.In: "i", wiring.Out: "o"}
    return Instance(name, i_clk=ClockSignal(), i_rst=ResetSignal(), **{
        f"{prefixes[member.flow]}_{'__'.join(map(str, path))}": value
        for path, member, value in ports.signature.flatten(ports)})
