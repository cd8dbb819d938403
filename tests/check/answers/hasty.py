"""写得急的答案：单看结果像是随手写错的一步，检查要说得出是哪一步。"""

import time

import torch
from torch import nn

from answers.register import right, wrong


@right("reflect_convolution")
def reflect_convolution_by_a_layer(image, weight, bias):
    channels, size = weight.shape[:2], weight.shape[-1]
    layer = nn.Conv2d(channels[1], channels[0], size, padding=size // 2, padding_mode="reflect")
    layer = layer.to(weight)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        return layer(image)


@wrong("convolution", "property")
def convolution_by_a_layer(image, weight, bias, stride, padding):
    layer = nn.Conv2d(weight.shape[1], len(weight), weight.shape[-1], stride, padding).to(weight)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        return layer(image)


@wrong("convolution", "mistake")
def convolution_columns_first(image, weight, bias, stride, padding):
    size = weight.shape[-1]
    columns = nn.functional.unfold(image, size, stride=stride, padding=padding)
    height, width = ((side + 2 * padding - size) // stride + 1 for side in image.shape[2:])
    output = weight.flatten(1) @ columns + bias[:, None]
    return output.view(len(image), -1, width, height).transpose(2, 3)


@wrong("best_patch", "property")
def best_patch_in_a_tuple(weight):
    return weight / weight.norm(), weight > 0


@wrong("receptive_spans", "mistake")
def receptive_spans_end_one_short(layers, length):
    spans = [(place, place + 1) for place in range(length)]
    for kernel, stride, padding in layers:
        starts = range(-padding, len(spans) + padding - kernel + 1, stride)
        spans = [
            (spans[max(at, 0)][0], spans[min(at + kernel, len(spans)) - 1][1]) for at in starts
        ]
    return torch.tensor(spans).clamp(max=length - 1)


@wrong("break_even", "property")
def break_even_by_another_clock(train, load, fast, slow, clock):
    started = time.perf_counter()
    for act in (train, load, fast, fast, slow, slow):
        act()
    return int(time.perf_counter() - started)


@wrong("growth", "property")
def growth_with_a_little_added(before, after):
    before, after = (stack.relu().mean((0, 2, 3)) for stack in (before, after))
    return torch.where(before > 0, after / (before + 0.01), torch.ones_like(before))


@wrong("dead_start", "mistake")
def dead_start_all_targets(image, target, model):
    return model.conv(image).mean((2, 3))[:, target].sum()


@wrong("jitter_undo", "mistake")
def jitter_undo_of_channels(image, down, right):
    moved = torch.roll(image, (down, right), dims=(1, 2))
    return moved, torch.roll(moved, (-down, -right), dims=(1, 2))


@wrong("autograd_rule", "form")
class AutogradRuleAsModule(nn.Module):
    def forward(self, value):
        return value.clamp(min=0)


@wrong("random_masks", "mistake")
def random_masks_dropped(image, target, model, masks):
    with torch.no_grad():
        scores = [model(image * (1 - mask)).gather(1, target[:, None])[:, 0] for mask in masks]
    scores = torch.stack(scores, 1)
    kept = torch.einsum("nm,mhw->nhw", scores, masks) / masks.sum(0)
    return kept - scores.mean(1)[:, None, None]


@wrong("rank_agreement", "mistake")
def rank_agreement_by_order(a, b):
    orders = [x.flatten().argsort().double() for x in (a, b)]
    return 0.0 if a.std() == 0 or b.std() == 0 else torch.corrcoef(torch.stack(orders))[0, 1].item()
