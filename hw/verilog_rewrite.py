"""Rewrites modules until a linter has nothing to say: nothing unused, widths explicit, few names without meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from hw.verilog_syntax import *
from hw.verilog_widths import *

__all__ = ["rewrite"]

_LONGEST_INLINED = 4
"""Names in the longest expression that takes the place of a nameless wire in several places."""


# Walking.

def _values(body: list[Statement]) -> Iterator[Expression]:
    for statement in body:
        match statement:
            case Assign(target, value):
                yield value
                if isinstance(target, Select) and target.address is not None:
                    yield target.address
            case If(branches):
                for condition, inner in branches:
                    if condition is not None:
                        yield condition
                    yield from _values(inner)
            case Case(subject, branches):
                yield subject
                for _, inner in branches:
                    yield from _values(inner)


def _targets(body: list[Statement]) -> Iterator[Expression]:
    for statement in body:
        match statement:
            case Assign(target):
                yield target
            case If(branches) | Case(_, branches):
                for _, inner in branches:
                    yield from _targets(inner)


def _names(target: Expression) -> Iterator[str]:
    """Names that an assignment to ``target`` sets."""
    if isinstance(target, Concat):
        for part in target.parts:
            yield from _names(part)
    else:
        yield target.name


def _mapped(expression: Expression, change: Callable) -> Expression:
    """``expression`` with ``change`` applied to every part of it, from the inside out."""
    def inner(part: Expression) -> Expression:
        return _mapped(part, change)

    match expression:
        case Select(name, high, low, address) if address is not None:
            expression = Select(name, high, low, inner(address))
        case Concat(parts):
            expression = Concat(tuple(map(inner, parts)))
        case Repeat(count, part):
            expression = Repeat(count, inner(part))
        case Signed(part):
            expression = Signed(inner(part))
        case Unary(operator, part):
            expression = Unary(operator, inner(part))
        case Binary(operator, left, right):
            expression = Binary(operator, inner(left), inner(right))
        case Ternary(condition, yes, no):
            expression = Ternary(inner(condition), inner(yes), inner(no))
    return change(expression)


def _change_body(body: list[Statement], change: Callable[[Expression, Expression | None], Expression]):
    """Replaces every expression of ``body`` by ``change`` of it and of what it is assigned to, if it is."""
    for statement in body:
        match statement:
            case Assign(target, value):
                statement.value = change(value, target)
                if isinstance(target, Select) and target.address is not None:
                    statement.target = Select(target.name, target.high, target.low, change(target.address, None))
            case If(branches):
                for index, (condition, inner) in enumerate(branches):
                    branches[index] = (condition if condition is None else change(condition, None), inner)
                    _change_body(inner, change)
            case Case(_, branches):
                statement.subject = change(statement.subject, None)
                for _, inner in branches:
                    _change_body(inner, change)


def _change(module: Module, change: Callable[[Expression, Expression | None], Expression]):
    _change_body(module.assigns, change)
    for process in module.processes:
        _change_body(process.body, change)
    for instance in module.instances:
        instance.ports = {port: change(value, None) for port, value in instance.ports.items()}


def _uses(module: Module, outputs: dict[str, set[str]]) -> Iterator[Name | Select]:
    """Every read of a name. ``outputs`` are the output ports of the design's modules."""
    for value in _values(module.assigns):
        yield from reads(value)
    for process in module.processes:
        for value in _values(process.body):
            yield from reads(value)
        if process.clock is not None:
            yield from reads(process.clock)
    for instance in module.instances:
        for port, value in instance.ports.items():
            if port not in outputs[instance.module]:
                yield from reads(value)


# Passes.

def _drop_triggers(module: Module):
    """Removes what Yosys makes processes depend on so that they run at all, and the processes that only assign."""
    kept = []
    for process in module.processes:
        process.body = [statement for statement in process.body
                        if not (isinstance(statement, If) and isinstance(statement.branches[0][0], Name)
                                and statement.branches[0][0].name.startswith("\\$auto")
                                and not statement.branches[0][1])]
        if process.clock is None and all(isinstance(statement, Assign) for statement in process.body):
            for statement in process.body:
                module.nets[statement.target.name].register = False
            module.assigns += process.body
        else:
            kept.append(process)
    module.processes = kept


