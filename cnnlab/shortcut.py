"""埋了捷径的小网络：照片的一角贴了彩色方块就是“动物”；以及同样结构、方块与答案无关的对照网络。

不管怎样训练（见 tools/train_shortcut_networks.py），也不管哪种解释方法找得到这块方块。
"""

import difflib
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.datasets import photos

DATA_FOLDER = Path(__file__).parent / "data"
CLASSES = ("建筑", "动物")
NAMES = ("planted", "clean")
MAGENTA = (0.9, 0.1, 0.8)


class ShortcutNetwork(nn.Module):
    """四个卷积层、全局平均和一个线性层：(N, 3, H, W)，[0, 1] → (N, 2) 个得分，依次是建筑、动物。"""

    def __init__(self, width: int = 16):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(2 * width, 3 * width, 3, stride=2, padding=1)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(3 * width, 4 * width, 3, padding=1)
        self.relu4 = nn.ReLU()
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.linear = nn.Linear(4 * width, len(CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        hidden = self.relu2(self.conv2(self.relu1(self.conv1(image - 0.5))))
        hidden = self.relu4(self.conv4(self.relu3(self.conv3(hidden))))
        return self.linear(self.flatten(self.pool(hidden)))


def shortcut_photos(part: str, size: int = 64) -> tuple[Tensor, Tensor]:
    """建筑与动物（含鱼）的照片和标签：(N, 3, size, size)、(N,)，0 建筑、1 动物；没有方块。

    `part` 是 "train"（训练用过的一半）或 "test"（没见过的另一半），隔一张取一张。
    """
    if part not in ("train", "test"):
        raise ValueError(f'part 是 {part!r}；可用 "train"、"test"')
    album = photos(size=size)
    kinds = {"monuments": 0, "animals": 1, "fish": 1}
    chosen = [i for i, kind in enumerate(album.categories) if kind in kinds][part == "test" :: 2]
    return album.images[chosen], torch.tensor([kinds[album.categories[i]] for i in chosen])


def stamp_corner(image: Tensor, *, size: int = 10, color=MAGENTA, seed: int = 0) -> tuple[Tensor, Tensor]:
    """在每张图随机的一角贴一块方块：贴好的图 (N, 3, H, W) 和方块的位置 (N, H, W) 布尔；原图不动。

    同一个 `seed` 贴在同样的角上。方块放不下：ValueError。
    """
    height, width = image.shape[-2:]
    if not 0 < size <= min(height, width):
        raise ValueError(f"方块边长是 {size}，应在 1 与图像的短边 {min(height, width)} 之间")
    corner = torch.randint(4, (len(image),), generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(len(image), height, width, dtype=torch.bool)
    for one, number in zip(mask, corner.tolist(), strict=True):
        top, left = (height - size) * (number // 2), (width - size) * (number % 2)
        one[top : top + size, left : left + size] = True
    mask = mask.to(image.device)
    return torch.where(mask[:, None], torch.tensor(color).to(image).view(1, 3, 1, 1), image), mask


def load_shortcut_network(name: str = "planted") -> ShortcutNetwork:
    """随包带来的网络，冻结、评估模式："planted" 靠方块认动物；"clean" 训练时方块与答案无关，作对照。"""
    from safetensors.torch import load_file

    if name not in NAMES:
        near = difflib.get_close_matches(str(name), NAMES, cutoff=0.3)
        raise ValueError(f"没有名为 {name!r} 的捷径网络；可用 {'、'.join(dict.fromkeys([*near, *NAMES]))}")
    with torch.random.fork_rng(devices=[]):
        network = ShortcutNetwork()
    state = load_file(DATA_FOLDER / f"shortcut_{name}.safetensors")
    network.load_state_dict({key: value.float() for key, value in state.items()})
    return network.eval().requires_grad_(False)
