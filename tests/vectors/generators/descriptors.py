"""Section 5: descriptors (layout transcribed from arch/descriptor.py) and parameter records."""

from generators.common import Draw, crc_32

UNSIGNED_FIELDS = """
opcode 0 0 8, wait_layers 0 8 12, wait_loads 0 20 12, wait_stores 30 0 12,
magic 1 0 32, version 2 0 32, configuration 3 0 32, seed_low 4 0 32, seed_high 5 0 32,
memory_address 1 0 32, activation_address 2 0 24, beats 3 0 24,
input_address 1 0 24, input_height 2 0 16, row_bytes 2 16 16, step_bytes 3 0 16, pad_bytes 3 16 16,
run_bytes 4 0 16, kernel_rows 4 16 4, stride 4 20 4, pad_rows 4 24 4, row_step_bytes 5 0 24, run_chunks 6 0 16,
run_blocks 6 16 16,
map_height 7 0 16, map_width 7 16 16, pixels 8 0 24, pixel_tiles 9 0 16, tile_pixels 9 16 16, out_channels 10 0 16,
column_tiles 10 16 16, stream 11 0 32, mask_address 12 0 32, mask_words 13 0 32, code 14 0 4, symbol_bits 14 4 4,
coats 14 8 4, mask_keep 14 12 1, mask_reuse 14 13 1, parameter_keep 14 14 1, parameter_reuse 14 15 1,
ans_offset 14 16 4,
frequency_1 26 0 10, frequency_2 26 10 10, frequency_3 26 20 10, frequency_4 27 0 10, frequency_5 27 10 10,
frequency_6 27 20 10, frequency_7 28 0 10, mask_beats 29 0 28, parameter_beats 30 12 20,
table_low 15 0 32, table_high 16 0 32, parameter_address 17 0 32, residual 18 0 1, wide 18 1 1, pool 18 2 2,
shift 18 4 6,
residual_address 20 0 24, output_address 21 0 24, pool_kernel 22 0 4, pool_stride 22 4 4, pool_padding 22 8 4,
pool_shift 22 12 6, pool_row_padding 22 18 4, pool_height 23 0 16, pool_width 23 16 16, pool_row_bytes 25 0 24
"""
SIGNED_FIELDS = "pad_value 1 24 8, clamp_low 18 16 8, residual_multiplier 19 0 18, pool_multiplier 24 0 18"

LAYOUT = {}
for text, signed in ((UNSIGNED_FIELDS, False), (SIGNED_FIELDS, True)):
    for entry in text.split(","):
        name, word, lsb, bits = entry.split()
        LAYOUT[name] = (int(word), int(lsb), int(bits), signed)


def field_range(name):
    _, _, bits, signed = LAYOUT[name]
    return (-2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2 ** bits - 1)


def descriptor_bytes(values):
    """The first 124 bytes as one 992-bit number, word w beginning at bit 32 w; then their CRC-32."""
    number = 0
    for name, value in values.items():
        word, lsb, bits, _ = LAYOUT[name]
        low, high = field_range(name)
        assert low <= value <= high
        position = 32 * word + lsb
        assert number >> position & (2 ** bits - 1) == 0, "fields of one descriptor do not overlap"
        number += value % 2 ** bits << position
    content = number.to_bytes(124, "little")
    return content + crc_32(content).to_bytes(4, "little")


GENERAL = ["opcode", "wait_layers", "wait_loads", "wait_stores"]
BEGIN = ["magic", "version", "configuration", "seed_low", "seed_high"]
MOVE = ["memory_address", "activation_address", "beats"]


