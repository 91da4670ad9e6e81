"""Print blocks of the random stream: two hexadecimal words a line, word 0 first.

example: topcoat stream --seed 0 --stream 0 --block 0 --count 1 --rounds 13
"""

from golden import stream


def number(text: str) -> int:
    """A decimal or 0x number."""
    return int(text, 0)


def configure(parser):
    parser.add_argument("--seed", type=number, default=0, help="64-bit seed of the model (default: %(default)s)")
    parser.add_argument("--stream", type=number, default=0, help="32-bit stream id (default: %(default)s)")
    parser.add_argument("--block", type=number, default=0, help="first block (default: %(default)s)")
    parser.add_argument("--count", type=number, default=1, help="blocks to print (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=13, help="rounds of Threefry, 13 or 20 (default: %(default)s)")


def run(options) -> int:
    for low, high in stream.blocks(options.seed, options.stream, options.block, options.count, options.rounds):
        print(f"{low:08x} {high:08x}")
    return 0
