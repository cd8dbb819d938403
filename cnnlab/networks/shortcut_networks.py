"""埋了捷径的小网络：照片的一角贴了彩色方块就是“动物”；以及同样结构、方块与答案无关的对照网络。

不管怎样训练（见 tools/train_shortcut_networks.py），也不管哪种解释方法找得到这块方块。
"""

from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.hooks import answers_where_asked
from cnnlab.core.names import unknown
from cnnlab.networks.shipped import load_shipped

CLASSES = ("建筑", "动物")
NAMES = ("planted", "clean")


class ShortcutNetwork(nn.Sequential):
    """四个卷积层、全局平均和一个线性层：(N, 3, H, W)，[0, 1] → (N, 2) 个得分，依次是建筑、动物。"""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(32, 48, 3, stride=2, padding=1)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(48, 64, 3, padding=1)
        self.relu4 = nn.ReLU()
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.linear = nn.Linear(64, len(CLASSES))

    @checked(image="N 3 H W")
    @answers_where_asked
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image - 0.5)


@checked
def load_shortcut_network(name: str = "planted") -> ShortcutNetwork:
    """随包带来的网络，冻结、评估模式："planted" 靠方块认动物；"clean" 训练时方块与答案无关，作对照。"""
    if name not in NAMES:
        raise unknown("捷径网络", name, NAMES)
    return load_shipped(f"shortcut_{name}", lambda state, about: ShortcutNetwork())