def descriptors_vectors():
    draw = Draw(5)
    layer = [name for name in LAYOUT if name not in GENERAL + BEGIN + MOVE]
    cases = []

    def add(note, values):
        data = descriptor_bytes(values)
        cases.append({"note": note, "fields": values, "crc": int.from_bytes(data[124:], "little"), "hex": data.hex()})

    add("BEGIN", {"opcode": 1, "magic": 0x544F4354, "version": 2, "configuration": 0x89ABCDEF, "seed_low": 42,
                  "seed_high": 0})
    add("LOAD", {"opcode": 2, "wait_layers": 3, "wait_loads": 1, "wait_stores": 2, "memory_address": 0x10040,
                 "activation_address": 0x1000, "beats": 196})
    example = {
        "opcode": 3, "wait_layers": 2, "wait_loads": 1, "input_address": 0x4000, "pad_value": -128, "input_height": 32,
        "row_bytes": 512, "step_bytes": 16, "pad_bytes": 16, "run_bytes": 48, "kernel_rows": 3, "stride": 1,
        "pad_rows": 1, "row_step_bytes": 512, "run_chunks": 6, "run_blocks": 1, "map_height": 32, "map_width": 32,
        "pixels": 1024, "pixel_tiles": 16, "tile_pixels": 64, "out_channels": 16, "column_tiles": 4, "stream": 2,
        "mask_address": 0x2000, "mask_words": 288, "mask_beats": 73, "parameter_beats": 19, "code": 1,
        "symbol_bits": 3, "coats": 3, "table_low": 0x03020100, "table_high": 0, "parameter_address": 0x3000,
        "residual": 1, "wide": 0, "pool": 1, "shift": 20, "clamp_low": -128, "residual_multiplier": -12345,
        "residual_address": 0x8000, "output_address": 0xC000, "pool_kernel": 3, "pool_stride": 2, "pool_padding": 1,
        "pool_shift": 0, "pool_row_padding": 1, "pool_height": 16, "pool_width": 16, "pool_multiplier": 0,
        "pool_row_bytes": 256}
    add("LAYER, 3x3 over 16 channels, offset, residual, maximum pool", example)
    add("LAYER, code ans, mask and parameters kept", {
        **example, "code": 3, "symbol_bits": 10, "coats": 7, "table_high": 0x07060504, "ans_offset": 13,
        "frequency_1": 300, "frequency_2": 150, "frequency_3": 75, "frequency_4": 40, "frequency_5": 20,
        "frequency_6": 10, "frequency_7": 1, "mask_keep": 1, "parameter_keep": 1})
    add("LAYER, code ans, mask and parameters reused, a strip below the first row", {
        **example, "wait_stores": 4, "code": 3, "symbol_bits": 10, "ans_offset": 0, "frequency_1": 1023, "mask_keep": 1,
        "mask_reuse": 1, "parameter_reuse": 1, "mask_beats": 0, "parameter_beats": 0, "pool_row_padding": 0})
    add("STORE", {"opcode": 4, "wait_layers": 21, "memory_address": 0xFFFFFFC0, "activation_address": 0xFFFFC0,
                  "beats": 1})
    add("END", {"opcode": 5, "wait_layers": 21, "wait_loads": 2, "wait_stores": 1})
    add("no fields", {})
    for group, names in (("BEGIN", BEGIN), ("LOAD and STORE", MOVE), ("LAYER", layer)):
        add(group + ": every field at its largest", {name: field_range(name)[1] for name in GENERAL + names})
        add(group + ": every field at its smallest", {name: field_range(name)[0] for name in GENERAL + names})
        for _ in range(4):
            add(group + ": random", {name: draw.integer(*field_range(name)) for name in GENERAL + names})
    add("LAYER: signed fields -1", {name: -1 for name in layer if LAYOUT[name][3]})
    refused = []
    for name in LAYOUT:
        low, high = field_range(name)
        add(name, {name: high})
        if LAYOUT[name][3]:
            for value in (low, -1):
                add(name, {name: value})
        for value in (low - 1, high + 1):
            refused.append({name: value})
    refused.append({"opcode": 3, "pad_value": 200})
    refused.append({"opcode": 3, "shift": -3, "map_width": 3})
    refused.append({"seed_low": 2 ** 32 + 1})
    bad_checksums = []
    for case in cases[:6]:
        data = bytes.fromhex(case["hex"])
        for bit in (0, draw.integer(1, 991), 991, 992, 1023):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            assert crc_32(changed[:124]) != int.from_bytes(changed[124:], "little")
            bad_checksums.append({"note": f"{case['note']}: bit {bit} changed", "hex": changed.hex()})

    records = []
    pairs = [(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (-1, -1), (2 ** 17 - 1, 2 ** 47 - 1), (-2 ** 17, -2 ** 47),
             (-2 ** 17, 2 ** 47 - 1), (12345, -67890123456)]
    pairs += [(draw.integer(-2 ** 17, 2 ** 17 - 1), draw.integer(-2 ** 47, 2 ** 47 - 1)) for _ in range(12)]
    for m, b in pairs:
        number = m % 2 ** 18 + (b % 2 ** 48 << 18)
        records.append({"m": m, "b": b, "hex": number.to_bytes(9, "little").hex()})
    return {
        "what": "descriptors: field values (others zero, crc among them left out), crc, the CRC-32 of the first 124 "
                "bytes, and the descriptor's 128 bytes, which it ends. refused: field values of which at least one is "
                "out of its field's range. bad_checksums: descriptors with one bit changed, of the checksum or of "
                "what it covers. parameter_records: m and b of one output channel and the 9 bytes.",
        "specification": "5. Program and memory image; arch/descriptor.py", "descriptors": cases, "refused": refused,
        "bad_checksums": bad_checksums, "parameter_records": records}
