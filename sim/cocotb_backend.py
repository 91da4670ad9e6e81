"""cocotb backend: the same harness under cocotb 2.1's Verilator runner. For verification beside cocotb's own models."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import cocotb_tools.config
import cocotb_tools.runner
from cocotb_tools.check_results import get_results

from sim.backend import Backend, SimulationError
from sim.build import VERILATOR_FLAGS, BuildError, cached_model
from sim.harness import JOB_SOURCE, TOP, control_file
from sim.toolchain import Toolchain, find_toolchain

TEST_MODULE = "sim.cocotb_run"
"""The module cocotb loads."""


class VerilatorRunner(cocotb_tools.runner.Verilator):
    """cocotb's runner without ``--public-flat-rw``, which keeps every net alive: a build six times slower to run and
    many times slower to make. The caller's control file says which ports cocotb sees."""

    def __init__(self, toolchain: Toolchain):
        super().__init__()
        self._toolchain = toolchain

    def _simulator_in_path_build_only(self) -> None:
        self.executable = self._toolchain.verilator

    def _set_env_build(self) -> None:
        super()._set_env_build()
        self.env.update(self._toolchain.environment)
        self.env.pop("MAKEFLAGS", None)

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        verilate.remove("--public-flat-rw")
        return [verilate, [*make, *self._toolchain.make_variables]]


class CocotbBackend(Backend):
    """Runs under cocotb; Python sleeps while the clock runs and looks up every 100,000 cycles."""

    def _build(self, verilog: dict[str, str]) -> Path:
        toolchain = find_toolchain()
        files = {"ports.vlt": control_file(), **verilog}
        flags = (*VERILATOR_FLAGS, *(("--trace",) if self.waves is not None else ()))
        main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
        # The libraries' place is part of the executable; the runner's source stands for cocotb's version.
        parts = ["cocotb", toolchain.identity, *toolchain.make_variables, *flags, str(cocotb_tools.config.libs_dir),
                 main.read_text(), inspect.getsource(cocotb_tools.runner), JOB_SOURCE.read_text()]
        for name, text in files.items():
            parts += [name, text]

        def build(folder: Path) -> Path:
            for name, text in files.items():
                (folder / name).write_text(text)
            log = folder / "log.txt"
            try:
                VerilatorRunner(toolchain).build(
                    sources=[folder / name for name in files], build_args=[*flags, str(JOB_SOURCE)], hdl_toplevel=TOP,
                    build_dir=folder / "model", timescale=("1ns", "1ps"), waves=self.waves is not None, log_file=log)
            except RuntimeError as error:
                tail = "\n".join(log.read_text().splitlines()[-30:])
                raise BuildError(f"{error}:\n{tail}") from error
            return folder / "model" / TOP

        return cached_model(parts, TOP, build, self.cache)

    def _execute(self, model: Path, folder: Path, report: Callable[[int, int, int], None]):
        waves = self.waves is not None
        log, results = folder / "log.txt", folder / "results.xml"
        failure = None
        try:
            VerilatorRunner(find_toolchain()).test(
                TEST_MODULE, TOP, hdl_toplevel_lang="verilog", build_dir=model.parent, test_dir=folder,
                plusargs=[f"+job={folder}"], test_args=["--trace-file", str(self.waves)] if waves else [], waves=waves,
                results_xml=str(results), log_file=log)
            # The runner does not raise for a failed test outside pytest, and exits inside it.
            tests, failed = get_results(results)
            if failed or tests != 1:
                failure = f"{failed} of {tests} cocotb tests failed"
        except (SystemExit, RuntimeError) as error:
            failure = f"the cocotb model ended with {error!r}"
        if failure:
            raise SimulationError(f"{failure}:\n{log.read_text()[-4000:]}")
