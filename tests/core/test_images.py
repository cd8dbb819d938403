"""图像的读、写、缩放与核对。"""

import io
import json
import os
import resource
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
from PIL import Image

from cnnlab.core.checks import check_images
from cnnlab.core.images import load_image, resize, save_animation, save_image, to_pil
from cnnlab.pictures.photos import photo


def test_embedded_photo_has_the_convention():
    image = load_image("panda")
    assert image.shape[:2] == (1, 3) and image.dtype == torch.float32
    assert 0 <= image.min() < 0.2 and 0.8 < image.max() <= 1


def test_size_as_number_is_the_centre_square():
    whole = load_image("panda")
    height, width = whole.shape[-2:]
    side = min(height, width)
    square = load_image("panda", side)
    top, left = (height - side) // 2, (width - side) // 2
    assert torch.equal(square, whole[..., top : top + side, left : left + side])
    assert load_image("panda", (50, 70)).shape == (1, 3, 50, 70)


def test_unknown_photo_names_the_nearest():
    with pytest.raises(ValueError, match="panda"):
        load_image("pandas")


def test_photos_of_other_libraries_have_names_too():
    assert torch.equal(load_image("chelsea", 32), photo("chelsea", 32))
    with pytest.raises(ValueError, match=r"chelsea.*photos\(\).names.*style_image"):
        load_image("chelsae")


def test_text_file_called_jpg(tmp_path):
    path = tmp_path / "note.jpg"
    path.write_text("不是图像")
    with pytest.raises(ValueError, match="不是图像文件"):
        load_image(path)


def test_truncated_jpeg(tmp_path):
    path = tmp_path / "photo.jpg"
    to_pil(load_image("panda")).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="损坏"):
        load_image(path)


def test_grey_rgba_16bit_and_rotated(tmp_path):
    ramp = np.linspace(0, 255, 12).astype(np.uint8).reshape(3, 4)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    grey = load_image(tmp_path / "grey.png")
    assert grey.shape == (1, 3, 3, 4) and torch.equal(grey[:, 0], grey[:, 2])
    assert torch.allclose(grey[0, 0], torch.from_numpy(ramp / 255).float())

    transparent = np.zeros((2, 2, 4), np.uint8)
    transparent[0, 0] = (255, 0, 0, 255)
    Image.fromarray(transparent).save(tmp_path / "rgba.png")
    rgba = load_image(tmp_path / "rgba.png")
    assert rgba[0, :, 0, 0].tolist() == [1, 0, 0] and rgba[0, :, 1, 1].tolist() == [1, 1, 1]

    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert torch.allclose(load_image(tmp_path / "deep.png"), grey, atol=1e-4)

    exif = Image.Exif()
    exif[0x0112] = 6  # 显示时顺时针转 90 度
    Image.fromarray(np.repeat(ramp[..., None], 3, 2)).save(tmp_path / "turned.png", exif=exif)
    turned = load_image(tmp_path / "turned.png")
    assert turned.shape == (1, 3, 4, 3)
    assert torch.allclose(turned, torch.rot90(grey, -1, (2, 3)))


def test_one_pixel_image_reads(tmp_path):
    Image.new("RGB", (1, 1), (255, 128, 0)).save(tmp_path / "one.png")
    assert load_image(tmp_path / "one.png").shape == (1, 3, 1, 1)


def test_unreachable_address_says_what_to_do():
    with pytest.raises(ValueError, match="下载到本地"):
        load_image("http://127.0.0.1:9/painting.jpg")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.zeros(1, 8, 8, 3), "permute"),
        (torch.zeros(3, 8, 8), "image\\[None\\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "255"),
        (torch.full((1, 3, 8, 8), float("nan")), "NaN"),
        (torch.full((1, 3, 8, 8), 2.0), "\\[0, 1\\]"),
        (torch.zeros(1, 3, 4, 4), "太小"),
        (torch.zeros(0, 3, 8, 8), "空"),
    ],
)
def test_bad_images_are_explained(image, words):
    with pytest.raises(ValueError, match=words):
        check_images(image, minimum=8)


def test_not_a_tensor():
    with pytest.raises(TypeError, match="load_image"):
        check_images(np.zeros((1, 3, 8, 8)))


def test_resize_keeps_a_constant_and_the_mean():
    assert torch.allclose(resize(torch.full((1, 3, 31, 47), 0.3), 16), torch.tensor(0.3))
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    assert abs(resize(ramp, (32, 32)).mean() - 0.5) < 1e-3


def test_save_writes_settings_into_the_png(tmp_path):
    class Outcome:
        image = torch.rand(1, 3, 5, 6)
        settings = {"function": "dream", "层": "fire5"}

    path = save_image(Outcome(), tmp_path / "made.png")
    with Image.open(path) as picture:
        assert json.loads(picture.text["cnnlab"]) == Outcome.settings
    assert (load_image(path) - Outcome.image).abs().max() <= 0.5 / 255 + 1e-6


