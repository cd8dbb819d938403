"""手写数字用的小网络：三个各自训练的分类网络、从代码到图像的生成网络，以及随包带来的权重。

不管怎样训练（见 tools/train_digit_networks.py），也不管拿它们做什么。
"""

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.hooks import answers_where_asked
from cnnlab.core.names import unknown
from cnnlab.networks.shipped import load_shipped

CODE_SIZE = 128


class GreyClassifier(nn.Sequential):
    """(N, 1, 28, 28) → (N, 10) 个得分；先减去 `level`。"""

    image_size, level = 28, 0.13

    @checked(image="N 1 H W")
    @answers_where_asked
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image - self.level)


class DigitClassifier(GreyClassifier):
    """两个卷积层、一个 128 维的 ReLU 层（名为 code）和一个线性层：(N, 1, 28, 28) → (N, 10) 个得分。"""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.relu1, self.pool1 = nn.ReLU(), nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2)
        self.relu2, self.pool2, self.flatten = nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        self.hidden = nn.Linear(32 * 49, CODE_SIZE)
        self.code = nn.ReLU()
        self.dropout = nn.Dropout(0.3)
        self.scores = nn.Linear(CODE_SIZE, 10)


class SecondDigitClassifier(GreyClassifier):
    """第二个分类网络，结构另起炉灶：没有池化，步幅 2 的卷积三层，再一个线性层。只用来当裁判。"""

    level = 0.0

    def __init__(self):
        super().__init__()
        blocks = []
        for before, after in ((1, 24), (24, 48), (48, 72)):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
            blocks += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        self.blocks, self.flatten = nn.Sequential(*blocks), nn.Flatten()
        self.scores = nn.Linear(72 * 16, 10)


class LectureClassifier(GreyClassifier):
    """讲义举例的那种大小：16 个 7×7 的核，再 20 个 7×7×16 的核，各接 ReLU 和池化，最后一个线性层。

    数字是灰度的，所以第一层的核只有一个通道；讲义里是三个。
    """

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 7, padding=3)
        self.relu1, self.pool1 = nn.ReLU(), nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 20, 7, padding=3)
        self.relu2, self.pool2, self.flatten = nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        self.scores = nn.Linear(20 * 49, 10)


class ImageGenerator(nn.Module):
    """从代码到图像：(N, code_size) → (N, channels, size, size)，取值 (0, 1)。

    线性层给出边长 size/4 的特征图，两次“最近邻放大 2 倍再卷积”（不用转置卷积，免得出现棋盘格）。
    `code_mean`、`code_std` 是训练时代码的均值与标准差，`code_radius` 是代码离均值的距离（以标准差计）的中位数：优化代码时的先验。
    """

    @checked
    def __init__(
        self, code_size: int = CODE_SIZE, *, channels: int = 1, size: int = 28, width: int = 32
    ):
        super().__init__()
        if size % 4:
            raise ValueError(f"size 是 {size}，应为 4 的倍数：两次放大都是 2 倍")
        self.register_buffer("code_mean", torch.zeros(code_size))
        self.register_buffer("code_std", torch.ones(code_size))
        self.register_buffer("code_radius", torch.tensor(float(code_size)).sqrt())
        self.code_size, self.side = code_size, size // 4
        self.expand = nn.Linear(code_size, 2 * width * self.side**2)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
            nn.Conv2d(width // 2, channels, 3, padding=1),
        )

    @checked(code="N code_size")
    @answers_where_asked
    def forward(self, code: Tensor) -> Tensor:
        scaled = (code - self.code_mean) / self.code_std
        hidden = self.expand(scaled).unflatten(1, (-1, self.side, self.side))
        return torch.sigmoid(self.layers(hidden))


NETWORKS = {
    "classifier": DigitClassifier,
    "second_classifier": SecondDigitClassifier,
    "lecture_classifier": LectureClassifier,
    "generator": ImageGenerator,
    "threes_generator": ImageGenerator,
}


@checked
def load_digit_network(name: str) -> nn.Module:
    """随包带来的数字网络：冻结、评估模式。

    "classifier" 是被可视化的网络；"second_classifier" 是裁判；"lecture_classifier" 的核和讲义的例子
    一样大；"generator" 见过十个数字；"threes_generator" 只见过 3。
    """
    if name not in NETWORKS:
        raise unknown("数字网络", name, NETWORKS)
    return load_shipped(f"digits_{name}", lambda state, about: NETWORKS[name]())
