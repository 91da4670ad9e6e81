"""Turn a finished training into a .coat file: exact masks, folded normalisation, 8-bit activations.

example: topcoat pack runs/coats3 -o coats3.coat
"""

import dataclasses
from pathlib import Path

from golden import datasets, packed
from golden.evaluate import accuracy
from golden.pack import pack


def configure(parser):
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="folder of the checkpoint")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="M.coat", help="file to write")
    parser.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, metavar="DIR",
                        help="IDX folder whose training images calibrate the activations and whose test images give the accuracy that is "
                        "written into the file (default: %(default)s)")


def run(options) -> int:
    calibration = datasets.load(options.data, "train").images
    test = datasets.load(options.data, "test")
    network = pack(options.checkpoint, calibration)
    measured = {"integer_accuracy": accuracy(network, test, progress=True), "test_images": len(test.labels)}
    packed.save(dataclasses.replace(network, provenance={**network.provenance, **measured}), options.output)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, accuracy {measured['integer_accuracy']:.4f} "
          f"(integer model, {len(test.labels)} images); next: topcoat inspect {options.output}")
    return 0
