"""感受野与梯度的支撑逐处比较；前 k 名与一次全部排序比较；内存、同值、边界、坏输入。"""

import copy

import pytest
import torch
from torch import nn

from cnnlab.chapters.patches import (
    effective_receptive_field,
    image_maxima,
    mass_pixels,
    max_activating_patches,
    ranked_patches,
    receptive_field,
)
from cnnlab.core.measures import row_agreement, row_similarity
from cnnlab.networks.squeezenet import Fire


class Branches(nn.Module):
    """不同大小的分支拼接，再与一条捷径相加。"""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(4, 2, (1, 5), padding=(0, 2))
        self.tall = nn.Conv2d(4, 2, 3, padding=2, dilation=2)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(torch.cat([self.wide(x), self.tall(x)], 1)) + x


NETWORKS = {
    "步幅与填充": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 5, 2, 2)
    ),
    "向上取整的池化": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(2, ceil_mode=True, padding=1),
    ),
    "膨胀": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, dilation=2, padding=1), nn.Conv2d(4, 4, 3, 2, padding=3, dilation=3)
    ),
    "Fire": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), Fire(4, 2, 3), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(6, 2, 3)
    ),
    "分支与捷径": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 2, 2), Branches(), nn.AvgPool2d((2, 3), (2, 1), (1, 0)), Branches()
    ),
    "不对称的填充": lambda: nn.Sequential(
        nn.ZeroPad2d((0, 2, 3, 1)), nn.Conv2d(3, 4, 4, 3), nn.Conv2d(4, 4, 2, padding="same")
    ),
    "步幅大于核长": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 1, 3, padding=1), nn.Conv2d(4, 4, 2, 3, padding=1)
    ),
    "自适应池化": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d((3, 4))),
}


def smooth_copy(network):
    """权重全为正、最大池化换成平均池化：梯度的支撑就是结构允许的全部像素。"""
    network = copy.deepcopy(network)
    for name, module in network.named_modules():
        if isinstance(module, nn.MaxPool2d):
            options = module.kernel_size, module.stride, module.padding, module.ceil_mode
            network.set_submodule(name, nn.AvgPool2d(*options))
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.1)
    return network


def gradient_box(network, image, i, j):
    (gradient,) = torch.autograd.grad(network(image)[:, :, i, j].sum(), image)
    rows, columns = (gradient[0].abs().sum(0) > 0).nonzero(as_tuple=True)
    if len(rows) == 0:
        return None
    return (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)


@pytest.mark.parametrize("size", [(21, 26), (24, 19)])
@pytest.mark.parametrize("name", NETWORKS)
def test_box_is_the_support_of_the_gradient_everywhere(name, size):
    network = NETWORKS[name]()
    last = str(len(network) - 1)
    field = receptive_field(network, last)
    image = torch.rand(1, 3, *size, requires_grad=True)
    smooth = smooth_copy(network)
    height, width = field.map_size(size)
    assert (height, width) == tuple(network(image).shape[-2:])
    for i in range(height):
        for j in range(width):
            box = field.box(i, j, size)
            if box[2] > box[0] and box[3] > box[1]:
                assert box == gradient_box(smooth, image, i, j), (i, j)
            else:
                assert gradient_box(smooth, image, i, j) is None, (i, j)


def test_size_stride_offset_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.MaxPool2d(3, 2), nn.Conv2d(4, 4, 3, padding=1)
    )
    sizes = [receptive_field(network, layer) for layer in "012"]
    assert [(f.size, f.stride, f.offset) for f in sizes] == [(3, 2, 0), (7, 4, 0), (15, 4, -4)]
    flat = receptive_field(nn.Sequential(nn.Conv2d(3, 4, (1, 5), padding=(0, 2))), "0")
    assert flat.size == (1, 5) and flat.offset == (0, -2) and flat.stride == 1


def test_squeezenet_sizes_and_interior_box():
    from cnnlab.networks.models import load_model

    model = load_model(weights=None)
    layers = [
        "conv1",
        "pool1",
        "fire2",
        "fire3",
        "pool3",
        "fire4",
        "fire5",
        "pool5",
        "fire6",
        "fire7",
        "fire8",
        "fire9",
    ]
    sizes = [receptive_field(model, layer).size for layer in layers]
    assert sizes == [3, 7, 15, 23, 31, 47, 63, 79, 111, 143, 175, 207]
    field = receptive_field(model, "fire5/expand1x1")
    assert field.size == 47 and field.box(10, 12, 224) == (64, 80, 111, 127)


