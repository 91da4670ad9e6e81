"""List the bundled models, one a line, name first. The name works wherever a model's path does.

example: topcoat models
"""

from golden import bundled, packed


def configure(parser):
    pass


def run(options) -> int:
    for name, path in bundled.models().items():
        network = packed.load(path)
        weights = sum(layer.layer.weights for layer in network.layers)
        coats = max(len(layer.table) - 1 for layer in network.layers)
        print(f"{name:<12} {coats} coat{'s' * (coats > 1)}, {weights:,} weights, {path.stat().st_size:,} bytes, "
              f"{network.topology.name}")
    return 0
