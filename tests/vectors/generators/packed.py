"""Section 4: packed model."""

import hashlib
import json

from generators.ans import ans_packed
from generators.codes import encode
from generators.common import Draw, to_bytes


def digest(json_text, tensors):
    total = json_text.encode("ascii")
    for tensor in sorted(tensors, key=lambda tensor: tensor["name"].encode("ascii")):
        total += tensor["name"].encode("ascii") + b"\0"
        total += tensor["type"].encode("ascii") + b"\0"
        total += "x".join(str(length) for length in tensor["shape"]).encode("ascii") + b"\0"
        total += bytes.fromhex(tensor["hex"])
    return hashlib.sha256(total).hexdigest()


def packed_vectors():
    draw = Draw(6)

    def little(values, size):
        return b"".join((value % 256 ** size).to_bytes(size, "little") for value in values).hex()

    def uint8(name, values, shape=None):
        return {"name": name, "type": "U8", "shape": shape or [len(values)], "hex": little(values, 1)}

    def int32(name, values):
        return {"name": name, "type": "I32", "shape": [len(values)], "hex": little(values, 4)}

    def int64(name, values):
        return {"name": name, "type": "I64", "shape": [len(values)], "hex": little(values, 8)}

    canonical = []
    for value, text in [
            ({"b": 1, "a": [1, 2, 3]}, '{"a":[1,2,3],"b":1}'),
            ({"version": 2, "format": "topcoat", "layers": [{"table": [0, 1], "code": "raw"}]},
             '{"format":"topcoat","layers":[{"code":"raw","table":[0,1]}],"version":2}'),
            ({"table": [0, 1, 2], "offset": 5, "lanes": 64, "frequencies": [800, 200, 24], "densities": [0.3, 0.125],
              "code": "ans"},
             '{"code":"ans","densities":[0.3,0.125],"frequencies":[800,200,24],"lanes":64,"offset":5,"table":[0,1,2]}'),
            ({"x": None, "y": True, "z": False, "Z": -1}, '{"Z":-1,"x":null,"y":true,"z":false}'),
            ({"data set": "caf\u00e9 \"1\""}, '{"data set":"caf\\u00e9 \\"1\\""}'),
            ({"seed": 2 ** 64 - 1}, '{"seed":18446744073709551615}'),
            ({}, "{}")]:
        assert json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) == text
        canonical.append({"value": value, "json": text})

    digests = []

    def add(note, json_text, tensors):
        digests.append({"note": note, "json": json_text, "tensors": tensors, "sha256": digest(json_text, tensors)})

    add("nothing", "", [])
    add("JSON only", "{}", [])
    add("one tensor", "{}", [uint8("masks.0", [1, 2, 3])])
    add("an empty tensor", "{}", [uint8("masks.0", [])])
    add("two axes", "{}", [uint8("masks.0", list(range(6)), [2, 3])])
    add("the same bytes in another shape", "{}", [uint8("masks.0", list(range(6)), [3, 2])])
    small = [uint8("masks.0", [draw.integer(0, 255) for _ in range(40)]),
             int32("multipliers.0", [-131072, 131071, 0, -1, 77]),
             int64("biases.0", [-2 ** 47, 2 ** 47 - 1, 0, -1, 123456789])]
    text = '{"format":"topcoat","layers":[],"rounds":13,"seed":42,"version":2}'
    add("three tensors, not given in the order of their names", text, small)
    add("the same given in the order of their names", text, sorted(small, key=lambda tensor: tensor["name"]))
    changed = [dict(tensor) for tensor in small]
    changed[0]["hex"] = "%02x" % (int(changed[0]["hex"][:2], 16) ^ 1) + changed[0]["hex"][2:]
    add("one bit of a tensor changed", text, changed)
    add("one digit of the JSON changed", text.replace("42", "43"), small)
    add("banks beyond 9: masks.10 comes before masks.2", text,
        [uint8("masks.2", [2]), uint8("masks.10", [10]), uint8("masks.0", [0]), int32("Upper", [1])])
    assert digests[6]["sha256"] == digests[7]["sha256"] != digests[8]["sha256"]
    assert digests[2]["sha256"] == hashlib.sha256(b"{}masks.0\0U8\0003\0\1\2\3").hexdigest()

    masks = []
    for layers in ([("raw", 3, 11), ("unary", 2, 17), ("stored", 4, 5)], [("unary", 1, 3), ("unary", 7, 9)],
                   [("raw", 1, 16)],
                   [("stored", 2, 9), ("raw", 5, 8), ("stored", 8, 3), ("unary", 3, 1)],
                   [("raw", 2, 7), ("ans", 3, 50), ("unary", 2, 5), ("ans", 1, 33), ("stored", 4, 3)]):
        entries, content = [], b""
        for code, size, count in layers:
            values = draw.stored(count, size, 0.7) if code == "stored" else draw.indices(count, size, 0.6)
            if code == "ans":
                frequencies, offset, lanes = {3: ([600, 250, 100, 74], 6, 8), 1: ([500, 524], 15, 4)}[size]
                data, _ = ans_packed(values, frequencies, offset, lanes)
                coded_bits = 8 * len(data)
            else:
                bits = encode(values, code, size)
                data = to_bytes(bits)
                coded_bits = len(bits)
            content += data
            entry = {"code": code, "size": size, "values": values, "coded_bits": coded_bits,
                     "mask_sha256": hashlib.sha256(data).hexdigest()}
            if code == "ans":
                entry |= {"frequencies": frequencies, "offset": offset, "lanes": lanes}
            if code == "stored":
                assert coded_bits == size * count
            else:
                entry["kept"] = [sum(1 for value in values if value >= level) for level in range(1, size + 1)]
            entries.append(entry)
        masks.append({"layers": entries, "hex": content.hex()})
    return {
        "what": "canonical: values and their canonical JSON. digests: the JSON text and tensors (name, safetensors "
                "type, shape, raw bytes in hex) and their SHA-256. masks: layers (code, size as in codes.json, values "
                "in canonical order) and the content of masks.0 in hex, with coded_bits, kept, and mask_sha256, here "
                "read as the SHA-256 of the layer's bytes in masks.0. Code ans: every lane's last state is 0, as in "
                "codes.json.",
        "specification": "4. Packed model: .coat", "canonical": canonical, "digests": digests, "masks": masks}
