"""刁难用的网络和调用：几种不守规矩的网络，和每个以模型为第一个参数的公开函数的一次小调用。"""

import torch
import torchvision
from torch import nn
from torch.nn import functional

import cnnlab
from cnnlab.engine.ascent import Ascent


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


def grey(image):
    """图的明暗当作一张显著图；不是图时原样给出。"""
    usable = isinstance(image, torch.Tensor) and image.is_floating_point() and image.dim() == 4
    return image.detach().mean(1) if usable else image


QUICK = Ascent(robust=False)
# 名字 -> 以 (模型, 图, 目标, 层, 通道) 调用一次
CALLS = {
    "saliency_map": lambda m, x, t, a, c: cnnlab.saliency_map(m, x, t),
    "smooth_grad": lambda m, x, t, a, c: cnnlab.smooth_grad(m, x, t, samples=2),
    "integrated_gradients": lambda m, x, t, a, c: cnnlab.integrated_gradients(m, x, t, steps=2),
    "gradient_times_input": lambda m, x, t, a, c: cnnlab.gradient_times_input(m, x, t),
    "guided_gradient": lambda m, x, t, a, c: cnnlab.guided_gradient(m, x, target=t),
    "deconvnet_gradient": lambda m, x, t, a, c: cnnlab.deconvnet_gradient(m, x, layer=a, channel=c),
    "grad_cam": lambda m, x, t, a, c: cnnlab.grad_cam(m, x, t, a),
    "class_activation_map": lambda m, x, t, a, c: cnnlab.class_activation_map(m, x, t),
    "occlusion_map": lambda m, x, t, a, c: cnnlab.occlusion_map(m, x, t, window=24, stride=24),
    "deletion_curve": lambda m, x, t, a, c: cnnlab.deletion_curve(m, x, t, grey(x), steps=2),
    "insertion_curve": lambda m, x, t, a, c: cnnlab.insertion_curve(m, x, t, grey(x), steps=2),
    "adversarial_step": lambda m, x, t, a, c: cnnlab.adversarial_step(m, x, t),
    "fooling_image": lambda m, x, t, a, c: cnnlab.fooling_image(m, x, t, steps=1),
    "activations_of": lambda m, x, t, a, c: cnnlab.activations_of(m, x, a),
    "extract_features": lambda m, x, t, a, c: cnnlab.extract_features(m, x, a),
    "max_activating_patches": lambda m, x, t, a, c: cnnlab.max_activating_patches(m, x, a, c, k=1),
    "image_maxima": lambda m, x, t, a, c: cnnlab.image_maxima(m, x, a, c),
    "receptive_field": lambda m, x, t, a, c: cnnlab.receptive_field(m, a, image_size=48),
    "effective_receptive_field": lambda m, x, t, a, c: cnnlab.effective_receptive_field(m, x, a),
    "dream": lambda m, x, t, a, c: cnnlab.dream(m, x, a, octaves=1, steps=1),
    "invert_features": lambda m, x, t, a, c: cnnlab.invert_features(m, x, a, steps=1),
    "class_image": lambda m, x, t, a, c: cnnlab.class_image(m, t, size=48, steps=1, settings=QUICK),
    "channel_image": lambda m, x, t, a, c: cnnlab.channel_image(m, a, c, size=48, steps=1, settings=QUICK),
    "class_scores": lambda m, x, t, a, c: cnnlab.class_scores(m, x, t),
    "score_gradient": lambda m, x, t, a, c: cnnlab.score_gradient(m, x, t),
    "class_ranks": lambda m, x, t, a, c: cnnlab.class_ranks(m, x, t),
    "doctor": lambda m, x, t, a, c: cnnlab.doctor.doctor(m, x),
}  # fmt: skip


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
