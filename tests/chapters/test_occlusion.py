"""遮挡实验：窗的位置、已知答案的网络、与 Captum 一致、内存、坏输入。"""

import weakref

import pytest
import torch
from torch import nn

from cnnlab import load_model, wrap_model
from cnnlab.chapters.occlusion import (
    average_per_pixel,
    covered_image,
    fill_image,
    occlusion_map,
    window_starts,
)
from cnnlab.check.fixtures import WindowNet

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


@pytest.fixture
def image():
    return torch.rand(2, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


class Net(nn.Sequential):
    """小网络，float64，有 dropout，随机权重。"""

    def __init__(self, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        conv, linear = nn.Conv2d(3, 6, 3, stride=2), nn.Linear(6, 4)
        pool = nn.AdaptiveAvgPool2d(1)
        super().__init__(conv, nn.ReLU(inplace=True), pool, nn.Flatten(), nn.Dropout(0.5), linear)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        self.eval().requires_grad_(False)


# 窗的位置


@pytest.mark.parametrize(
    ("length", "window", "stride", "starts"),
    [
        (8, 4, 2, [0, 2, 4]),
        (9, 4, 2, [0, 2, 4, 5]),
        (5, 5, 5, [0]),
        (10, 3, 3, [0, 3, 6, 7]),
        (6, 1, 1, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_window_starts_by_hand(length, window, stride, starts):
    assert window_starts(length, window, stride) == starts


def test_every_pixel_is_covered_and_the_last_window_touches_the_border():
    for length in range(1, 14):
        for window in range(1, length + 1):
            for stride in range(1, window + 1):
                starts = window_starts(length, window, stride)
                covered = {pixel for start in starts for pixel in range(start, start + window)}
                assert covered == set(range(length))
                assert starts == sorted(set(starts)) and starts[-1] + window == length


def test_a_224_map_has_625_windows():
    assert len(window_starts(224, 32, 8)) == 25


# 已知答案：得分是绿色通道第 3–4 行、第 5–6 列之和


def test_window_net_by_hand(image):
    drop = occlusion_map(WindowNet(), image, 0, window=(2, 3), stride=(2, 3), fill=0.0)
    rows, columns = window_starts(9, 2, 2), window_starts(11, 3, 3)
    expected = torch.zeros(2, len(rows), len(columns), dtype=torch.float64)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            for row in (3, 4):
                for column in (5, 6):
                    if top <= row < top + 2 and left <= column < left + 3:
                        expected[:, i, j] += image[:, 1, row, column]
    assert torch.allclose(drop, expected, atol=1e-12)
    assert torch.allclose(
        occlusion_map(WindowNet(), image, 1, window=(2, 3), stride=(2, 3), fill=0.0),
        -expected,
        atol=1e-12,
    )


def test_non_zero_exactly_on_touching_windows(image):
    drop = occlusion_map(WindowNet(), image, 0, window=2, stride=1, fill="white")
    touches_rows = torch.tensor([top in (2, 3, 4) for top in window_starts(9, 2, 1)])
    touches_columns = torch.tensor([left in (4, 5, 6) for left in window_starts(11, 2, 1)])
    assert torch.equal(drop[0] != 0, touches_rows[:, None] & touches_columns[None])
    assert (drop <= 0).all()  # 填白只会让和变大


def test_probability_and_all(image):
    net = Net()
    scores = occlusion_map(net, image, None, window=3, stride=2, output="all")
    assert scores.shape == (2, 4, 4, 5)
    for target in range(4):
        assert torch.allclose(
            scores[:, target], occlusion_map(net, image, target, window=3, stride=2)
        )
    after = net(image)[:, :, None, None] - scores
    probability = net(image).softmax(1)[:, 2, None, None] - after.softmax(1)[:, 2]
    assert torch.allclose(
        occlusion_map(net, image, 2, window=3, stride=2, output="probability"), probability
    )


def test_one_target_per_image_equals_one_image_at_a_time(image):
    net = Net()
    together = occlusion_map(net, image, [3, 1], window=4, stride=3)
    alone = [
        occlusion_map(net, image[i : i + 1], target, window=4, stride=3)
        for i, target in enumerate((3, 1))
    ]
    assert torch.allclose(together, torch.cat(alone))
    assert torch.allclose(
        together, occlusion_map(net, image, torch.tensor([3, 1]), window=4, stride=3)
    )


def test_a_window_as_large_as_the_image_gives_the_filled_image(image):
    drop = occlusion_map(Net(), image, 0, window=(9, 11), stride=1, fill=(0.2, 0.4, 0.6))
    filled = torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64).view(1, 3, 1, 1).expand_as(image)
    assert drop.shape == (2, 1, 1)
    assert torch.allclose(drop[:, 0, 0], (Net()(image) - Net()(filled))[:, 0])


# 填什么


def test_fills(image):
    assert torch.allclose(fill_image(image)[1, :, 4, 4], image[1].mean((1, 2)))
    assert torch.equal(fill_image(image, "black"), torch.zeros_like(image))
    assert torch.equal(fill_image(image, "white"), fill_image(image, 1))
    blurred = image.flip(0)
    assert torch.equal(
        covered_image(image, 2, 3, window=4, fill=blurred)[:, :, 2:6, 3:7], blurred[:, :, 2:6, 3:7]
    )


def test_filling_happens_before_normalisation():
    """填灰就是灰：归一化之后填 0 得到的是平均色，两者不同。"""
    network = Net().float()
    model = wrap_model(network, mean=(0.2, 0.3, 0.4), std=(0.5, 0.5, 0.5))
    image = torch.rand(1, 3, 9, 9)
    grey, mean = (
        occlusion_map(model, image, 0, window=9, stride=1, fill=fill)[0, 0, 0]
        for fill in ("grey", (0.2, 0.3, 0.4))
    )
    assert torch.allclose(
        grey, (model(image) - model(torch.full_like(image, 0.5)))[0, 0], atol=1e-5
    )
    assert torch.allclose(
        mean, model(image)[0, 0] - network(torch.zeros_like(image))[0, 0], atol=1e-5
    )


def test_covered_image_changes_only_the_window(image):
    before = image.clone()
    covered = covered_image(image, 5, 7, window=4, fill="white")
    assert torch.equal(image, before)
    changed = (covered != image).any(1)[0]
    assert changed[5:9, 7:11].all() and changed.sum() == 16
    with pytest.raises(ValueError, match="超出"):
        covered_image(image, 6, 0, window=4)


# 逐像素的平均


def test_average_per_pixel_by_loop():
    drop = torch.randn(2, 4, 3, dtype=torch.float64)
    total, count = torch.zeros(2, 9, 8, dtype=torch.float64), torch.zeros(9, 8, dtype=torch.float64)
    for i, top in enumerate(window_starts(9, 4, 2)):
        for j, left in enumerate(window_starts(8, 4, 2)):
            total[:, top : top + 4, left : left + 4] += drop[:, i, j, None, None]
            count[top : top + 4, left : left + 4] += 1
    assert torch.allclose(average_per_pixel(drop, (9, 8), window=4, stride=2), total / count)


def test_a_constant_drop_stays_constant_even_in_the_corners():
    averaged = average_per_pixel(torch.full((1, 4, 4), 0.7), 9, window=4, stride=2)
    assert torch.allclose(averaged, torch.full((1, 9, 9), 0.7))


def test_average_refuses_another_stride():
    with pytest.raises(ValueError, match="stride"):
        average_per_pixel(torch.zeros(1, 5, 5), 9, window=4, stride=2)


# 与 Captum 一致


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_captum_on_random_networks(seed):
    from captum.attr import Occlusion

    net = Net(seed)
    image = torch.rand(
        2, 3, 12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    theirs = Occlusion(net).attribute(
        image,
        sliding_window_shapes=(3, 4, 4),
        strides=(3, 2, 2),
        baselines=0.3,
        target=torch.tensor([1, 3]),
    )
    drop = occlusion_map(net, image, [1, 3], window=4, stride=2, fill=0.3)
    ours = average_per_pixel(drop, (12, 10), window=4, stride=2)
    assert (ours - theirs[:, 0]).abs().max() <= 1e-6 * theirs.abs().max()
    assert torch.equal(theirs[:, 0], theirs[:, 2])


def test_equals_captum_on_squeezenet():
    from captum.attr import Occlusion

    model = load_model().double()
    image = torch.rand(
        1, 3, 96, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    )
    theirs = Occlusion(model).attribute(image, (3, 32, 32), (3, 32, 32), 0.5, target=388)[:, 0]
    drop = occlusion_map(model, image, 388, window=32, stride=32, fill="grey")
    ours = average_per_pixel(drop, 96, window=32, stride=32)
    assert (ours - theirs).abs().max() <= 1e-6 * theirs.abs().max()


def test_captum_shrinks_the_last_window_where_the_stride_does_not_divide():
    """步幅除不尽时不同：Captum 的最后一扇窗伸出图外、被截短，我们的齐边、一样大。"""
    from captum.attr import Occlusion

    image = torch.rand(1, 3, 5, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    net = Net()
    theirs = Occlusion(net).attribute(
        image, sliding_window_shapes=(3, 5, 4), strides=(3, 1, 3), baselines=0.0, target=0
    )
    ours = average_per_pixel(
        occlusion_map(net, image, 0, window=(5, 4), stride=(1, 3), fill=0.0),
        (5, 11),
        window=(5, 4),
        stride=(1, 3),
    )

    def drop(left: int, right: int) -> float:
        covered = image.clone()
        covered[..., left:right] = 0
        return float((net(image) - net(covered))[0, 0])

    assert window_starts(11, 4, 3) == [0, 3, 6, 7]
    assert float(theirs[0, 0, 0, 10]) == pytest.approx(drop(9, 11))  # 只剩两列
    assert float(ours[0, 0, 10]) == pytest.approx(drop(7, 11))


# 别的网络，以及用后一切照旧


@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "vgg16",
        "resnet18",
        "googlenet",
        "densenet121",
        "mobilenet_v3_small",
        "efficientnet_b0",
    ],
)
def test_torchvision_networks(name, assert_no_hooks):
    import torchvision

    options = {"init_weights": False} if name in ("googlenet", "vgg16") else {}
    options |= {"aux_logits": False} if name == "googlenet" else {}
    network = getattr(torchvision.models, name)(weights=None, **options)
    model = wrap_model(network, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)).train()
    image = torch.rand(1, 3, 64, 64)
    drop = occlusion_map(model, image, 7, window=32, stride=32, fill="black")
    assert all(module.training for module in model.modules())
    assert_no_hooks(model)
    covered = covered_image(image, 32, 0, window=32, fill="black")
    with torch.no_grad():
        model.eval()
        expected = (model(image) - model(covered))[0, 7]
    assert drop.shape == (1, 2, 2)
    assert torch.allclose(
        drop[0, 1, 0], expected, rtol=1e-2, atol=1e-4 * float(model(image).abs().max())
    )


def test_leaves_everything_as_it_was(image):
    net = Net().train()
    leaf = image.clone().requires_grad_()
    state = torch.get_rng_state()
    first, second = (occlusion_map(net, leaf, 1, window=3, stride=3) for _ in range(2))
    assert torch.equal(first, second)  # dropout 关着
    assert not first.requires_grad and leaf.grad is None and torch.equal(leaf.detach(), image)
    assert all(module.training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), state) and torch.is_grad_enabled()


def test_restores_the_mode_after_an_exception(image):
    class Broken(Net):
        def forward(self, value):
            raise RuntimeError("坏了")

    net = Broken().train()
    with pytest.raises(RuntimeError, match="坏了"):
        occlusion_map(net, image, 0, window=3, stride=3)
    assert net.training and torch.is_grad_enabled()


def test_memory_does_not_grow_with_the_number_of_windows():
    """同时活着的遮挡图不超过两批，不论一共多少扇窗。"""

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.inputs, self.most = [], 0

        def forward(self, value):
            self.inputs = [each for each in self.inputs if each() is not None] + [
                weakref.ref(value)
            ]
            self.most = max(self.most, sum(len(each()) for each in self.inputs))
            return value.mean((2, 3))

    most = []
    for stride in (4, 1):
        model = Watching()
        occlusion_map(model, torch.rand(1, 3, 24, 24), 0, window=4, stride=stride)
        most.append(model.most)
    assert max(most) <= 16 and most[0] == most[1]


# 坏输入


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"window": 12}, "窗应在 1 到 9 之间"),
        ({"window": 0}, "window 是 0"),
        ({"window": 3, "stride": 4}, "盖不到"),
        ({"window": 3, "stride": 0}, "stride 是 0"),
        ({"window": 3.5}, "整数"),
        ({"window": (3, 3, 3), "stride": 1}, "高, 宽"),
        ({"window": 3, "stride": 3, "fill": "gray"}, "可用 mean"),
        ({"window": 3, "stride": 3, "fill": 255}, r"\[0, 1\]"),
        ({"window": 3, "stride": 3, "fill": (0.1, 0.2)}, "三个数"),
        ({"window": 3, "stride": 3, "output": "logit"}, "probability"),
    ],
)
def test_bad_options(image, options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        occlusion_map(Net(), image, 0, **options)


@pytest.mark.parametrize(
    ("target", "text"),
    [(9, "超出范围"), (-1, "不小于 0"), ([0, 1, 2], "3 个目标"), ("panda", "没有类别名")],
)
def test_bad_targets(image, target, text):
    with pytest.raises(ValueError, match=text):
        occlusion_map(Net(), image, target, window=3, stride=3)


def test_bad_images(image):
    with pytest.raises(ValueError, match="uint8"):
        occlusion_map(Net(), image.byte(), 0, window=3, stride=3)
    with pytest.raises(ValueError, match="N, 3, H, W"):
        occlusion_map(Net(), image[0], 0, window=3, stride=3)
    with pytest.raises(ValueError, match="NaN"):
        occlusion_map(Net(), image * float("nan"), 0, window=3, stride=3)
    constant = torch.full((1, 3, 8, 8), 0.25, dtype=torch.float64)
    assert (
        occlusion_map(Net(), constant, 0, window=3, stride=3).abs().max() < 1e-12
    )  # 平均色就是它自己
