"""又四十几种公开报告里的情形，输入是自己的；括号里是同一种毛病的出处。算得对，要么一句中文说清。"""

import io
import warnings

import numpy as np
import pytest
import torch
from hostile import Small
from matplotlib import pyplot
from PIL import Image
from torch import nn
from torch.nn import functional

import cnnlab
from cnnlab.core.checks import is_chinese
from cnnlab.engine.ascent import Ascent


@pytest.fixture
def small():
    return Small().eval()


def picture(side=48):
    """左黑右红的一张 8 位图。"""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:, side // 2 :, 0] = 255
    return Image.fromarray(pixels)


def saved(image, kind: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def told(call):
    """抛的是一句中文。"""
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert is_chinese(error.value), error.value
    return str(error.value)


# --- 读图


def test_a_16_bit_ramp_is_not_clipped():
    """Pillow 1108、2574：16 位灰度转 8 位时一片白。"""
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    image = Image.fromarray(ramp.astype(np.uint16))
    assert float(cnnlab.load_image(saved(image, "PNG")).mean()) == pytest.approx(0.5, abs=0.01)


def test_a_stereo_photo_is_its_first_picture():
    """Pillow 5164：MPO 里有两张。"""
    file = saved(picture(), "MPO", save_all=True, append_images=[picture().rotate(90)], quality=95)
    assert float(cnnlab.load_image(file)[0, 0, :, 40:].mean()) > 0.95


def test_bytes_after_the_end_and_broken_exif_do_not_matter():
    """Pillow 7879：手机在 JPEG 后面接了别的数据，EXIF 也是坏的。"""
    data = (
        saved(picture(), "JPEG", exif=b"Exif\0\0http://nonsense").getvalue() + b"MotionPhoto" * 999
    )
    assert cnnlab.load_image(data).shape == (1, 3, 48, 48)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colour_spaces_keep_red_red(mode):
    """pdfminer 12、psd-tools 319：CMYK 反了相。"""
    image = cnnlab.load_image(saved(picture().convert(mode), "JPEG", quality=95))
    assert float(image[0, 0, :, 40:].mean()) > 0.9 and float(image[0, 2, :, 40:].mean()) < 0.1


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "La", "RGBa"])
def test_what_is_transparent_is_white(mode):
    """Pillow 3869、6496。"""
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)
    image = clear.convert(image) if image != "PA" else Image.new("P", (8, 8))
    if mode == "PA":
        image.putalpha(0)
    image = image.convert(mode) if mode in ("La", "RGBa") else image
    assert float(cnnlab.load_image(image).min()) > 0.99


def test_a_palette_with_transparent_bytes_and_a_bilevel_image():
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    file = saved(palette, "PNG", transparency=bytes([0, 255]))
    assert float(cnnlab.load_image(file).min()) == 1
    assert set(cnnlab.load_image(Image.new("1", (8, 8), 1)).flatten().tolist()) == {1.0}


@pytest.mark.parametrize("mode", ["HSV", "LAB"])
def test_a_pil_image_in_another_space_is_converted_or_refused(mode):
    try:
        image = cnnlab.load_image(
            picture().convert("RGB") if mode == "LAB" else picture().convert(mode)
        )
    except ValueError as error:
        assert is_chinese(error)
    else:
        assert float(image[0, 0, :, 40:].mean()) > 0.9


def test_a_picture_whose_file_was_closed_is_told(tmp_path):
    picture().save(tmp_path / "a.png")
    with open(tmp_path / "a.png", "rb") as file:
        image = Image.open(file)
    assert told(lambda: cnnlab.load_image(image))


def test_arrays_turned_round_are_read():
    """numpy 的负步长：torch.from_numpy 不收。"""
    array = np.asarray(picture())
    assert float(cnnlab.load_image(array[:, ::-1])[0, 0, :, :20].mean()) > 0.9
    assert cnnlab.load_image((array[::-1] / 255).astype(">f8")).shape == (1, 3, 48, 48)
    rows = np.random.default_rng(0).random((30, 4))
    expected = cnnlab.pca(torch.from_numpy(rows).flip(0))
    for given in (rows[::-1], rows[::-1].astype(">f8"), np.asfortranarray(rows[::-1])):
        assert torch.allclose(cnnlab.pca(given).double(), expected.double(), atol=1e-5)