def test_whole_image_after_global_pooling_and_unknown_operations(tiny_cnn):
    field = receptive_field(tiny_cnn, "linear")
    assert field.size == float("inf") and field.box(0, 0, (20, 30)) == (0, 0, 20, 30)

    class Flipping(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(torch.roll(x, 1, 2))

    with pytest.raises(ValueError, match="roll"):
        receptive_field(Flipping(), "conv")
    with pytest.raises(ValueError, match="没有名为"):
        receptive_field(tiny_cnn, "conv9")
    with pytest.raises(ValueError, match="超出范围"):
        receptive_field(tiny_cnn, "conv1").box(40, 0, 32)


@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "vgg16",
        "resnet18",
        "googlenet",
        "densenet121",
        "mobilenet_v3_small",
        "shufflenet_v2_x0_5",
    ],
)
def test_plain_torchvision_networks_are_traced(name):
    torchvision = pytest.importorskip("torchvision")
    network = torchvision.models.get_model(name, weights=None).eval()
    layer = {
        "alexnet": "features.10",
        "vgg16": "features.28",
        "resnet18": "layer4",
        "googlenet": "inception3b",
    }
    layer |= {
        "densenet121": "features.denseblock2",
        "mobilenet_v3_small": "features.0",
        "shufflenet_v2_x0_5": "stage3",
    }
    expected = {"alexnet": 163, "vgg16": 196, "resnet18": 435, "mobilenet_v3_small": 3}
    field = receptive_field(network, layer[name], image_size=96)
    assert field.size == expected.get(name, field.size) and 0 < field.size < 2000
    with torch.no_grad():
        shape = torch.zeros(1, 3, 96, 96)
        from cnnlab.core.hooks import activations_of

        assert field.map_size(96) == tuple(
            activations_of(network, shape, layer[name])[layer[name]].shape[-2:]
        )


@pytest.fixture
def images():
    return torch.rand(21, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def all_maps(network, images, layer):
    from cnnlab.core.hooks import activations_of

    return activations_of(network, images, layer)[layer]


def test_streaming_equals_sorting_everything(tiny_cnn, images, assert_no_hooks):
    maps = all_maps(tiny_cnn, images, "relu2")
    patches = max_activating_patches(tiny_cnn, images, "relu2", k=5)
    expected = maps.flatten(2).amax(2).T.sort(dim=1, descending=True, stable=True)
    assert torch.allclose(patches.values, expected.values[:, :5])
    assert torch.equal(patches.image_index, expected.indices[:, :5])
    i, j = patches.positions.unbind(-1)
    channel = torch.arange(16)[:, None].expand(16, 5)
    assert torch.allclose(maps[patches.image_index, channel, i, j], patches.values)
    assert_no_hooks(tiny_cnn)


def test_several_per_image_equals_sorting_everything(tiny_cnn, images):
    maps = all_maps(tiny_cnn, images, "conv2")
    patches = max_activating_patches(
        tiny_cnn, images, "conv2", channels=[7, 2], k=12, one_per_image=False
    )
    flat = maps[:, [7, 2]].transpose(0, 1).flatten(1)
    expected = flat.sort(dim=1, descending=True, stable=True)
    assert torch.allclose(patches.values, expected.values[:, :12], atol=1e-6)
    cells = maps.shape[2] * maps.shape[3]
    found = (
        patches.image_index * cells
        + patches.positions[..., 0] * maps.shape[3]
        + patches.positions[..., 1]
    )
    assert torch.equal(found, expected.indices[:, :12]) and patches.channels == (7, 2)


def test_planted_maxima_one_per_image_or_not(linear_identity):
    images = torch.zeros(20, 3, 8, 8)
    images[4, 1, 2:7, 2:7] = 1
    images[:, 1, 0, 0] = torch.linspace(0.1, 0.5, 20)
    several = max_activating_patches(linear_identity, images, "conv", one_per_image=False)
    single = max_activating_patches(linear_identity, images, "conv")
    assert set(several.image_index.tolist()[0]) == {4}
    assert single.image_index.tolist() == [[4, 19, 18, 17, 16, 15, 14, 13, 12]]


def test_ties_go_to_the_earlier_image_then_the_earlier_position(linear_identity):
    images = torch.full((19, 3, 4, 4), 0.5)
    single = max_activating_patches(linear_identity, images, "conv", k=3)
    several = max_activating_patches(linear_identity, images, "conv", k=3, one_per_image=False)
    assert single.image_index.tolist() == [[0, 1, 2]] and single.positions[0, 0].tolist() == [0, 0]
    assert several.image_index.tolist() == [[0, 0, 0]] and several.positions[0].tolist() == [
        [0, 0],
        [0, 1],
        [0, 2],
    ]


@pytest.fixture
def linear_identity():
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 1, 1, bias=False))
    network.conv.weight.data = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    return network