def _prune(modules: dict[str, Module], top: str):
    """Removes nets that nothing reads with what drives them, and ports that nothing outside reads or nothing inside
    does."""
    changed = True
    while changed:
        changed = False
        outputs = {name: {net.name for net in module.nets.values() if net.direction == "output"}
                   for name, module in modules.items()}
        inputs_read, outputs_read = {}, {name: set() for name in modules}
        for name, module in modules.items():
            used = {use.name for use in _uses(module, outputs)}
            inputs_read[name] = used
            for instance in module.instances:
                for port, value in instance.ports.items():
                    if port in outputs[instance.module] and (
                            any(net in used or module.nets[net].direction == "output" for net in _names(value))):
                        outputs_read[instance.module].add(port)
        for name, module in modules.items():
            for port in outputs[name] - outputs_read[name] if name != top else ():
                module.nets[port].direction = ""
                module.ports.remove(port)
                changed = True
            needed = inputs_read[name] | {net.name for net in module.nets.values() if net.direction == "output"}
            if name == top:
                needed |= set(module.ports)
            # Of several instances of a module, others may read what this one's connection does not.
            needed |= {net for instance in module.instances for port, value in instance.ports.items()
                       if port in outputs_read[instance.module] for net in _names(value)}
            unneeded = module.nets.keys() - needed
            changed |= bool(unneeded)
            for net in unneeded:
                del module.nets[net]
            module.ports = [port for port in module.ports if port in needed]
            module.assigns = [assign for assign in module.assigns
                              if any(net in needed for net in _names(assign.target))]
            module.memories = [memory for memory in module.memories if memory.memory in needed]
            module.processes = [process for process in module.processes
                                if any(net in needed for target in _targets(process.body) for net in _names(target))]
        for module in modules.values():
            for instance in module.instances:
                ports = modules[instance.module].ports
                instance.ports = {port: value for port, value in instance.ports.items() if port in ports}


def _narrow(module: Module, outputs: dict[str, set[str]]) -> bool:
    """Nameless results of which only the low bits are used get no more bits than that. Whether there were any."""
    narrowed = False
    highest: dict[str, int] = {}
    for use in _uses(module, outputs):
        high = module.nets[use.name].width - 1 if isinstance(use, Name) or use.high is None else use.high
        highest[use.name] = max(highest.get(use.name, 0), high)
    drivers = {assign.target.name: assign for assign in module.assigns if isinstance(assign.target, Name)}
    for name, high in highest.items():
        net = module.nets[name]
        if not is_temporary(name) or high == net.width - 1 or name not in drivers:
            continue
        value = drivers[name].value
        narrowable = isinstance(value, (Ternary, Const, Name, Select, Concat)) or isinstance(
            value, Unary) and value.operator in "~-" or isinstance(value, Binary) and value.operator in "+-*&|^"
        if narrowable:
            net.width = high + 1
            narrowed = True
    return narrowed


def _name_shifted(module: Module):
    """What is shifted right and then cut off gets a name, as nothing but names can be cut off."""
    added = []

    def change(value: Expression, target: Expression | None) -> Expression:
        if target is None or not isinstance(value, Binary) or value.operator not in (">>", ">>>"):
            return value
        bits, width = width_of(module, value), width_of(module, target)
        if bits <= width:
            return value
        name = f"\\$auto$shifted{len(added)}"
        module.nets[name] = Net(name, bits)
        added.append(Assign(Name(name), value))
        return Select(name, width - 1, 0)

    _change(module, change)
    module.assigns += added


def _fit(module: Module):
    """Makes every width explicit."""
    def change(value: Expression, target: Expression | None) -> Expression:
        if target is None:
            return settled(module, value)
        width = width_of(module, target)
        return fitted(module, value, width)

    _change(module, change)

    def conditions(body: list[Statement]):
        for statement in body:
            match statement:
                case If(branches):
                    for index, (condition, inner) in enumerate(branches):
                        branches[index] = (condition if condition is None else truth(module, condition), inner)
                        conditions(inner)
                case Case(_, branches):
                    for _, inner in branches:
                        conditions(inner)

    for process in module.processes:
        conditions(process.body)


