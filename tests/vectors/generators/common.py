"""Draws and helpers that several subjects use."""

import random
import zlib

LOW_32 = 0xFFFFFFFF


class Draw:
    """Deterministic draws: only random.random(), whose sequence Python promises to keep."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def integer(self, low, high):
        """An integer in low..high."""
        return min(high, low + int(self.random() * (high - low + 1)))

    def bits(self, count):
        """An unsigned integer of `count` bits."""
        value = 0
        for _ in range(count):
            value = value * 2 + self.integer(0, 1)
        return value

    def indices(self, count, coats, kept):
        """Coat indices: each further coat keeps a weight with probability `kept`."""
        result = []
        for _ in range(count):
            index = 0
            while index < coats and self.random() < kept:
                index += 1
            result.append(index)
        return result

    def stored(self, count, bits, kept):
        """Signed weights of magnitude below 2^(bits-1), zero with probability 1 - kept."""
        limit = 2 ** (bits - 1) - 1
        return [self.integer(-limit, limit) if self.random() < kept else 0 for _ in range(count)]


class Damaged(Exception):
    """The stream is not a valid one."""


def expect_damage(kind, function, *arguments):
    try:
        function(*arguments)
    except Damaged as error:
        assert str(error) == kind, (str(error), kind)
    else:
        raise AssertionError(f"{kind}: not found")


def to_bytes(bits):
    data = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        data[i // 8] |= bit << (i % 8)
    return bytes(data)


def to_word(bits):
    return sum(bit << i for i, bit in enumerate(bits))


def crc_32(data):
    """CRC-32 of IEEE 802.3, bit by bit; checked against zlib."""
    register = LOW_32
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    assert register ^ LOW_32 == zlib.crc32(data)
    return register ^ LOW_32
