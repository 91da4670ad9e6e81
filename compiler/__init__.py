"""From an integer network and an engine configuration to a program and its memory image."""

from compiler.errors import CompileError
from compiler.lower import compile_network
from compiler.program import LayerPlan, Program

__all__ = ["CompileError", "LayerPlan", "Program", "compile_network"]
