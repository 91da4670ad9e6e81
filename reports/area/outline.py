"""Verilog of one component in which chosen parts are outlines: their ports are there, what is inside them is not."""

from __future__ import annotations

from amaranth.back import verilog
from amaranth.hdl import Fragment
from amaranth.lib import wiring

from hw.emit import component_ports
from hw.instance import emitted_instance

__all__ = ["OUTLINE", "outlined_verilog"]

OUTLINE = "outline_"
"""What the name of an outline's module begins with; the name of the component's class follows."""


def _outline(fragment: Fragment, without: tuple[type, ...]) -> dict[str, wiring.Component]:
    """Put outlines in place of all components of classes ``without``; returns one of each class by module name."""
    found = {}
    for index, (part, name, source) in enumerate(fragment.subfragments):
        component = next((origin for origin in part.origins or () if isinstance(origin, without)), None)
        if component is None:
            found |= _outline(part, without)
        else:
            module = f"{OUTLINE}{type(component).__name__}"
            fragment.subfragments[index] = emitted_instance(module, component), name, source
            found[module] = component
    return found


def _declaration(name: str, component: wiring.Component) -> str:
    ports = {"clk": ("input", 1), "rst": ("input", 1)} | {
        port: (direction.value, len(value)) for port, (value, direction) in component_ports(component).items()}
    lines = ",\n".join(f"  {direction} [{width - 1}:0] \\{port} " for port, (direction, width) in ports.items())
    return f"(* blackbox *)\nmodule {name}(\n{lines});\nendmodule\n"


def outlined_verilog(component: wiring.Component, name: str, without: tuple[type, ...] = ()) -> str:
    """Verilog of ``component`` as module ``name``, with components of classes ``without`` as outlines. What is inside
    those does not change the text.

    Raises ValueError if the component has none of one of the classes.
    """
    fragment = Fragment.get(component, None)
    outlines = _outline(fragment, without)
    missing = {part.__name__ for part in without} - {type(part).__name__ for part in outlines.values()}
    if missing:
        raise ValueError(f"{type(component).__name__} has no {', '.join(sorted(missing))}")
    text = verilog.convert(fragment, name, ports=component_ports(component), emit_src=False, strip_internal_attrs=True)
    # Without the version of the program that wrote it.
    return "\n".join((text.partition("*/\n\n")[2],
                      *(_declaration(module, outlines[module]) for module in sorted(outlines))))
