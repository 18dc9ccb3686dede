"""Image tasks, read from small files in the formats data sets are published in."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from ticketsearch import DataSource, load_task
from ticketsearch.errors import CorruptRun, InvalidValue, MissingData, UnknownName
from ticketsearch.tasks.images import RECIPES, recipe_of

EACH = 12
"""Images of a class in the training folders."""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


# -- CIFAR ------------------------------------------------------------------------------------------------------------


def pickled(values: dict[str, Any]) -> bytes:
    return pickle.dumps(values, protocol=2)


def write_cifar(root: Path, kind: type[datasets.CIFAR10], monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The archive as published, with 26 training images a batch; its digests take the place of the real ones."""
    fine = "fine_labels" if kind is datasets.CIFAR100 else "labels"
    classes = 100 if kind is datasets.CIFAR100 else 10
    pixels, labels, files = [], [], {}
    for index, (name, _) in enumerate(kind.train_list + kind.test_list):
        count = 130 // len(kind.train_list)
        data = rng(index).integers(256, size=(count, 3072), dtype=np.uint8)
        own = [int(label) for label in rng(index).integers(classes, size=count)]
        own[0] = classes - 1
        files[name] = pickled({"data": data, fine: own, "batch_label": name})
        pixels.append(data)
        labels.append(own)
    names = [f"class {label}" for label in range(classes)]
    files[kind.meta["filename"]] = pickled({kind.meta["key"]: names})
    archive = root / kind.filename
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in files.items():
            (root / "part").write_bytes(content)
            tar.add(root / "part", f"{kind.base_folder}/{name}")
    (root / "part").unlink()

    def digest(name: str) -> str:
        return hashlib.md5(files[name]).hexdigest()

    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(kind, "train_list", [[name, digest(name)] for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [[name, digest(name)] for name, _ in kind.test_list])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": digest(kind.meta["filename"])})
    return {"pixels": np.concatenate(pixels[:-1]), "test": pixels[-1], "test_labels": np.array(labels[-1])}


@pytest.mark.parametrize(
    ("name", "kind", "network"),
    [
        ("cifar10-conv2", datasets.CIFAR10, "conv-2"),
        ("cifar10-resnet20", datasets.CIFAR10, "resnet-20"),
        ("cifar100-resnet20", datasets.CIFAR100, "resnet-20"),
    ],
)
def test_cifar_is_read_from_the_published_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: type[datasets.CIFAR10], network: str
) -> None:
    written = write_cifar(tmp_path, kind, monkeypatch)
    with pytest.raises(MissingData, match=rf"no readable {kind.__name__} in .*{kind.base_folder}.*--download"):
        load_task(name, DataSource(tmp_path))
    options = {"epochs": 3, "examples": 64} if network == "conv-2" else {"epochs": 3}
    if network == "resnet-20":
        with pytest.raises(InvalidValue, match="batch_size 128 exceeds the 117 training examples"):
            load_task(name, DataSource(tmp_path, download=True), options)
        monkeypatch.setitem(RECIPES, network, (recipe_of(network, 1000, batch_size=39).lasting(10), 182))
    task = load_task(name, DataSource(tmp_path, download=True), options)  # unpacks the archive that is there
    again = load_task(name, DataSource(tmp_path), options)
    assert task.fingerprint == again.fingerprint
    sizes = [len(split.labels) for split in (task.train, task.validation, task.test)]
    assert sizes == [64 if "examples" in options else 117, 13, 130 // len(kind.train_list)]
    assert task.recipe.steps == 3 * (sizes[0] // task.recipe.batch_size)
    mean, deviation = (np.array(values).reshape(3, 1, 1) for values in _scale(kind))
    expected = (written["test"].reshape(-1, 3, 32, 32) / 255 - mean) / deviation
    np.testing.assert_allclose(task.test.inputs.numpy(), expected, atol=1e-5)
    assert task.test.labels.tolist() == written["test_labels"].tolist()
    known = {row.tobytes() for row in written["pixels"].reshape(-1, 3, 32, 32)}
    for split in (task.train, task.validation):
        pixels = np.rint((split.inputs.numpy() * deviation + mean) * 255).astype(np.uint8)
        assert {row.tobytes() for row in pixels} <= known
        known -= {row.tobytes() for row in pixels}
    assert task.build(0)(task.test.inputs[:2]).shape == (2, 100 if kind is datasets.CIFAR100 else 10)
    assert (task.augment is not None) == (network == "resnet-20")


def _scale(kind: type[datasets.CIFAR10]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if kind is datasets.CIFAR100:
        return (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    return (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


# -- Fashion-MNIST ----------------------------------------------------------------------------------------------------


def test_fashion_conv2_is_read_from_idx_files(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 300), ("t10k", 40)):
        images = rng().integers(256, size=(count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(b""))
    task = load_task("fashion-conv2", DataSource(tmp_path), {"epochs": 2, "augment": "crop-flip"})
    assert (len(task.train.labels), len(task.validation.labels), len(task.test.labels)) == (270, 30, 40)
    assert (task.recipe.steps, task.recipe.optimizer, task.recipe.learning_rate) == (8, "adam", 2e-4)
    np.testing.assert_allclose(task.test.inputs.numpy()[:, 0], (images / 255 - 0.2860) / 0.3530, atol=1e-5)
    assert task.augment is not None
    assert task.build(0)(task.test.inputs[:3]).shape == (3, 10)


# -- folders ----------------------------------------------------------------------------------------------------------


def write_images(folder: Path, count: int, seed: int, size: tuple[int, int] = (12, 12)) -> None:
    """Two classes of PNG, JPEG and grey images: reddish ants, bluish bees."""
    for channel, name in ((0, "ants"), (2, "bees")):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng(seed + index).integers(120, size=(size[1], size[0], 3), dtype=np.uint8)
            pixels[:, :, channel] += 100
            image = Image.fromarray(pixels)
            if index == 1:
                image = image.convert("L")
            image.save(folder / name / f"{index:03}.{'jpg' if index % 3 == 2 else 'png'}")


OPTIONS = {"root": "zoo", "network": "conv-2", "size": 12, "epochs": 2, "batch_size": 6}


@pytest.fixture
def source(tmp_path: Path) -> DataSource:
    write_images(tmp_path / "zoo" / "train", EACH, 0)
    write_images(tmp_path / "zoo" / "test", 4, 100)
    return DataSource(tmp_path, cache=tmp_path / "cache")


def test_a_folder_of_images_is_a_task(source: DataSource) -> None:
    task = load_task("image-folder", source, OPTIONS)
    sizes = [len(split.labels) for split in (task.train, task.validation, task.test)]
    assert sizes == [22, 2, 8]
    assert (task.recipe.steps, task.fidelity) == (6, 6)
    pixels = torch.cat([task.train.inputs])
    np.testing.assert_allclose(pixels.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(pixels.std((0, 2, 3), unbiased=False), 1, atol=1e-4)
    raw = load_task("image-folder", source, OPTIONS | {"normalise": "none"})
    first = np.asarray(Image.open(source.data_folder / "zoo" / "test" / "ants" / "000.png")).transpose(2, 0, 1)
    np.testing.assert_allclose(raw.test.inputs[0].numpy() * 255, first, atol=1e-3)
    assert raw.test.labels.tolist() == [0] * 4 + [1] * 4
    grey = raw.test.inputs[1]
    assert torch.equal(grey[0], grey[1])  # three channels all the same
    scaled = load_task("image-folder", source, OPTIONS | {"normalise": "imagenet"}).test.inputs[0, 1] * 0.224 + 0.456
    np.testing.assert_allclose(scaled.numpy() * 255, first[1], atol=1e-3)
    fewer = load_task("image-folder", source, OPTIONS | {"examples": 10, "augment": "none"})
    assert (len(fewer.train.labels), fewer.augment) == (10, None)
    assert 0 < int(fewer.train.labels.sum()) < 10  # of both classes


def test_images_are_decoded_once_and_again_when_one_changes(
    source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_task("image-folder", source, OPTIONS)
    [cached] = source.cache_folder.rglob("*.safetensors")

    def refuse(path: Path) -> None:
        raise AssertionError(f"decoded {path}")

    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.open", refuse)
        assert load_task("image-folder", source, OPTIONS).fingerprint == first.fingerprint
        with pytest.raises(InvalidValue, match="decoded"):
            load_task("image-folder", source, OPTIONS | {"size": 10})
    ants = source.data_folder / "zoo" / "train" / "ants"
    (ants / "new.png").write_bytes((ants / "000.png").read_bytes())
    changed = load_task("image-folder", source, OPTIONS)
    assert changed.fingerprint != first.fingerprint
    assert len(list(source.cache_folder.rglob("*.safetensors"))) == 2
    for path in source.cache_folder.rglob("*.safetensors"):
        path.write_bytes(cached.read_bytes()[:100])
    with pytest.raises(CorruptRun, match="delete it, it is made again"):
        load_task("image-folder", source, OPTIONS)


def test_images_of_other_shapes_are_scaled_and_their_middle_is_cut_out(tmp_path: Path) -> None:
    (tmp_path / "wide" / "one").mkdir(parents=True)
    (tmp_path / "wide" / "two").mkdir()
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, 20:40] = 200  # the middle third
    for index in range(10):
        for name in ("one", "two"):
            Image.fromarray(pixels + index).save(tmp_path / "wide" / name / f"{index}.png")
    source = DataSource(tmp_path, cache=tmp_path / "cache")
    task = load_task(
        "image-folder", source, OPTIONS | {"root": str(tmp_path / "wide"), "size": 10, "normalise": "none"}
    )
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [16, 2, 2]
    assert task.train.inputs.shape[1:] == (3, 10, 10)
    assert float(task.train.inputs[:, :, :, 1:-1].min()) >= 200 / 255 - 0.02


def test_validation_folders_are_used_as_what_they_say(source: DataSource) -> None:
    write_images(source.data_folder / "zoo" / "val", 3, 200)
    task = load_task("image-folder", source, OPTIONS)
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [24, 6, 8]
    (source.data_folder / "zoo" / "test").rename(source.data_folder / "away")
    task = load_task("image-folder", source, OPTIONS)  # the only folder beside train is the test split
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [22, 2, 6]


def test_folders_that_cannot_be_read_are_named(source: DataSource) -> None:
    zoo = source.data_folder / "zoo"
    for change, error, words in (
        ({"root": "nowhere"}, MissingData, "no folders of images in .*nowhere.*--task-set root=DIR"),
        ({"root": "zoo/train/ants"}, MissingData, "no folders of images"),
        ({"network": "resnet-21"}, UnknownName, "did you mean 'resnet-20'"),
        ({"network": "vgg-11-bn"}, InvalidValue, "at least 32 pixels"),
        ({"examples": 23}, InvalidValue, "examples = 23 is not between 1 and 22"),
        ({"size": 0}, InvalidValue, "size = 0"),
        ({"epochs": 0.01}, InvalidValue, "less than one step"),
    ):
        with pytest.raises(error, match=words):
            load_task("image-folder", source, OPTIONS | change).build(0)
    (zoo / "test" / "bees").rename(zoo / "test" / "wasps")
    with pytest.raises(InvalidValue, match=r"the test folder has other classes .*\['bees', 'wasps'\]"):
        load_task("image-folder", source, OPTIONS)
    (zoo / "test" / "wasps").rename(zoo / "test" / "bees")
    (zoo / "train").rename(zoo / "away")
    (zoo / "train").symlink_to(zoo / "nowhere")
    with pytest.raises(MissingData, match=r"no folders of images in \S*train \(a link to nothing\)"):
        load_task("image-folder", source, OPTIONS)


def test_names_that_begin_with_a_dot_are_no_classes_and_no_images(
    source: DataSource, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = source.data_folder / "zoo"
    plain = load_task("image-folder", source, OPTIONS)
    assert "dot" not in capsys.readouterr().err
    (zoo / "train" / ".DS_Store").write_bytes(b"")
    for name in (".ipynb_checkpoints", "ants/.cache", "bees/.thumbnails"):
        (zoo / "train" / name).mkdir()
        (zoo / "train" / name / "a.png").write_bytes((zoo / "train" / "ants" / "000.png").read_bytes())
    (zoo / "test" / "bees" / "._000.png").write_bytes(b"not an image")
    assert load_task("image-folder", source, OPTIONS).fingerprint == plain.fingerprint
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"ticketsearch: left out of {zoo}: 5 files and folders whose names begin with a dot"


def test_all_that_cannot_be_read_is_told_at_once(source: DataSource) -> None:
    zoo = source.data_folder / "zoo"
    (zoo / "test" / "bees" / "broken.png").write_bytes(b"not an image")
    with pytest.raises(InvalidValue, match=r"1 image cannot be read: '\S+broken\.png' \(cannot identify image file"):
        load_task("image-folder", source, OPTIONS)
    (zoo / "train" / "ants" / "gone.png").symlink_to(zoo / "nowhere.png")
    os.mkfifo(zoo / "train" / "ants" / "pipe.png")
    whole = (zoo / "train" / "bees" / "000.png").read_bytes()
    (zoo / "train" / "bees" / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidValue) as told:
        load_task("image-folder", source, OPTIONS)
    assert "4 images cannot be read" in str(told.value)
    for words in ("gone.png' (a link to nothing)", "pipe.png' (not a regular file)", "half.png' (", "broken.png' ("):
        assert words in str(told.value)
    for index in range(20):
        (zoo / "test" / "ants" / f"bad{index}.png").write_bytes(b"")
    (zoo / "train" / "wasps").symlink_to(zoo / "nowhere")
    with pytest.raises(InvalidValue, match=r"25 images cannot be read: .* and 15 more; mend or remove them") as told:
        load_task("image-folder", source, OPTIONS)
    assert str(told.value).count(".png' (") == 9  # and the folder
    assert "wasps' (a link to nothing)" in str(told.value)


def test_classes_without_images_are_named(source: DataSource) -> None:
    train = source.data_folder / "zoo" / "train"
    for name in ("wasps", "gnats"):
        (train / name / "deeper").mkdir(parents=True)
        (train / name / "deeper" / "notes.txt").write_text("none yet")
    with pytest.raises(InvalidValue, match=r"train: no images in the folders of 'gnats', 'wasps'; add some, .*\.png"):
        load_task("image-folder", source, OPTIONS)


def test_every_class_is_in_every_split(tmp_path: Path) -> None:
    zoo, sizes = tmp_path / "zoo", {"ants": 3, "bees": 25, "wasps": 4}
    for label, (name, count) in enumerate(sizes.items()):
        (zoo / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng(100 * label + index).integers(256, size=(12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(zoo / name / f"{index}.png")
    source = DataSource(tmp_path, cache=tmp_path / "cache")
    task = load_task("image-folder", source, OPTIONS)
    counts = [torch.bincount(split.labels).tolist() for split in (task.train, task.validation, task.test)]
    assert counts == [[1, 21, 2], [1, 2, 1], [1, 2, 1]]  # a tenth of 25, then of 23
    images = {image.numpy().tobytes() for split in (task.train, task.validation, task.test) for image in split.inputs}
    assert len(images) == sum(sizes.values())  # each in one split
    for index in (1, 2):
        (zoo / "ants" / f"{index}.png").unlink()
        words = rf"too few images of 'ants' \({3 - index}\): a class needs 3, one each for train, test and validation"
        with pytest.raises(InvalidValue, match=words):
            load_task("image-folder", source, OPTIONS)


def test_a_class_of_one_image_is_fine_where_folders_give_the_splits(source: DataSource) -> None:
    zoo = source.data_folder / "zoo"
    write_images(zoo / "val", 1, 200)
    for path in [*(zoo / "train" / "ants").iterdir()][1:]:
        path.unlink()
    task = load_task("image-folder", source, OPTIONS)
    assert [torch.bincount(split.labels).tolist() for split in (task.train, task.validation)] == [[1, EACH], [1, 1]]


def saved(values: np.ndarray, kind: str, path: Path) -> None:
    """A deep grey image in one of the forms that they come in."""
    if kind == "pgm":
        high = 65535
        path.write_bytes(b"P5 %d %d %d\n" % (*values.shape[::-1], high) + values.astype(">u2").tobytes())
    elif kind == "tiff32":
        Image.fromarray(values.astype(np.int32)).save(path, "TIFF")
    elif kind == "float":
        Image.fromarray(values.astype(np.float32) / np.float32(65535)).save(path, "TIFF")
    else:
        Image.fromarray(values.astype(np.uint16)).save(path, kind.upper())


@pytest.mark.parametrize(
    ("kind", "highest"),
    [("png", 2**16 - 1), ("tiff", 2**16 - 1), ("pgm", 2**16 - 1), ("tiff32", 2**31 - 1), ("float", 2**16 - 1)],
)
def test_grey_images_of_more_than_8_bits_are_scaled_by_their_depth(source: DataSource, kind: str, highest: int) -> None:
    bees = source.data_folder / "zoo" / "test" / "bees"
    top = min(highest, 2**31 - 1)
    values = rng(5).integers(top, size=(12, 12), endpoint=True)
    values[0, :2] = 0, top
    saved(values, kind, bees / f"deep.{'pgm' if kind == 'pgm' else 'png' if kind == 'png' else 'tif'}")
    task = load_task("image-folder", source, OPTIONS | {"normalise": "none"})
    found = task.test.inputs[8].numpy()  # after four ants and four bees
    np.testing.assert_allclose(found, np.broadcast_to(values / highest, (3, 12, 12)), atol=1e-5)
    first = np.asarray(Image.open(source.data_folder / "zoo" / "test" / "ants" / "000.png")).transpose(2, 0, 1)
    np.testing.assert_allclose(task.test.inputs[0].numpy(), first / 255, atol=1e-6)  # others as they were
    whole = load_task("image-folder", source, OPTIONS)
    np.testing.assert_allclose(whole.train.inputs.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(whole.train.inputs.std((0, 2, 3), unbiased=False), 1, atol=1e-4)


def test_deep_images_are_resized_as_others_are_and_refused_outside_of_their_depth(source: DataSource) -> None:
    bees = source.data_folder / "zoo" / "test" / "bees"
    pixels = rng(5).integers(256, size=(30, 20), dtype=np.uint8)
    Image.fromarray(pixels).save(bees / "x8.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(bees / "x16.png")
    task = load_task("image-folder", source, OPTIONS | {"normalise": "none"})
    np.testing.assert_allclose(
        task.test.inputs[8].numpy(), task.test.inputs[9].numpy(), atol=1.01 / 255
    )  # bytes are rounded twice
    Image.fromarray(pixels.astype(np.float32)).save(bees / "y.tif")
    with pytest.raises(InvalidValue, match=r"y\.tif' \(its values go from 0 to 255; they must lie between 0 and 1\)"):
        load_task("image-folder", source, OPTIONS)


@pytest.mark.parametrize(
    ("network", "steps"), [("conv-2", 20_000), ("conv-4", 25_000), ("conv-6", 30_000), ("resnet-20", 64_000)]
)
def test_recipes_have_the_published_steps_to_the_next_epoch(network: str, steps: int) -> None:
    recipe = recipe_of(network, 45_000)
    assert abs(recipe.steps - steps) <= 45_000 // recipe.batch_size / 2
    if network == "resnet-20":
        rates = [recipe.learning_rate_at(step) for step in (0, 31_000, 33_000, 49_000)]
        assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001])