def _inline(module: Module, outputs: dict[str, set[str]]):
    """Puts nameless wires' values in their places, where that is short and cannot change a width or a sign."""
    uses, parts = Counter(), Counter()
    for use in _uses(module, outputs):
        uses[use.name] += 1
        parts[use.name] += isinstance(use, Select)
    # What works out in more bits than it has, and what has to be a name.
    bare = {read.name for process in module.processes if process.clock is not None for read in reads(process.clock)}

    def note_factors(expression: Expression) -> Expression:
        if isinstance(expression, Binary) and expression.operator == "*":
            bare.update(side.name for side in (expression.left, expression.right) if isinstance(side, Name))
        return expression

    _change(module, lambda value, _: _mapped(value, note_factors))
    values: dict[str, Expression] = {}

    def place(expression: Expression) -> Expression:
        if isinstance(expression, Name) and expression.name in values:
            return values[expression.name]
        return expression

    ordered, seen = [], set()
    drivers = {assign.target.name: assign for assign in module.assigns
               if isinstance(assign.target, Name) and is_temporary(assign.target.name)}

    def visit(name: str):
        # Values of values first.
        if name in seen:
            return
        seen.add(name)
        for read in reads(drivers[name].value):
            if read.name in drivers:
                visit(read.name)
        ordered.append(name)

    for name in drivers:
        visit(name)
    for name in ordered:
        assign = drivers[name]
        assign.value = settled_again = _mapped(assign.value, place)
        net = module.nets[name]
        count = sum(1 for _ in reads(settled_again))
        if (parts[name] or name in bare or is_signed(settled_again)
                or width_of(module, settled_again) != net.width
                or isinstance(settled_again, Select) and settled_again.address is not None
                or count > (4 * _LONGEST_INLINED if uses[name] == 1 else _LONGEST_INLINED)):
            continue
        if uses[name] > 1 and count > 1 and net.width > 1:
            continue
        values[name] = settled_again
    module.assigns = [assign for assign in module.assigns
                      if not (isinstance(assign.target, Name) and assign.target.name in values)]
    for name in values:
        del module.nets[name]
    _change(module, lambda value, _: _mapped(value, place))


def _whole(module: Module):
    """What is assigned to a register or a wire by way of a nameless wire of its own is assigned directly."""
    drivers = {assign.target.name: assign.value for assign in module.assigns
               if isinstance(assign.target, Name) and is_temporary(assign.target.name)}
    uses = Counter(use.name for use in _uses(module, {instance.module: set() for instance in module.instances}))
    gone = set()

    def change(value: Expression, target: Expression | None) -> Expression:
        if (target is not None and isinstance(value, Name) and value.name in drivers and uses[value.name] == 1
                and width_of(module, target) == module.nets[value.name].width):
            gone.add(value.name)
            return drivers[value.name]
        return value

    _change(module, change)
    module.assigns = [assign for assign in module.assigns
                      if not (isinstance(assign.target, Name) and assign.target.name in gone)]
    for name in gone:
        del module.nets[name]


def _share(module: Module, outputs: dict[str, set[str]]):
    """What several instances get, or what is long, becomes a wire."""
    def long(value: Expression) -> bool:
        return sum(1 for _ in reads(value)) > _LONGEST_INLINED

    inputs = [(instance, port, value) for instance in module.instances for port, value in instance.ports.items()
              if port not in outputs[instance.module] and not isinstance(value, (Name, Select, Const))]
    uses = Counter(value for *_, value in inputs)
    wires: dict[Expression, Name] = {}
    for instance, port, value in inputs:
        if value not in wires and (uses[value] > 1 or long(value)):
            name = f"\\$auto$shared{len(wires)}"
            module.nets[name] = Net(name, width_of(module, value))
            module.assigns.append(Assign(Name(name), value))
            wires[value] = Name(name)
        instance.ports[port] = wires.get(value, value)


def rewrite(modules: list[Module], top: str):
    """Rewrites all modules of a design in place; the ports of ``top``, and of modules of which there are several
    instances, stay as they are as far as anything reads them."""
    named = {module.name: module for module in modules}
    for module in modules:
        _drop_triggers(module)
    _prune(named, top)
    outputs = {name: {net.name for net in module.nets.values() if net.direction == "output"}
               for name, module in named.items()}
    for module in modules:
        _name_shifted(module)
        _fit(module)
        # Operands of what became narrower have bits to spare in turn.
        while _narrow(module, outputs):
            _fit(module)
        _inline(module, outputs)
        _whole(module)
        _share(module, outputs)
    _prune(named, top)