def test_a_read_only_array_is_read_without_a_warning():
    array = np.asarray(picture()) / np.float32(255)
    array.flags.writeable = False
    rows = np.random.default_rng(0).random((9, 4), np.float32)
    rows.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cnnlab.load_image(array).shape == (1, 3, 48, 48)
        assert torch.equal(cnnlab.pca(rows), cnnlab.pca(rows.copy()))


def test_a_data_frame_is_rows_and_a_series_is_labels():
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame(np.random.default_rng(0).random((12, 3)))
    assert cnnlab.pca(rows).shape == (12, 2)
    labels = pandas.Series(["a", "b"] * 6)
    found = cnnlab.retrieval_score(rows.to_numpy(), labels)
    assert found.score == cnnlab.retrieval_score(rows.to_numpy(), labels.tolist()).score


# --- 文件夹


def test_hidden_folders_and_copies_of_the_system_are_not_photos(tmp_path):
    """torchvision 109、2831：.ipynb_checkpoints、.DS_Store 成了一类；446、552：大写的后缀。"""
    names = ["cat/a.JPEG", "cat/.ipynb_checkpoints/a-checkpoint.png", "__MACOSX/cat/._a.jpg"]
    for name in [*names, ".trash/b.png", "cat/._c.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(tmp_path / name, "PNG")
    (tmp_path / "cat/.DS_Store").write_bytes(b"junk")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cnnlab.image_folder(tmp_path, size=16)
    assert found.names == ("a",) and found.categories == ("cat",)


def test_a_hidden_root_is_read_when_asked(tmp_path):
    (tmp_path / ".mine").mkdir()
    picture().save(tmp_path / ".mine/a.png")
    assert len(cnnlab.image_folder(tmp_path / ".mine", size=16)) == 1


# --- 存图


@pytest.mark.parametrize("change", [lambda x: x * 2 - 1, lambda x: x * 5])
def test_values_far_from_0_1_are_not_clipped_in_silence(change, tmp_path):
    """torchvision 24、6255，examples 315：[−1, 1] 的图存成一半黑。"""
    image = change(torch.rand(1, 3, 8, 8))
    with pytest.warns(UserWarning, match=r"\[0, 1\]"):
        cnnlab.save_image(image, tmp_path / "a.png")


def test_saving_changes_nothing_and_refuses_what_is_no_picture(tmp_path):
    """torchvision 1419、1719。"""
    for image in (torch.rand(1, 3, 8, 8), torch.rand(3, 8, 8), torch.rand(1, 1, 8, 8)):
        kept = image.clone()
        cnnlab.save_image(image, tmp_path / "a.png")
        assert torch.equal(image, kept)
    for image in (torch.zeros(3, 8, 8, dtype=torch.uint8), torch.rand(4, 16, 16), torch.rand(8, 8)):
        told(lambda image=image: cnnlab.save_image(image, tmp_path / "b.png"))


# --- 网络


class Fresh(nn.Module):
    """ReLU 在前向里现建（captum 1082），池化用两次（captum 200）。"""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(8, 5)

    def forward(self, image):
        value = self.pool(nn.ReLU()(self.a(image)))
        return self.head(self.pool(nn.ReLU()(self.b(value))).mean((2, 3)))


def test_relus_made_in_the_forward_are_ruled_and_a_reused_pool_is_right():
    model, image = Fresh().eval(), torch.rand(2, 3, 32, 32)
    leaf = image.clone().requires_grad_()
    plain = torch.autograd.grad(model(leaf)[:, 3].sum(), leaf)[0]
    assert torch.allclose(cnnlab.saliency_map(model, image, 3, reduce=None), plain, atol=1e-6)
    guided = cnnlab.guided_gradient(model, image, target=3)
    assert (guided - plain).norm() > 0.1 * plain.norm()

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(context, value):
            context.save_for_backward(value)
            return value.relu()

        @staticmethod
        def backward(context, gradient):
            return gradient.relu() * (context.saved_tensors[0] > 0)

    value = model.pool(Rule.apply(model.a(leaf)))
    scores = model.head(model.pool(Rule.apply(model.b(value))).mean((2, 3)))
    expected = torch.autograd.grad(scores[:, 3].sum(), leaf)[0]
    assert torch.allclose(guided, expected, atol=1e-6)
    pooled = cnnlab.activations_of(model, image, ["pool", "pool:2"])
    assert pooled["pool"].shape[-1] == 16 and pooled["pool:2"].shape[-1] == 8


def test_data_parallel_gives_every_map_of_the_batch(small):
    """pytorch-grad-cam 322、340：DataParallel 只剩一半的图。"""
    image = torch.rand(4, 3, 32, 32)
    wrapped = cnnlab.grad_cam(nn.DataParallel(small), image, 2, "module.conv2")
    assert torch.allclose(wrapped, cnnlab.grad_cam(small, image, 2, "conv2"), atol=1e-6)


def test_one_score_is_class_0():
    """pytorch-grad-cam 108：只有一个输出的二分类网络。"""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
    )
    assert cnnlab.saliency_map(model, torch.rand(1, 3, 16, 16), 0).shape == (1, 16, 16)
    assert "编号 0 到 0" in told(lambda: cnnlab.saliency_map(model, torch.rand(1, 3, 16, 16), 1))