def test_fewer_images_than_k_and_datasets(tiny_cnn, images):
    class Folder:
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            return images[index], 0

    assert max_activating_patches(tiny_cnn, images[:4], "relu1").values.shape == (8, 4)
    listed = max_activating_patches(tiny_cnn, Folder(), "relu1", k=3)
    whole = max_activating_patches(tiny_cnn, images, "relu1", k=3)
    assert torch.equal(listed.image_index, whole.image_index) and torch.equal(
        listed.crops, whole.crops
    )


def test_memory_does_not_grow_with_the_number_of_images(tiny_cnn):
    class Counted:
        """每张图用时才生成，数一数同时活着的有几张。"""

        alive = 0
        most = 0

        def __init__(self, count):
            self.count = count

        def __len__(self):
            return self.count

        def __getitem__(self, index):
            import weakref

            image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(index))
            Counted.alive += 1
            Counted.most = max(Counted.most, Counted.alive)
            weakref.finalize(image, Counted.release)
            return image

        @staticmethod
        def release():
            Counted.alive -= 1

    seen = []
    for count in (32, 160):
        Counted.most = 0
        max_activating_patches(tiny_cnn, Counted(count), "relu2", k=4)
        seen.append(Counted.most)
    assert seen[0] == seen[1] <= 17


def test_crops_are_the_boxes_with_grey_outside_the_image(tiny_cnn, images):
    patches = max_activating_patches(tiny_cnn, images, "relu2", k=6)
    size = patches.receptive.size
    assert patches.crops.shape == (16, 6, 3, size, size)
    for row in range(16):
        for rank in range(6):
            top, left, bottom, right = patches.boxes[row, rank].tolist()
            inside = images[patches.image_index[row, rank], :, top:bottom, left:right]
            crop = patches.crop(row, rank)
            first = [
                round(each)
                for each in patches.receptive.start(*patches.positions[row, rank].tolist())
            ]
            y, x = top - first[0], left - first[1]
            assert torch.equal(crop[:, y : y + bottom - top, x : x + right - left], inside)
            outside = torch.ones(size, size, dtype=torch.bool)
            outside[y : y + bottom - top, x : x + right - left] = False
            assert (crop[:, outside] == 0.5).all()
    assert patches.rows([5]).channels == (5,) and torch.equal(
        patches.rows([5]).values[0], patches.values[5]
    )


def test_layers_without_positions_show_the_whole_image(tiny_cnn, images):
    patches = max_activating_patches(tiny_cnn, images, "linear", channels=2, k=2)
    assert patches.boxes.tolist() == [[[0, 0, 16, 16]] * 2]
    assert torch.equal(patches.crop(0, 1), images[patches.image_index[0, 1]])


