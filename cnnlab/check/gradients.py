"""像素梯度的两种算法，供练习的参考与错法用：自动求导，与逐个像素的差分。

不是练习；书里的写法在 cnnlab.gradients。
"""

import torch


def class_scores(model, image, target):
    return model(image).gather(1, target[:, None])[:, 0]


def class_probabilities(model, image, target):
    return class_scores(lambda x: model(x).softmax(1), image, target)


def gradient_of(function, place):
    """function 的值（不止一个数时是它们的和）在 place 处的梯度，由自动求导。"""
    leaf = place.detach().clone().requires_grad_()
    return torch.autograd.grad(function(leaf).sum(), leaf)[0]


def central_differences(function, place, step=1e-6):
    """同一个梯度，逐个数做中心差分；function 的值是一个数。"""
    moves = step * torch.eye(place.numel(), dtype=place.dtype).view(-1, *place.shape)
    with torch.no_grad():
        changes = [function(place + move) - function(place - move) for move in moves]
    return torch.stack(changes).view_as(place) / (2 * step)


def pixel_gradient(image, target, model, pick=class_scores):
    return gradient_of(lambda leaf: pick(model, leaf, target), image)


def pixel_differences(image, target, model, step=1e-6):
    """逐个像素的中心差分，每张图一批。"""
    found = torch.zeros_like(image)
    for n in range(len(image)):
        moves = step * torch.eye(image[n].numel(), dtype=image.dtype).view(-1, *image.shape[1:])
        with torch.no_grad():
            change = model(image[n] + moves) - model(image[n] - moves)
        found[n] = (change[:, target[n]] / (2 * step)).view_as(image[n])
    return found


BROKEN = (
    "计算图断了：这个数要拿去求导，梯度得流回输入；别用 detach、item、float 或 no_grad。",
    "损失在优化的循环里用：断了图，图像就一步也走不动。",
    "全程用张量运算；需要固定的只有目标，不是正在变的那一个。",
)


def _gradient_flows(call, first, *rest):
    """对第一个实参求导求得出来，不全为零，与差分一致（只断了一部分的也看得出）；转成 NumPy 的也算断了图。"""
    many = isinstance(first, list)
    parts = [part.detach().clone().requires_grad_() for part in (first if many else [first])]

    def made_of(given):
        made = call(given if many else given[0], *rest)
        return list(made) if isinstance(made, (tuple, list)) else [made]

    def size(made):
        return sum(part.square().sum() for part in made)

    try:
        made = made_of(parts)
    except Exception as error:
        if "numpy() on Tensor" in str(error.__cause__):
            return False
        raise
    if not all(isinstance(part, torch.Tensor) and part.requires_grad for part in made):
        return False
    gradients = torch.autograd.grad(size(made), parts)
    if not all(bool((gradient != 0).any()) for gradient in gradients):
        return False
    length = sum(gradient.square().sum() for gradient in gradients).sqrt()
    moves = [1e-4 * gradient / length for gradient in gradients]
    ahead, behind = (
        size(
            made_of([part.detach() + sign * move for part, move in zip(parts, moves, strict=True)])
        )
        for sign in (1, -1)
    )
    return bool(torch.isclose((ahead - behind) / 2e-4, length, rtol=0.02))


# 一条法则：第一个实参的梯度流得过去
FLOWING = (_gradient_flows, *BROKEN)
