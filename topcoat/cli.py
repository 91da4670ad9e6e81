"""The command line: finds the command, runs it, and turns bad input into one line and a non-zero exit."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys

from topcoat import output

COMMANDS = {
    "demo": "run the bundled networks on the simulated hardware and compare the coats",
    "models": "list the bundled models",
    "inspect": "say where every byte of a model goes",
    "simulate": "run a model on the simulated engine and check every layer",
    "evaluate": "accuracy of a model's integers on a test set",
    "compare": "compare models: accuracy, bytes, cycles, weight traffic",
    "sweep": "explore the costs of a grid of designs, in parallel",
    "area": "cells and memories of an engine, by number of coats",
    "train": "train a supermask network",
    "pack": "turn a trained network into a .coat file",
    "compile": "turn a model into a program file for the drivers",
    "verilog": "write an engine's Verilog",
    "synth": "synthesise and route an engine for an FPGA",
    "selftest": "make a bitstream of an engine that tests itself on a board",
    "stream": "print words of the random stream",
    "bench-sim": "measure the speed of simulation",
}
"""Every command with its one-line summary, in the order of the help."""


def _parser() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {name:<10}{summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="topcoat", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Open hardware for supermask networks.",
        epilog=f"commands:\n{lines}\n\n`topcoat COMMAND --help` shows a command's options and an example.")
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="what to do")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0 only when everything asked for held."""
    chosen = _parser().parse_args(arguments)
    if chosen.command is None:
        _parser().print_help()
        return 2
    # Imported on demand: most commands need neither PyTorch nor Amaranth.
    module = importlib.import_module(f"topcoat.commands.{chosen.command.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"topcoat {chosen.command}", description=module.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    module.configure(parser)
    options = parser.parse_args(chosen.arguments)
    try:
        output.require_writable(options)
        return module.run(options)
    except (ValueError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"topcoat {chosen.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"topcoat {chosen.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