def test_animation_keeps_its_frames(tmp_path):
    frames = torch.rand(4, 3, 9, 12, generator=torch.Generator().manual_seed(0))
    with Image.open(save_animation(frames, tmp_path / "film.gif")) as film:
        assert film.n_frames == 4 and film.size == (12, 9)
    with pytest.raises(ValueError, match="gif"):
        save_animation(frames, tmp_path / "film.mp4")


# 存图：一批都在，不合的说出来，自己的图不外带


def test_a_batch_is_saved_as_a_sheet_of_all_its_pictures(tmp_path):
    images = torch.stack([torch.full((3, 8, 10), value) for value in (0.0, 0.2, 0.4)])
    sheet = load_image(save_image(images, tmp_path / "sheet.png"))
    assert sheet.shape == (1, 3, 18, 22)
    for top, left, value in ((0, 0, 0.0), (0, 12, 0.2), (10, 0, 0.4), (10, 12, 1.0)):
        assert torch.allclose(sheet[..., top : top + 8, left : left + 10], torch.tensor(value))
    assert torch.equal(sheet[..., 8:10, :], torch.ones(1, 3, 2, 22))  # 缝是白的
    two = load_image(save_image(images[:2], tmp_path / "two.png"))
    assert torch.equal(two, sheet[..., :8, :])
    with pytest.raises(ValueError, match="一张图像"):
        to_pil(images)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.rand(1, 3, 8, 8) * 255, "255"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "255"),
        (torch.full((1, 3, 8, 8), float("nan")), "NaN"),
        (torch.zeros(1, 5, 8, 8), "通道"),
    ],
)
def test_pictures_that_would_turn_black_or_white_are_refused(image, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        save_image(image, tmp_path / "x.png")
    with pytest.raises(ValueError, match="png"):
        save_image(torch.zeros(1, 3, 8, 8), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# 读图：各种来处


def test_arrays_bytes_open_files_and_home(tmp_path, monkeypatch):
    expected = load_image("panda", 40)
    array = np.asarray(to_pil(expected))
    eight = torch.from_numpy(array).permute(2, 0, 1)[None] / 255
    assert torch.equal(load_image(array), eight)
    assert torch.allclose(load_image(array / 255), eight, atol=1e-7)
    assert torch.equal(load_image(array[..., 0]), eight[:, :1].expand(-1, 3, -1, -1))
    path = save_image(expected, tmp_path / "照 片.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in (
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        "~/照 片.png",
        f"file://{path}",
    ):
        assert torch.equal(load_image(source), eight)
    for size in (np.int64(20), (np.int32(20), 20)):
        assert load_image(path, size).shape == (1, 3, 20, 20)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/nope/panda", "没有文件"),
        ("/", "文件夹"),
        ("x" * 5000, "不像一个文件名"),
        (np.zeros((2, 8, 8, 3), np.uint8), "transpose"),
        (np.zeros((8, 8, 3), np.int64), "uint8"),
        (np.full((8, 8), np.nan), "NaN"),
        (np.full((8, 8), 200.0), "255"),
        (b"junk", "不是图像文件"),
        ("http://127.0.0.1:9/my photo.png", "下载到本地"),
        ("http://127.0.0.1:9/熊猫.png", "下载到本地"),
    ],
)
def test_what_cannot_be_read_is_explained(source, words):
    with pytest.raises(ValueError, match=words):
        load_image(source)


def test_a_locked_file_a_pipe_and_a_bomb(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ValueError, match="不是普通文件"):
        load_image(tmp_path / "pipe.jpg")
    path = save_image(torch.zeros(1, 3, 8, 8), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="像素太多"):
        load_image(path)

    def locked(*_):
        raise PermissionError

    monkeypatch.setattr(Image, "open", locked)
    with pytest.raises(ValueError, match="权限"):
        load_image(path)


def test_an_address_with_spaces_and_any_letters(tmp_path):
    data = io.BytesIO()
    to_pil(torch.full((1, 3, 4, 4), 0.2)).save(data, "PNG")
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data.getvalue())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.handle_request).start()
    image = load_image(f"http://127.0.0.1:{server.server_port}/my photos/熊猫.png?big=1")
    server.server_close()
    assert torch.allclose(image, torch.tensor(0.2))
    assert asked == ["/my%20photos/%E7%86%8A%E7%8C%AB.png?big=1"]


def test_depth_is_decided_by_the_mode_not_by_the_brightness(tmp_path):
    dark = (np.arange(64).reshape(8, 8) * 3).astype(np.uint16)
    Image.fromarray(dark).save(tmp_path / "dark.png")
    assert torch.allclose(
        load_image(tmp_path / "dark.png")[0, 0], torch.from_numpy(dark / 65535).float()
    )
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "float.tif")
    assert torch.allclose(load_image(tmp_path / "float.tif"), torch.tensor(0.5))


