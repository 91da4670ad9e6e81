"""Simulation of the emitted Verilog: one harness and memory model, a native and a cocotb backend, layer checks."""
