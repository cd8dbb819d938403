"""ReLU 的回传规则的几种写法，供练习的参考与错法用：autograd 函数、换模块、一层一层手写。

不是练习；书里的写法在 cnnlab.hooks。
"""

import torch
from torch import nn
from torch.nn import functional

from cnnlab.check.gradients import class_scores, pixel_gradient


def rule_function(before=lambda v: v.clamp_min(0), after=lambda v, g: g.clamp_min(0) * (v > 0)):
    """前向、反向各按给的写法做的 autograd 函数；不给就是对的。"""

    def forward(context, value):
        context.save_for_backward(value)
        return before(value)

    def backward(context, gradient):
        return after(context.saved_tensors[0], gradient)

    parts = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Function", (torch.autograd.Function,), parts)


class RuledReLU(nn.Module):
    def __init__(self, function=None):
        super().__init__()
        self.function = function or rule_function()

    def forward(self, value):
        return self.function.apply(value)


def swapping(
    image,
    target,
    model,
    *,
    names=("relu1", "relu2"),
    function=None,
    restore=True,
    safely=True,
    pick=class_scores,
):
    kept = {name: getattr(model, name) for name in names}
    for name in names:
        setattr(model, name, RuledReLU(function))
    restored = False
    try:
        found = pixel_gradient(image, target, model, pick)
        restored = True
    finally:
        if (restored or safely) and restore:
            for name, module in kept.items():
                setattr(model, name, module)
    return found


def swapping_all(image, target, model):
    """换掉真网络里每一个 ReLU，套在多深都换。"""
    parts = dict(model.named_modules())
    names = [name for name, part in parts.items() if isinstance(part, nn.ReLU)]
    for name in names:
        model.set_submodule(name, RuledReLU())
    try:
        return pixel_gradient(image, target, model)
    finally:
        for name in names:
            model.set_submodule(name, parts[name])


def by_hand(image, target, model):
    """TinyNet 的反向一层一层手写：线性、平均、两道 ReLU、两个卷积。"""
    first = functional.conv2d(image, model.conv1.weight, model.conv1.bias, padding=1)
    second = functional.conv2d(first.clamp_min(0), model.conv2.weight, model.conv2.bias, stride=2)
    back = (model.linear.weight[target] / second[0, 0].numel())[:, :, None, None].expand_as(second)
    back = torch.where((back > 0) & (second > 0), back, 0.0)
    back = torch.nn.grad.conv2d_input(first.shape, model.conv2.weight, back, stride=2)
    back = torch.where((back > 0) & (first > 0), back, 0.0)
    return torch.nn.grad.conv2d_input(image.shape, model.conv1.weight, back, padding=1).detach()
