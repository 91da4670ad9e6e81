"""Section 5: segments with checksums."""

import hashlib

from generators.common import Draw, crc_32


def segment_region(content, beat):
    """(bytes of the segmented region, per segment its number of content bytes and CRC-32)."""
    room = 4096 - beat
    region, segments = b"", []
    for start in range(0, len(content), room):
        part = content[start:start + room]
        padded = part + bytes(-len(part) % beat)
        checksum = crc_32(padded)
        region += padded + checksum.to_bytes(4, "little") + bytes(beat - 4)
        segments.append([len(part), "%08x" % checksum])
    return region, segments


def first_wrong_segment(region, beat):
    for number, start in enumerate(range(0, len(region), 4096)):
        part = region[start:start + 4096]
        if crc_32(part[:-beat]) != int.from_bytes(part[len(part) - beat:][:4], "little"):
            return number
    return None


def segments_vectors():
    draw = Draw(8)
    cases, damaged = [], []
    for bus_bits in (32, 64, 256, 512):
        beat = bus_bits // 8
        room = 4096 - beat
        for note, length, whole in [
                ("one byte", 1, True), ("one beat", beat, True), ("a beat and a byte", beat + 1, True),
                ("parameters of 16 channels", 144, True), ("short of a segment by a byte", room - 1, False),
                ("exactly one segment", room, bus_bits == 64), ("a byte more than a segment", room + 1, True),
                ("a segment and a beat", room + beat, False), ("exactly two segments", 2 * room, False),
                ("three segments", 2 * room + 1001, False)]:
            unit = bytes(draw.integer(0, 255) for _ in range(min(length, 67)))
            content = (unit * (length // len(unit) + 1))[:length]
            region, segments = segment_region(content, beat)
            assert len(region) % beat == 0 and first_wrong_segment(region, beat) is None
            assert sum(kept for kept, _ in segments) == length and len(segments) == -(-length // room)
            case = {"note": note, "bus_bits": bus_bits, "unit": unit.hex(), "length": length,
                    "beats": len(region) // beat, "segments": segments, "sha256": hashlib.sha256(region).hexdigest(),
                    "region": region.hex() if whole else None}
            cases.append(case)
            # One bit changed: of the content, or of a checksum.
            for segment in range(len(segments)):
                kept = segments[segment][0]
                checksum_at = 8 * (4096 * segment + kept + -kept % beat)
                for bit in (8 * 4096 * segment + draw.integer(0, 8 * kept - 1), checksum_at + draw.integer(0, 31)):
                    changed = bytearray(region)
                    changed[bit // 8] ^= 1 << bit % 8
                    assert first_wrong_segment(bytes(changed), beat) == segment
                    damaged.append({"case": len(cases) - 1, "bit": bit, "segment": segment})
    return {
        "what": "Masks or parameters in memory. cases: the content is the first `length` bytes of `unit` (hex) "
                "repeated; the region has `beats` beats, checksums included, and per segment [content bytes before "
                "padding, CRC-32 as a hex number]; `region` is all its bytes, null where only their SHA-256 is given. "
                "The zeros that pad the last segment to a beat are read as part of what its CRC-32 covers. damaged: "
                "with this bit of the region of cases[case] inverted, `segment`, counted from 0, is the one whose "
                "checksum is wrong.",
        "specification": "5. Program and memory image", "cases": cases, "damaged": damaged}
