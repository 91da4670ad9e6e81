"""Regenerates the test vectors next to this file, from docs/specification.md alone.

Plain and slow on purpose: standard library only, nothing imported from the project, so that the vectors are independent
of every implementation they test. The parts are in generators/, by subject; the field layout in
generators/descriptors.py is a transcription of arch/descriptor.py, which is part of the specification. Every part
checks itself where it can (printed constants, decoding what was encoded, offset arithmetic against arithmetic without
offsets).

    python tests/vectors/generate.py            write the files
    python tests/vectors/generate.py --check    exit with status 1 if a file differs from what would be written
"""

import json
import pathlib
import sys

from generators.arithmetic import arithmetic_vectors
from generators.codes import codes_vectors
from generators.descriptors import descriptors_vectors
from generators.mask_stream import mask_stream_vectors
from generators.packed import packed_vectors
from generators.segments import segments_vectors
from generators.stream import stream_vectors

HERE = pathlib.Path(__file__).resolve().parent


def to_text(vectors):
    """JSON with one case a line."""
    parts = []
    for key, value in vectors.items():
        if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
            lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in value)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    assert json.loads(text) == vectors
    return text


FILES = {
    "stream.json": stream_vectors, "codes.json": codes_vectors, "mask_stream.json": mask_stream_vectors,
    "arithmetic.json": arithmetic_vectors, "descriptors.json": descriptors_vectors, "packed.json": packed_vectors,
    "segments.json": segments_vectors}


def main(arguments):
    if arguments not in ([], ["--check"]):
        print("usage: generate.py [--check]", file=sys.stderr)
        return 2
    differing = 0
    for name, make in FILES.items():
        text = to_text(make())
        path = HERE / name
        if not arguments:
            path.write_bytes(text.encode("ascii"))
            print(f"{name}: {len(text)} bytes")
        elif not path.exists() or path.read_bytes() != text.encode("ascii"):
            print(f"{name}: differs from what generate.py writes", file=sys.stderr)
            differing = 1
    return differing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
