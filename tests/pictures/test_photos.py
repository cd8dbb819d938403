"""datasets：内置照片与出处一一对应、数字一个像素也没有改、文件夹与下载的报错说人话。"""

import csv
import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnnlab.core.checks import is_chinese
from cnnlab.core.images import load_image, save_image
from cnnlab.pictures import data_sets
from cnnlab.pictures import photos as datasets
from cnnlab.pictures.photos import PhotoFolder, image_folder


@pytest.fixture(scope="module")
def small_photos():
    return datasets.photos(size=32)


def test_every_photo_has_exactly_one_attribution_row():
    folder = datasets.PHOTO_FOLDER
    with open(folder / "ATTRIBUTION.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    listed = [row["file"] for row in rows]
    on_disk = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    assert len(listed) == 215
    assert sorted(listed) == on_disk
    assert all(row["author"] and row["source"].startswith("http") for row in rows)
    assert all(row["licence"].startswith(("CC0", "Public Domain")) for row in rows)


def test_photos_are_sorted_complete_and_in_range(small_photos):
    assert small_photos.images.shape == (215, 3, 32, 32)
    assert small_photos.images.dtype == torch.float32
    assert small_photos.images.min() >= 0 and small_photos.images.max() <= 1
    assert len(small_photos) == len(set(small_photos.names)) == 215
    keys = list(zip(small_photos.categories, small_photos.names, strict=True))
    assert keys == sorted(keys)
    assert all(len(row.split("，")) >= 3 and "http" in row for row in small_photos.attribution)


def test_category_counts():
    expected = {
        "animals": 29,
        "energy": 28,
        "fish": 28,
        "monuments": 69,
        "music": 6,
        "objects": 17,
        "tools": 38,
    }
    assert datasets.photo_categories() == expected


def test_one_category_is_a_part_of_all(small_photos):
    fish = datasets.photos("fish", size=32)
    assert len(fish) == 28 and set(fish.categories) == {"fish"}
    whole = small_photos.images[[c == "fish" for c in small_photos.categories]]
    assert torch.equal(fish.images, whole)


def test_photo_agrees_with_photos_and_load_image(small_photos):
    panda = datasets.photo("panda", 32)
    assert panda.shape == (1, 3, 32, 32)
    assert torch.equal(panda, load_image("panda", 32))
    assert (small_photos["panda"] - panda).abs().max() <= 0.5 / 255 + 1e-6


def test_cached_photos_are_not_shared_with_the_caller():
    first = datasets.photos("music", size=32)
    first.images.zero_()
    assert datasets.photos("music", size=32).images.mean() > 0.1


def test_image_set_indexing(small_photos):
    index = small_photos.index("koala")
    assert small_photos.names[index] == "koala"
    assert torch.equal(small_photos["koala"], small_photos.images[index : index + 1])
    part = small_photos[[index, 0]]
    assert part.names == ("koala", small_photos.names[0]) and part.images.shape[0] == 2
    assert small_photos[3:6].names == small_photos.names[3:6]
    with pytest.raises(IndexError, match="215"):
        small_photos[215]
    with pytest.raises(ValueError, match="koala"):
        small_photos.index("kaola")


def test_image_set_takes_masks_names_and_single_numbers(small_photos):
    mask = torch.zeros(len(small_photos), dtype=torch.bool)
    mask[[2, 5]] = True
    for key in (mask, mask.numpy(), mask.tolist(), [2, 5], list(small_photos[[2, 5]].names)):
        assert small_photos[key].names == (small_photos.names[2], small_photos.names[5])
    assert torch.equal(small_photos[torch.tensor(2)], small_photos[2])
    for wrong in (1.5, None, [1.5], mask[:3], [0, 999], ["斑马"]):
        with pytest.raises((ValueError, TypeError, IndexError)) as caught:
            small_photos[wrong]
        assert is_chinese(caught.value)


def test_image_set_is_frozen(small_photos):
    with pytest.raises(AttributeError):
        small_photos.names = ()


@pytest.mark.parametrize("name", ["chelsea", "coffee", "astronaut", "rocket", "china", "flower"])
def test_photos_of_other_packages_are_coloured(name):
    image = datasets.photo(name, 64)
    assert image.shape == (1, 3, 64, 64)
    assert (image[:, 0] - image[:, 2]).abs().mean() > 0.05


@pytest.mark.parametrize("name", ["brick", "grass", "gravel"])
def test_grey_textures_have_three_equal_channels(name):
    image = datasets.photo(name, 64)
    assert torch.equal(image[:, 0], image[:, 2]) and image.std() > 0.05


def test_unknown_names_list_the_nearest():
    with pytest.raises(ValueError, match=r"没有名为 'pnda' 的照片；可用的有：panda"):
        datasets.photo("pnda")
    with pytest.raises(ValueError, match=r"照片类别；可用的有：animals"):
        datasets.photos("animal")
    with pytest.raises(TypeError, match="size 是 None"):
        datasets.photos(size=None)


def test_digits_are_the_unchanged_pixels_of_their_source():
    """哈希取自来源的 CSV：5000 行像素各接上标签，排序之后的 sha256。"""
    images, labels = datasets.digits()
    assert images.shape == (5000, 1, 28, 28) and labels.dtype == torch.int64
    pixels = images.mul(255).round().byte().flatten(1)
    rows = torch.cat((pixels, labels[:, None].byte()), 1)
    digest = hashlib.sha256(b"".join(sorted(row.numpy().tobytes() for row in rows)))
    assert digest.hexdigest() == "f1864be470111ed639726bc0dbc2416fcd002c793718733e7ae49adceba327ac"


def test_digits_are_balanced_from_the_start_and_repeatable():
    images, labels = datasets.digits(100)
    assert torch.equal(labels.bincount(), torch.full((10,), 10))
    assert not torch.equal(labels[:10], labels[10:20])
    state = torch.get_rng_state()
    again, _ = datasets.digits(100)
    assert torch.equal(images, again) and torch.equal(state, torch.get_rng_state())
    assert images.min() == 0 and 0.99 < images.max() <= 1


@pytest.mark.parametrize("n", [0, 5001, 2.5])
def test_digits_refuses_a_wrong_number(n):
    with pytest.raises((ValueError, TypeError), match=r"n 是|5000"):
        datasets.digits(n)


def _save(path: Path, colour, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_image_folder_skips_and_names_broken_files(tmp_path):
    _save(tmp_path / "red" / "a.png", (255, 0, 0))
    _save(tmp_path / "blue" / "b.jpg", (0, 0, 255))
    (tmp_path / "red" / "text.jpg").write_text("不是图", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("不算", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"跳过 1 个打不开的文件：red.text\.jpg"):
        found = datasets.image_folder(tmp_path, size=16)
    assert found.names == ("b", "a") and found.categories == ("blue", "red")
    assert torch.allclose(
        found["a"], torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1).expand(1, 3, 16, 16)
    )


def test_image_folder_takes_evenly_spread_files(tmp_path):
    for number in range(10):
        _save(tmp_path / f"{number}.png", (number, 0, 0))
    assert datasets.image_folder(tmp_path, size=8, n=5).names == ("0", "2", "4", "6", "8")


def test_image_folder_without_a_size_keeps_the_pixels_and_wants_equal_sides(tmp_path):
    for name, side in (("a", 40), ("b", 40)):
        _save(tmp_path / f"{name}.png", (9, 8, 7), (side, 30))
    assert datasets.image_folder(tmp_path, size=None).images.shape == (2, 3, 30, 40)
    _save(tmp_path / "c.png", (9, 8, 7), (20, 30))
    with pytest.raises(ValueError, match="要同样大小，给出 size"):
        datasets.image_folder(tmp_path, size=None)


def test_image_folder_errors(tmp_path):
    with pytest.raises(ValueError, match="没有文件夹"):
        datasets.image_folder(tmp_path / "missing")
    with pytest.raises(ValueError, match="没有能读的照片"):
        datasets.image_folder(tmp_path)


def _archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def serve():
    """在 127.0.0.1 上提供几个文件：给出 {路径: 内容} 得到网址前缀。"""
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path.lstrip("/"))
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def start(content: dict[str, bytes]) -> str:
        files.update(content)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    server.shutdown()


def _imagenette_archive() -> bytes:
    files = {}
    for wnid, colour in (("n01440764", (9, 99, 9)), ("n03888257", (9, 9, 199))):
        for number in range(3):
            buffer = io.BytesIO()
            Image.new("RGB", (40, 30), colour).save(buffer, "JPEG")
            files[f"imagenette2-160/val/{wnid}/{number}.JPEG"] = buffer.getvalue()
            files[f"imagenette2-160/val/{wnid}/{number}_copy.jpeg"] = buffer.getvalue()
    return _archive(files)


def test_imagenette_from_a_local_server(tmp_path, serve, monkeypatch):
    from torchvision.datasets import Imagenette

    content = _imagenette_archive()
    url = serve({"imagenette2-160.tgz": content}) + "/imagenette2-160.tgz"
    monkeypatch.setitem(Imagenette._ARCHIVES, "160px", (url, hashlib.md5(content).hexdigest()))
    found = data_sets.imagenette(tmp_path, size=16, n=4)
    assert found.images.shape == (4, 3, 16, 16)
    assert set(found.categories) == {"tench", "parachute"}


def test_a_half_extracted_folder_is_made_whole_and_the_users_archive_stays(
    tmp_path, serve, monkeypatch
):
    from torchvision.datasets import Imagenette

    content = _imagenette_archive()
    monkeypatch.setitem(
        Imagenette._ARCHIVES, "160px", ("http://127.0.0.1:9/imagenette2-160.tgz", hashlib.md5(content).hexdigest())
    )  # fmt: skip
    archive = tmp_path / "imagenette2-160.tgz"
    archive.write_bytes(content)
    half = tmp_path / "imagenette2-160" / "val" / "n01440764"
    half.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(half / "0.JPEG")
    assert len(data_sets.imagenette(tmp_path, size=16, n=None).images) == 12
    # 磁盘满、被打断：压缩包还在，没有留下半个文件夹
    shutil.rmtree(tmp_path / "imagenette2-160")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("torchvision.datasets.utils.extract_archive", full)
        with pytest.raises(RuntimeError, match="No space left"):
            data_sets.imagenette(tmp_path, size=16)
    assert archive.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["imagenette2-160.tgz"]
    assert len(data_sets.imagenette(tmp_path, size=16, n=None).images) == 12


def test_imagenette_broken_archive_is_removed_and_reported(tmp_path, serve, monkeypatch):
    from torchvision.datasets import Imagenette

    content = _imagenette_archive()
    url = serve({"imagenette2-160.tgz": content[: len(content) // 2]}) + "/imagenette2-160.tgz"
    monkeypatch.setitem(Imagenette._ARCHIVES, "160px", (url, hashlib.md5(content).hexdigest()))
    with pytest.raises(
        RuntimeError, match=r"(?s)拿不到 imagenette2-160\.tgz（约 95 MB）.*网址：http.*放到 "
    ):
        data_sets.imagenette(tmp_path)
    assert not (tmp_path / "imagenette2-160.tgz").exists()


def test_missing_network_names_file_url_size_and_place(tmp_path, monkeypatch):
    from torchvision.datasets import STL10

    monkeypatch.setattr(STL10, "url", "http://127.0.0.1:9/stl10_binary.tar.gz")
    with pytest.raises(RuntimeError) as caught:
        data_sets.stl10(tmp_path)
    for part in ("stl10_binary.tar.gz", "http://127.0.0.1:9/", "2640 MB", str(tmp_path)):
        assert part in str(caught.value)


def test_stl10_from_a_local_server(tmp_path, serve, monkeypatch):
    from torchvision.datasets import STL10

    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 96, 96), dtype=np.uint8)
    files = {
        "test_X.bin": pixels.transpose(0, 1, 3, 2).tobytes(),
        "test_y.bin": bytes([1, 2, 3, 1, 2, 3]),
        "train_X.bin": pixels[:1].tobytes(),
        "train_y.bin": b"\x01",
        "unlabeled_X.bin": pixels[:1].tobytes(),
        "class_names.txt": b"airplane\nbird\ncar\n",
        "fold_indices.txt": b"0\n",
    }
    content = _archive({f"stl10_binary/{name}": data for name, data in files.items()})

    def listed(*names):
        return [[name, hashlib.md5(files[name]).hexdigest()] for name in names]

    monkeypatch.setattr(
        STL10, "url", serve({"stl10_binary.tar.gz": content}) + "/stl10_binary.tar.gz"
    )
    monkeypatch.setattr(STL10, "tgz_md5", hashlib.md5(content).hexdigest())
    monkeypatch.setattr(
        STL10, "train_list", listed("train_X.bin", "train_y.bin", "unlabeled_X.bin")
    )
    monkeypatch.setattr(STL10, "test_list", listed("test_X.bin", "test_y.bin"))
    found = data_sets.stl10(tmp_path, n=3)
    assert found.categories == ("airplane", "car", "bird")
    assert torch.equal((found.images * 255).round().byte(), torch.from_numpy(pixels[[0, 2, 4]]))


MEASURED = """
import resource, sys
import torch, cnnlab
from torch import nn
network = nn.Sequential(nn.Conv2d(3, 4, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
folder = cnnlab.PhotoFolder(sys.argv[1], size=224)
cnnlab.max_activating_patches(network, [folder[0]] * 8, "1", k=2)
start = peak()
found = cnnlab.max_activating_patches(network, folder, "1", k=2)
vectors = cnnlab.extract_features(network, folder, "1")
print(len(folder), len(vectors), peak() - start)
"""


def test_a_folder_is_searched_without_being_held_in_memory(tmp_path):
    """200 张 224 见方的浮点图是 120 MB；逐批读，峰值只多几批。"""
    Image.effect_noise((400, 300), 60).convert("RGB").save(tmp_path / "000.jpg")
    for number in range(1, 200):
        os.link(tmp_path / "000.jpg", tmp_path / f"{number:03}.jpg")
    command = [sys.executable, "-W", "ignore", "-c", MEASURED, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    count, vectors, grown = run.stdout.split()
    assert count == vectors == "200" and float(grown) < 40, run.stdout


def test_a_broken_photo_of_a_folder_is_named_with_the_way_round(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"junk")
    folder = datasets.PhotoFolder(tmp_path, size=16)
    with pytest.raises(ValueError, match=r"b\.jpg.*leave_out=\["):
        folder[1]
    assert len(datasets.PhotoFolder(tmp_path, size=16, leave_out=[tmp_path / "b.jpg"])) == 1
    assert len(datasets.PhotoFolder(tmp_path, size=16, leave_out=str(tmp_path / "b.jpg"))) == 1


def test_a_loop_of_links_does_not_end_the_folder(tmp_path):
    save_image(torch.rand(1, 3, 16, 16), tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.warns(UserWarning, match=r"loop\.png"):
        assert image_folder(tmp_path, size=8).names == ("a",)


def test_places_of_a_folder_and_masks_of_a_set(tmp_path):
    save_image(torch.rand(1, 3, 16, 16), tmp_path / "a.png")
    folder = PhotoFolder(tmp_path, 8)
    assert [image.shape for image in folder] == [(3, 8, 8)]
    for index, error, words in (
        (3, IndexError, "有 1 张"),
        ("a", TypeError, "整数"),
        (1.5, TypeError, "整数"),
    ):
        for call in (folder.__getitem__, folder.read):
            with pytest.raises(error, match=words):
                call(index)
    images = datasets.photos(size=8)
    with pytest.raises(ValueError, match="掩码有 2 个真假，这组图有 215 张"):
        images[[True, False]]
    with pytest.raises(ValueError, match="key 是 slice"):
        images["a":"b"]


def test_too_large_for_all_photos_at_once():
    with pytest.raises(ValueError, match=r"最大 1024 见方.*photo\(名字, size\)"):
        datasets.photos(size=2000)


@pytest.mark.parametrize("fetch", [data_sets.imagenette, data_sets.stl10])
def test_a_split_that_does_not_exist_is_refused_before_the_download(fetch, tmp_path):
    with pytest.raises(ValueError, match="split 是 'tset'；可用"):
        fetch(tmp_path, split="tset")
