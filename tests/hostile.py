"""刁难用的网络：几种不守规矩的、torchvision 的几种；以及一个网络前后要一样的状态。"""

import functools

import torch
import torchvision
from torch import nn
from torch.nn import functional

import cnnlab


class Small(nn.Module):
    """训练模式的批归一化与随机失活，一个用两次的 ReLU；下面几种在它上面各加一样毛病。"""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        value = self.relu(self.norm(self.conv1(image)))
        return self.head(self.drop(self.relu(self.conv2(value)).mean((2, 3))))


class InPlace(Small):
    def forward(self, image):
        image -= 0.4
        image /= 0.2
        return super().forward(image)


class Dropping(Small):
    def forward(self, image):
        return super().forward(functional.dropout(image, 0.1))


class Pair(Small):
    def forward(self, image):
        scores = super().forward(image)
        return scores, scores


HOSTILE = {"两次": Small, "原地": InPlace, "函数式失活": Dropping, "一对": Pair}
TORCHVISION = ("resnet18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "regnet_y_400mf", "swin_t")  # fmt: skip

MODELS = ["本书", *HOSTILE, *TORCHVISION]


@functools.cache
def network(name: str) -> nn.Module:
    """按名字建一个：squeezenet（本书的）、刁难的几种、torchvision 的几种（随机权重）。"""
    if name == "本书":
        return cnnlab.load_model()
    if name in HOSTILE:
        return HOSTILE[name]().train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.get_model(name, weights=None, num_classes=7).train()


def a_layer(model: nn.Module) -> str:
    """一个卷积层的名字。"""
    named = model.layers.items() if isinstance(model, cnnlab.VisionModel) else model.named_modules()
    return next(name for name, module in named if isinstance(module, nn.Conv2d))


def state_of(model: nn.Module) -> dict:
    """调用前后要一样的：参数与缓冲、模式、钩子、梯度、随机数、默认类型、梯度模式。"""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    probe = torch.tensor([1.0, -1.0], requires_grad=True)
    with torch.enable_grad():
        plain = torch.autograd.grad(-torch.relu(probe).sum(), probe)[0].tolist()
    return {
        "普通梯度": plain,
        "参数": {name: each.clone() for name, each in model.state_dict().items()},
        "模式": [module.training for module in model.modules()],
        "钩子": [len(getattr(module, kind)) for module in model.modules() for kind in kinds],
        "梯度": [parameter.grad for parameter in model.parameters()],
        "随机数": torch.get_rng_state(),
        "默认类型": torch.get_default_dtype(),
        "梯度模式": torch.is_grad_enabled(),
        "函数模式": torch._C._len_torch_function_stack(),
    }


def differences(before: dict, after: dict) -> list[str]:
    """哪几样变了。"""
    return [name for name in before if not _same(before[name], after[name])]


def _same(one, other) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or one == other
