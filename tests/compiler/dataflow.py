"""Follows every byte of a program's tensors through the engine without computing any: for networks too large for the
naive engine. Which byte of which tensor lies where is all that is kept; a layer finds the rows it asks for, or not."""

from __future__ import annotations

import numpy as np

from arch.descriptor import Opcode
from compiler.program import Program
from golden.topology import IMAGE, Topology
from tests.compiler.interpreter import Machine, descriptors

NOTHING = -1


class Dataflow(Machine):
    """A machine whose bytes are numbers: those of tensor t, image i of the batch, begin at ``origin[t, i]``."""

    def __init__(self, program: Program, topology: Topology):
        super().__init__(program.image, program.config)
        self.program, self.topology = program, topology
        self.activations = np.full(program.config.activation_bytes, NOTHING)
        self.stored = np.full(len(program.image), NOTHING)
        sizes = {IMAGE: int(np.prod(program.input_shape))}
        sizes |= {plan.name: plan.output_bytes for plan in program.layers}
        self.origin, count = {}, 0
        for image in range(program.batch):
            for name, size in sizes.items():
                self.origin[name, image] = count
                count += size
            first = program.input_address + image * (program.input_bytes // program.batch)
            self.stored[first:first + sizes[IMAGE]] = np.arange(sizes[IMAGE]) + self.origin[IMAGE, image]

    def follow(self):
        """Run the whole program, with every check of the naive engine that is not about values."""
        program = self.program
        numbers = iter(range(len(program.operations)))
        for fields in descriptors(program.image, program.program_address)[1:-1]:
            if fields["opcode"] == Opcode.LAYER:
                self._strip(fields, program.operations[next(numbers)])
            else:
                {Opcode.LOAD: self._load, Opcode.STORE: self._store}[fields["opcode"]](fields)
        last = program.layers[-1]
        for image in range(program.batch):
            first = program.output_address + image * (program.output_bytes // program.batch)
            assert np.array_equal(self.stored[first:first + last.output_bytes],
                                  np.arange(last.output_bytes) + self.origin[last.name, image])

    def _copy_in(self, memory: slice, local: np.ndarray):
        self.activations[local] = self.stored[memory]

    def _copy_out(self, memory: slice, local: np.ndarray):
        self.stored[memory] = self.activations[local]

    def _strip(self, fields, operation):
        layer, plan = self.topology.layers[operation.layer], self.program.layers[operation.layer]
        shapes = self.topology.shapes()
        known, number = self._begin("layer", fields), len(self.done["layer"])
        channels, height, width = shapes[layer.input]
        assert fields["row_bytes"] == width * channels
        assert fields["row_step_bytes"] == fields["stride"] * fields["row_bytes"]
        windows = self._wrapped(fields["input_address"], fields["input_height"] * fields["row_bytes"])
        # Where the strip's map begins follows from its output rows.
        map_row = operation.first_row
        if layer.pool is not None and layer.pool.kind == "max":
            map_row = operation.first_row * layer.pool.stride - layer.pool.padding + fields["pool_row_padding"]
        input_row = map_row * layer.stride - layer.padding + fields["pad_rows"]
        assert 0 <= input_row < height
        last = input_row + (fields["map_height"] - 1) * layer.stride + layer.kernel - fields["pad_rows"]
        assert input_row == 0 or fields["pad_rows"] == 0
        if fields["stride"] == layer.stride:
            assert input_row + fields["input_height"] == min(last, height)
            self._expect(layer.input, operation.image, input_row * fields["row_bytes"], windows)
        else:  # only the rows that windows touch
            assert fields["stride"] == layer.kernel == 1 and fields["input_height"] == fields["map_height"]
            for row, places in enumerate(windows.reshape(fields["input_height"], -1)):
                first = (input_row + row * layer.stride) * fields["row_bytes"]
                self._expect(layer.input, operation.image, first, places)
        self.chip.check(windows, known, writes=False)
        reads = [windows]
        post = self.units["post"]
        self._learn(post, known)
        post["layer"] = number
        if layer.residual is not None:
            size = fields["pixels"] * fields["out_channels"]
            residual = self._wrapped(fields["residual_address"], size)
            row_bytes = fields["map_width"] * fields["out_channels"]
            self._expect(layer.residual, operation.image, map_row * row_bytes, residual)
            self.chip.check(residual, post, writes=False)
            reads.append(residual)
        output = self._wrapped(operation.output_address, operation.output_bytes)
        assert fields["output_address"] == operation.output_address
        assert not np.isin(windows, output).any()
        self.chip.check(output, post, writes=True)
        row_bytes = operation.output_bytes // operation.rows
        self.activations[output] = (np.arange(operation.output_bytes) + operation.first_row * row_bytes
                                    + self.origin[plan.name, operation.image])
        for places in reads:
            self.chip.read["layer"][places] = number
        self.chip.written["layer"][output] = number
        self._end("layer", post)

    def _expect(self, name: str, image: int, first: int, places: np.ndarray):
        expected = np.arange(places.size) + first + self.origin[name, image]
        wrong = np.flatnonzero(self.activations[places] != expected)
        assert not wrong.size, f"{name}: {wrong.size} bytes are not there, the first is number {first + wrong[0]}"
