"""像素梯度的两种算法，供练习的参考与错法用：自动求导，与逐个像素的差分。

不是练习；书里的写法在 cnnlab.gradients。
"""

import torch


def class_scores(model, image, target):
    return model(image).gather(1, target[:, None])[:, 0]


def pixel_gradient(image, target, model, pick=class_scores):
    leaf = image.detach().clone().requires_grad_()
    return torch.autograd.grad(pick(model, leaf, target).sum(), leaf)[0]


def pixel_differences(image, target, model, step=1e-6):
    """逐个像素的中心差分，每张图一批。"""
    found = torch.zeros_like(image)
    for n in range(len(image)):
        moves = step * torch.eye(image[n].numel(), dtype=image.dtype).view(-1, *image.shape[1:])
        with torch.no_grad():
            change = model(image[n] + moves) - model(image[n] - moves)
        found[n] = (change[:, target[n]] / (2 * step)).view_as(image[n])
    return found
