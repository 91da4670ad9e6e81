"""Accuracy of a model's integers on the whole test split of an IDX folder.

example: topcoat evaluate fashion-n3 --data /usr/share/datasets/fashion-mnist --json accuracy.json
"""

from pathlib import Path

from golden import bundled, datasets, packed
from golden.evaluate import accuracy
from topcoat.output import write_json


def configure(parser):
    parser.add_argument("model", metavar="M.coat", help="file, or a bundled model's name")
    parser.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, metavar="DIR",
                        help="IDX folder (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="F", help="write accuracy and images there")


def run(options) -> int:
    network = packed.load(bundled.find(options.model))
    test = datasets.load(options.data, "test")
    result = {"accuracy": accuracy(network, test, progress=True), "images": len(test.labels)}
    print(f"{options.model}: accuracy {result['accuracy']:.4f} on {result['images']} images (integer model)")
    write_json(options.json, result)
    return 0