def test_a_long_thin_picture_is_cropped_before_it_is_enlarged(tmp_path):
    """1000×1 放到 224：取中央方块，不先放大成 224000 像素长。"""
    Image.fromarray(np.arange(3000, dtype=np.uint32).reshape(1, 3000).astype(np.uint8)).save(
        tmp_path / "thin.png"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert load_image(tmp_path / "thin.png", 224).shape == (1, 3, 224, 224)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000
    whole = torch.rand(1, 3, 6, 40)
    centre = resize(whole, 6)
    assert torch.equal(centre, whole[..., 17:23])


def test_a_large_photo_is_decoded_small(tmp_path):
    rows, columns = np.mgrid[0:1200, 0:1600]
    smooth = np.stack([rows * 255 / 1200, columns * 255 / 1600, rows * 0 + 90], -1)
    for name in ("large.jpg", "large.png"):
        Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / name, quality=95)
        direct = resize(load_image(tmp_path / name), 100)
        assert (load_image(tmp_path / name, 100) - direct).abs().max() < 0.03


def test_names_as_they_are_copied_from_elsewhere(tmp_path):
    file = tmp_path / "my photo.png"
    picture = load_image("panda", 16)
    save_image(picture, file)
    for text in (f'"{file}"', f" {file}\n", file.as_uri(), f"file://{file}"):
        assert torch.equal(load_image(text), load_image(file))
    for text, words in (("", "空的"), ("ftp://example.com/x.jpg", "不是 http"), ("PANDA", "panda")):
        with pytest.raises(ValueError, match=words):
            load_image(text)


def test_formats_that_cannot_be_read_are_named(tmp_path):
    from PIL import Image

    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 60)
    with pytest.raises(ValueError, match="HEIC"):
        load_image(tmp_path / "a.heic")
    Image.fromarray(np.full((4, 4), 200, dtype=np.int32)).save(tmp_path / "i.tif")
    with pytest.raises(ValueError, match="32 位整数"):
        load_image(tmp_path / "i.tif")
    with pytest.raises(ValueError, match="空的"):
        load_image(Image.new("RGB", (0, 5)))


def test_files_opened_as_text_or_closed_are_told(tmp_path):
    path = save_image(torch.rand(1, 3, 8, 8), tmp_path / "a.png")
    with open(path, "rb") as closed:
        pass
    for source in (closed, io.StringIO("字")):
        with pytest.raises(ValueError, match="'rb'"):
            load_image(source)


def test_a_grey_float_picture_is_read_without_a_warning(recwarn):
    grey = Image.fromarray(np.full((4, 4), 0.25, np.float32))
    assert torch.equal(load_image(grey), torch.full((1, 3, 4, 4), 0.25))
    assert not recwarn.list


@pytest.mark.parametrize("size", [10**9, (40000, 40000), 8193])
@pytest.mark.parametrize("call", [load_image, lambda _, size: resize(torch.rand(1, 3, 8, 8), size)])
def test_a_size_that_would_fill_the_memory_is_refused(call, size):
    with pytest.raises(ValueError, match="最大 8192 见方"):
        call("panda", size)
    assert resize(torch.rand(1, 3, 8, 8), (1, 20000)).shape[-1] == 20000


def test_a_pil_image_whose_file_is_closed_or_cut(tmp_path):
    path = save_image(torch.rand(1, 3, 40, 40), tmp_path / "a.png")
    closed = Image.open(path)
    closed.close()
    (tmp_path / "cut.png").write_bytes(path.read_bytes()[:-2000])
    for picture in (closed, Image.open(tmp_path / "cut.png")):
        with pytest.raises(ValueError, match=r"PIL 图像读不出来.*load_image"):
            load_image(picture)


@pytest.mark.parametrize(
    "place", ["there.png", "there.png/b.png", "a" * 300 + ".png", "/proc/x.png"]
)
def test_where_nothing_can_be_written(tmp_path, place):
    (tmp_path / "there.png").mkdir() if place == "there.png" else (tmp_path / "there.png").touch()
    with pytest.raises(OSError, match=r"写不进.*换一个文件夹或文件名"):
        save_image(torch.rand(1, 3, 8, 8), tmp_path / place)


def test_a_picture_that_cannot_be_encoded_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_image(torch.rand(1, 3, 8, 8), tmp_path / "kept.png")
    before = path.read_bytes()

    def interrupted(*arguments, **options):
        arguments[1].write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_image(torch.rand(1, 3, 8, 8), path)
    assert path.read_bytes() == before


def test_four_channels_are_told_apart_from_a_batch():
    with pytest.raises(ValueError, match=r"image\[:, :3\]"):
        to_pil(torch.rand(1, 4, 8, 8))
    with pytest.raises(ValueError, match=r"image\[0\]"):
        to_pil(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize("save", [save_image, save_animation])
def test_an_address_is_no_place_to_save_to(save, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"网址.*写成文件名"):
        save(torch.rand(2, 3, 8, 8), "http://localhost/a.gif")
    assert not list(tmp_path.iterdir())
