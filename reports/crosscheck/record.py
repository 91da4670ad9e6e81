"""Records of cross-checks: a problem, our figures and a tool's, as JSON files in ``records``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from reports.crosscheck import nvdla
from reports.crosscheck.problem import Case

FOLDER = Path(__file__).parent / "records"

TOOLS = ("zigzag", "scalesim", "accelforge")
"""Programs that others wrote; each has a script ``run_<tool>.py`` beside this file."""


def path(tool: str, network: str = "resnet18", preset: str = "base") -> Path:
    """File of one record."""
    return FOLDER / ("nvdla-resnet50.json" if tool == "nvdla" else f"{tool}-{network}-{preset}.json")


def load(tool: str, network: str = "resnet18", preset: str = "base") -> dict:
    """Raises ValueError if there is no such record."""
    file = path(tool, network, preset)
    if not file.exists():
        raise ValueError(f"{file.name}: no such record: make it with --run")
    return json.loads(file.read_text())


def renew(tool: str, python: str, network: str = "resnet18", preset: str = "base") -> dict:
    """Runs ``tool`` with the interpreter ``python`` and writes the record. Raises ValueError, with what the tool said
    last, if it fails."""
    if tool == "nvdla":
        record = {"command": "python -m reports.crosscheck nvdla", "source": nvdla.SOURCE,
                  "rows": list(map(nvdla.compare, nvdla.PUBLISHED))}
    else:
        case = Case.of(network, preset)
        problem = case.problem()
        done = subprocess.run([python, str(FOLDER.parent / f"run_{tool}.py")], input=json.dumps(problem), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=FOLDER.parent)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise ValueError(f"{tool} failed with {python}: {said}: install what run_{tool}.py names there")
        found = json.loads(done.stdout)
        record = {"command": f"python -m reports.crosscheck {tool} --network {network} --preset {preset}",
                  "versions": found["versions"], "problem": problem, "ours": case.ours(), "theirs": found["layers"]}
    _write(path(tool, network, preset), record)
    return record


def _write(file: Path, record: dict):
    """A layer to a line."""
    lines = []
    for key, value in record.items():
        if isinstance(value, list):
            value = "[\n" + ",\n".join(f"    {json.dumps(row)}" for row in value) + "\n  ]"
        elif key == "problem":
            rows = ",\n".join(f"      {json.dumps(row)}" for row in value["layers"])
            value = f'{json.dumps({**value, "layers": 0})[:-2]}[\n{rows}\n    ]}}'
        else:
            value = json.dumps(value)
        lines.append(f"  {json.dumps(key)}: {value}")
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
