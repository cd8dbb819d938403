"""图像的读、写、缩放与核对。"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cnnlab.core.images import check_images, load_image, resize, save_animation, save_image, to_pil


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
