"""The models and images that come with the package."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "bundle"

IMAGES = FOLDER / "fashion-mnist"
"""IDX folder: the first 256 images of the Fashion-MNIST test split."""


def models() -> dict[str, Path]:
    """Path of every bundled model by its short name, fewest coats first."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.coat"))}


def find(model: str) -> Path:
    """Path of a bundled model's short name, or of a file. Raises FileNotFoundError if it is neither."""
    bundled = models()
    if model in bundled:
        return bundled[model]
    if not Path(model).is_file():
        raise FileNotFoundError(f"model {model!r} is neither a file nor bundled ({', '.join(bundled)})")
    return Path(model)