def test_middle_bottom_and_random_parts_of_the_ranking(tiny_cnn, images):
    maxima = all_maps(tiny_cnn, images, "relu2").flatten(2).amax(2)[:, 3]
    order = maxima.sort(descending=True, stable=True).indices
    parts = {
        part: ranked_patches(tiny_cnn, images, "relu2", 3, 5, part=part)
        for part in ("top", "middle", "bottom", "random")
    }
    assert torch.equal(parts["top"].image_index[0], order[:5])
    assert torch.equal(parts["middle"].image_index[0], order[8:13])
    assert torch.equal(parts["bottom"].image_index[0], order[-5:])
    assert torch.equal(
        parts["top"].boxes, max_activating_patches(tiny_cnn, images, "relu2", 3, 5).boxes
    )
    assert len(set(parts["random"].image_index[0].tolist())) == 5
    for part in parts.values():
        assert torch.allclose(part.values[0], maxima[part.image_index[0]])
    maxima_once = image_maxima(tiny_cnn, images, "relu2")
    again = ranked_patches(tiny_cnn, images, "relu2", 3, 5, part="middle", maxima=maxima_once)
    assert torch.equal(again.boxes, parts["middle"].boxes) and torch.allclose(
        again.values, parts["middle"].values
    )
    with pytest.raises(ValueError, match="part"):
        ranked_patches(tiny_cnn, images, "relu2", part="best")


def test_effective_field_lies_inside_the_box_and_grows_like_the_square_root_of_depth():
    def stack(depth):
        return nn.Sequential(
            *(nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(depth))
        ).requires_grad_(False)

    image, radius = torch.rand(2, 3, 65, 65), {}
    for depth in (4, 16):
        network = stack(depth)
        for parameter in network.parameters():
            parameter.fill_(1 / 27)
        influence = effective_receptive_field(network, image, str(depth - 1))
        top, left, bottom, right = receptive_field(network, str(depth - 1)).box(32, 32, 65)
        assert (
            abs(influence.sum() - 1) < 1e-4
            and abs(influence[top:bottom, left:right].sum() - 1) < 1e-4
        )
        radius[depth] = mass_pixels(influence) ** 0.5
    assert 1.7 < radius[16] / radius[4] < 2.3
    assert mass_pixels(torch.tensor([0.5, 0.3, 0.15, 0.05]), 0.9) == 3


def test_row_similarity_and_agreement_by_hand():
    stripes = torch.zeros(3, 8, 8)
    stripes[:, :, ::2] = 1
    noise = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(6))
    crops = torch.stack(
        [
            torch.stack([stripes, 0.5 * stripes, stripes]),
            torch.stack([stripes, 1 - stripes, stripes]),
            noise,
        ]
    )
    same, opposite, unrelated = row_similarity(crops).tolist()
    assert abs(same - 1) < 1e-5 and abs(opposite + 1 / 3) < 1e-5 and abs(unrelated) < 0.3
    labels = ["鱼", "鱼", "塔", "塔", "灯"]
    assert row_agreement(
        torch.tensor([[0, 1, 2], [0, 2, 4], [2, 3, 3]]), labels
    ).tolist() == pytest.approx([1 / 3, 0, 1])


def test_caller_state_is_untouched(tiny_cnn, images, assert_no_hooks):
    tiny_cnn.train()
    state = torch.get_rng_state()
    before = {name: value.clone() for name, value in tiny_cnn.state_dict().items()}
    max_activating_patches(tiny_cnn, images, "relu1", k=2)
    effective_receptive_field(tiny_cnn, images, "relu1")
    ranked_patches(tiny_cnn, images, "relu1", k=2, part="random")
    assert all(module.training for module in tiny_cnn.modules()) and torch.equal(
        state, torch.get_rng_state()
    )
    assert all(torch.equal(before[name], value) for name, value in tiny_cnn.state_dict().items())
    assert images.grad is None and not images.requires_grad
    assert_no_hooks(tiny_cnn)


def test_bad_input(tiny_cnn, images):
    for arguments, message in [
        ((images, "relu1", [99]), "没有通道"),
        ((images, "relu9"), "没有名为"),
        ((images * 300, "relu1"), "0, 1"),
        (([images[0], images[0, :, :8]], "relu1"), "大小不一"),
        ((images, "relu1", None, 0), "不小于 1"),
        ((images[:0], "relu1"), "一张图也没有"),
    ]:
        with pytest.raises(ValueError, match=message):
            max_activating_patches(tiny_cnn, *arguments)
    with pytest.raises(TypeError, match="数据集"):
        max_activating_patches(tiny_cnn, iter(images), "relu1")
    with pytest.raises(ValueError, match="全为 0"):
        dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
        dead[0].bias.data.fill_(-100)
        effective_receptive_field(dead, images, "1")