def test_maps_without_a_gradient_are_zero_and_not_nan(small):
    """torch-cam 186、208，pytorch-grad-cam 173：除以 0 成了 NaN。"""
    with torch.no_grad():
        small.head.weight[3] = 0
    image = torch.full((2, 3, 32, 32), 0.5)
    for call in (
        lambda: cnnlab.grad_cam(small, image, 3, "conv2"),
        lambda: cnnlab.smooth_grad(small, image, 3, samples=2),
        lambda: cnnlab.integrated_gradients(small, image, 3, steps=2),
        lambda: cnnlab.occlusion_map(small, image, 3, window=16, stride=16),
        lambda: cnnlab.guided_gradient(small, image, target=3),
    ):
        try:
            assert not call().any()
        except ValueError as error:
            assert is_chinese(error)


def test_a_flat_heat_map_is_drawn_and_measured(small):
    flat, image = torch.zeros(1, 32, 32), torch.rand(1, 3, 32, 32)
    assert cnnlab.deletion_curve(small, image, 1, flat, steps=2).isfinite().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cnnlab.show_map(image, flat).figure.canvas.draw()
    pyplot.close("all")


def test_weight_norm_of_the_old_kind_is_wrapped_or_told():
    """PyTorch 28594、102981：weight_norm 过的网络不能 deepcopy。"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    model = nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    image = torch.rand(1, 3, 16, 16)
    assert cnnlab.saliency_map(model, image, 1).isfinite().all()
    model(image)  # 前向之后，weight 是计算图上的数
    for call in (
        lambda: cnnlab.wrap_model(model, mean=(0.5,) * 3, std=(0.5,) * 3),
        lambda: cnnlab.randomized_copy(model),
    ):
        try:
            call()
        except (ValueError, RuntimeError) as error:
            assert is_chinese(error), error


def test_spectral_norm_keeps_its_own_state():
    """power iteration 的 u 在训练模式的前向里会变。"""
    layer = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    model = nn.Sequential(layer, *head).train()
    kept = {name: each.clone() for name, each in model.state_dict().items()}
    cnnlab.saliency_map(model, torch.rand(1, 3, 16, 16), 1)
    cnnlab.guided_gradient(model, torch.rand(1, 3, 16, 16), target=1)
    assert all(torch.equal(each, kept[name]) for name, each in model.state_dict().items())
    wrapped = cnnlab.wrap_model(model, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert wrapped(torch.rand(1, 3, 16, 16)).shape == (1, 5)


def test_lazy_and_quantized_layers_work_or_are_told():
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert "Lazy" in told(lambda: cnnlab.wrap_model(lazy, mean=(0.5,) * 3, std=(0.5,) * 3))
    assert "Lazy" in told(lambda: cnnlab.saliency_map(lazy, torch.rand(1, 3, 16, 16), 1))


def test_a_network_of_four_channels_is_told():
    """lucent 25：输入不止三个通道。"""
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    quick = {"size": 32, "steps": 1, "settings": Ascent(robust=False)}
    assert "4 个" in told(lambda: cnnlab.class_image(model, 1, **quick))


def test_labels_of_several_kinds_are_told():
    """sorted 比不了字和数。"""
    told(lambda: cnnlab.retrieval_score(torch.rand(4, 3), ["a", 1, None, "a"]))
    assert cnnlab.vote_accuracy(torch.rand(9, 3), ["a", "b", "c"] * 3, k=2) <= 1
    assert cnnlab.vote_accuracy(torch.rand(9, 3), np.arange(9) % 3, k=2) <= 1


@pytest.mark.parametrize("switch", ["deterministic", "anomaly", "autocast"])
def test_torchs_own_switches_do_not_break_a_gradient(switch, small):
    image = torch.rand(1, 3, 32, 32)
    expected = cnnlab.saliency_map(small, image, 1)
    around = {
        "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
        "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        "deterministic": lambda: torch.inference_mode(False),
    }[switch]
    torch.use_deterministic_algorithms(switch == "deterministic")
    try:
        with around():
            found = cnnlab.saliency_map(small, image, 1)
            made = cnnlab.class_image(small, 1, size=32, steps=2).image
    finally:
        torch.use_deterministic_algorithms(False)
    assert made.isfinite().all()
    assert functional.cosine_similarity(found.flatten(), expected.flatten(), 0) > 0.99


def test_queries_and_galleries_of_other_kinds_are_searched():
    """numpy 来的是 float64，刚算出来的特征在计算图上。"""
    rows = torch.rand(9, 4)
    expected = cnnlab.nearest_neighbors(rows, rows, 2).index
    for query, gallery in (
        (rows.double().numpy(), rows),
        (rows, rows.double()),
        (rows.clone().requires_grad_(), rows.clone().requires_grad_() * 1),
    ):
        assert torch.equal(cnnlab.nearest_neighbors(query, gallery, 2).index, expected)
    again = cnnlab.neighbor_purity(rows.clone().requires_grad_(), [0, 1, 2] * 3, 2)
    assert again == cnnlab.neighbor_purity(rows, [0, 1, 2] * 3, 2)


def test_pictures_of_other_floats_are_transferred_and_dreamt(small):
    image = torch.rand(1, 3, 48, 48)
    model = cnnlab.wrap_model(small, mean=(0.5,) * 3, std=(0.5,) * 3)
    for kind in (torch.float64, torch.bfloat16, torch.float16):
        made = cnnlab.dream(model, image.to(kind), "conv2", octaves=1, steps=1).image
        assert made.is_floating_point() and made.dtype.itemsize >= 4 and made.isfinite().all()
    painting = cnnlab.Painting(content_layer="conv2", style_layers=["conv1"])
    other = cnnlab.transfer_style(model, image, image.double().flip(-1), steps=1, settings=painting)
    assert other.image.dtype == torch.float32


# --- 画图


def test_minus_signs_dollars_and_rare_characters_are_drawn():
    """matplotlib 15062、17841、14269：负号、汉字成了方块；名字里的 $ 当成了公式。"""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cnnlab.show_curve({"损失 −1": [-3.0, 2.0, -1.0]}, xlabel="步数").figure.canvas.draw()
        titles = ["价格 $5 与 $6^", "龘 a_b^c", r"C:\new\$x$"]
        panels = cnnlab.show_grid(torch.rand(3, 3, 8, 8), titles=titles)
        panels.figure.canvas.draw()
        assert len(panels) == 3
        cnnlab.show_bars(["$a", "b$_"], [1.0, -2.0]).figure.canvas.draw()
    pyplot.close("all")


def test_a_grey_batch_is_shown():
    """lucent 38、39。"""
    panels = cnnlab.show_grid(torch.rand(3, 1, 8, 8))
    panels.figure.canvas.draw()
    assert [panel.images[0].get_array().shape[:2] for panel in panels] == [(8, 8)] * 3
    pyplot.close("all")


# --- 控件


def half(image, amount=0.5):
    return image * amount


def test_sliders_that_make_no_sense_are_told():
    """cocalc 5722：步长为 0。"""
    image = torch.rand(1, 3, 8, 8)
    for amount in ((0.0, 1.0, 0.0), (1.0, 0.0, 0.1), (0.0, 1.0, -0.1), (0.0, float("nan"), 0.1)):
        assert told(lambda amount=amount: cnnlab.explore(half, image=[image], amount=amount))


def test_a_slider_reaches_its_ends():
    """ipywidgets-static 15：2 到 4、步长 0.2，浮点误差漏掉 3 和 4。"""
    panel = cnnlab.explore(half, image=[torch.rand(1, 3, 8, 8)], amount=(2.0, 4.0, 0.2))
    slider = panel.boxes["amount"]
    assert (slider.min, slider.max) == (2.0, 4.0)


# --- 名字


@pytest.mark.parametrize("name", ["388", "３８８", " giant panda ", "Giant_Panda", "大熊猫"])
def test_a_class_written_otherwise_is_found_or_near_names_are_given(name):
    model, image = cnnlab.load_model(), torch.rand(1, 3, 48, 48)
    try:
        found = cnnlab.class_scores(model, image, name)
    except ValueError as error:
        assert is_chinese(error)
    else:
        assert torch.equal(found, cnnlab.class_scores(model, image, 388))
