# Everything a newcomer needs: `make demo` and `make test` set up .venv by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS := $(VENV)/.tests

.PHONY: demo lint test test-tools nightly accuracy critique bench area gates bitstream equivalence clean tools

demo: $(READY)
	@$(BIN)/topcoat demo

# The testbench that `topcoat verilog` writes runs in Icarus Verilog, its vendors' scripts in a plain Tcl interpreter.
test-tools:
	@for tool in iverilog tclsh; do \
	  command -v $$tool >/dev/null || { echo "error: $$tool not found: install it for the tests (Debian: iverilog tcl)" >&2; exit 1; }; \
	done

# Settings: [tool.ruff] of pyproject.toml.
lint: $(TESTS)
	@$(BIN)/python -m ruff check .

test: test-tools lint
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal

# Whole ResNets at 224x224 on every preset: minutes each. Last record: docs/measurements.md.
nightly: $(TESTS)
	@$(BIN)/python -m pytest -v -m nightly

# Train the tables of docs/accuracy.md and docs/critique.md; cut short, they go on where they stopped.
accuracy: RUNS = runs
critique: RUNS = runs/critique
accuracy critique: $(READY)
	@test -d "$(or $(DATA),/usr/share/datasets/fashion-mnist)" || \
	  { echo "error: no Fashion-MNIST: install Debian's dataset-fashion-mnist or give DATA=<IDX folder>" >&2; exit 1; }
	@$(BIN)/python -m golden.sweep $@ --out $(RUNS) $(if $(DATA),--data $(DATA))
	@$(BIN)/python -m reports.$@ $(RUNS) $(if $(DATA),--data $(DATA))

# Speed of training and of simulation, as ratios taken in one run.
bench: $(READY)
	@$(BIN)/python -m golden.bench_training
	@$(BIN)/topcoat bench-sim

# Cells of the engine's blocks on TARGET, after a change of the RTL: a few minutes, and it goes on where it was stopped.
# FPGAs need nothing else (TARGET=ecp5, xc7); standard cells their Liberty files (LIBERTY="...").
TARGET ?= ecp5
area: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[area]'
	@$(BIN)/topcoat area --renew $(TARGET) $(if $(LIBERTY),--liberty $(LIBERTY))

# Energy of the blocks in standard cells, simulated gate by gate, after a change of the RTL: minutes. As above, and NODE
# in nm: make gates TARGET=sky130hd NODE=130 LIBERTY="...".
gates: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[area]'
	@$(BIN)/python -m reports.gates $(TARGET) --node $(NODE) --liberty $(LIBERTY)

# The bitstream that tests itself on a ULX3S (docs/selftest.md), reports/selftest.bit, and what it is, selftest.json.
bitstream: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[synth]'
	@$(BIN)/topcoat selftest -o out/selftest --json reports/selftest.json
	@cp out/selftest/topcoat.bit reports/selftest.bit

# The first layer of a network on an engine's ECP5 netlist, and on eight wrong ones (docs/equivalence.md): minutes.
equivalence: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[area]'
	@$(BIN)/python -m reports.equivalence --preset tiny --layers 1 --flips 8

tools:
	@for tool in $(PYTHON) g++ make perl; do \
	  command -v $$tool >/dev/null || { echo "error: $$tool not found: install it (Debian: python3 python3-venv g++ make perl)" >&2; exit 1; }; \
	done
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) -V): Topcoat needs Python 3.11 to 3.13; name one with PYTHON=..." >&2; exit 1; }

$(READY): pyproject.toml constraints.txt | tools
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) -m venv failed: install its venv module (Debian: python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sweep]'
	@touch $@

# What the tests need on top, FPGA tools among it: 900 MB that `make demo` does without.
$(TESTS): $(READY)
	@echo "adding what the tests need (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

clean:
	rm -rf build out $(VENV)
