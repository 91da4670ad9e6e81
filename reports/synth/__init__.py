"""Engines through the open FPGA flow: Yosys, nextpnr, resources per block, routed clock, floor plan (docs/synth.md)."""
