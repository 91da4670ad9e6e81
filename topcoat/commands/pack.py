"""Turn a finished training into a .coat file: exact masks, folded normalisation, 8-bit activations.

example: topcoat pack runs/coats3 -o coats3.coat
"""

from pathlib import Path

from golden import datasets
from golden.pack import pack_measured
from golden.codes import CHOICES


def configure(parser):
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="folder of the checkpoint")
    parser.add_argument("-o", "--output", dest="file", type=Path, required=True, metavar="M.coat", help="file to write")
    parser.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, metavar="DIR",
                        help="IDX folder whose training images calibrate the activations and whose test images give "
                        "the accuracy that is written into the file (default: %(default)s)")
    parser.add_argument("--code", choices=CHOICES, default="best",
                        help="code of the coat indices; best: the smallest of them, layer by layer "
                        "(default: %(default)s)")


def run(options) -> int:
    network = pack_measured(options.checkpoint, options.file, options.data, code=options.code, progress=True)
    print(f"{options.file}: {options.file.stat().st_size:,} bytes, accuracy "
          f"{network.provenance['integer_accuracy']:.4f} (integer model, {network.provenance['test_images']} images); "
          f"next: topcoat inspect {options.file}")
    return 0
