"""IDX files: round trip, and one clear message for each thing that goes wrong."""

import gzip

import numpy as np
import pytest

from golden import bundled, datasets

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([1, 0], np.uint8)


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture(params=["plain", "gz"])
def folder(request, tmp_path):
    for stem in ("train", "t10k"):
        for kind, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
            path = tmp_path / f"{stem}-{kind}-ubyte"
            if request.param == "gz":
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                path.write_bytes(idx(array))
    return tmp_path


def file_of(folder, stem):
    return next(folder.glob(f"{stem}*"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_reads_a_folder(folder, split):
    loaded = datasets.load(folder, split)
    np.testing.assert_array_equal(loaded.images, IMAGES[:, None])
    assert loaded.labels.tolist() == [1, 0] and loaded.labels.dtype == np.int64


def test_missing_file(folder):
    path = file_of(folder, "t10k-labels")
    path.unlink()
    datasets.load(folder, "train")
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\[.gz\] is missing.*apt-get.*--data DIR"):
        datasets.load(folder, "test")


@pytest.mark.parametrize("stem", ["train-images", "train-labels"])
@pytest.mark.parametrize("keep", [0, 2, 6, -1])
def test_truncated_file(folder, stem, keep):
    path = file_of(folder, stem)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"{stem}.*(damaged|not an IDX file).*--data DIR") as error:
        datasets.load(folder)
    assert "\n" not in str(error.value)


def test_flipped_bit_in_a_gzip_file(tmp_path):
    data = bytearray(gzip.compress(idx(IMAGES)))
    data[len(data) // 2] ^= 1
    (tmp_path / "a.gz").write_bytes(data)
    with pytest.raises(ValueError, match="damaged|not an IDX file"):
        datasets.read_idx(tmp_path / "a.gz")


def test_images_and_labels_must_match(folder):
    for path in folder.glob("train-labels*"):
        path.unlink()
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:1]))
    with pytest.raises(ValueError, match=r"images \(2, 3, 4\) and labels \(1,\) do not match"):
        datasets.load(folder)


def test_other_errors(tmp_path):
    with pytest.raises(ValueError, match="split must be one of"):
        datasets.load(tmp_path, "validation")
    with pytest.raises(FileNotFoundError, match="is missing"):
        datasets.load(tmp_path / "nowhere")


def test_bundled_images():
    test = datasets.load(bundled.IMAGES, "test")
    assert test.images.shape == (256, 1, 28, 28)
    assert set(test.labels.tolist()) == set(range(10))
