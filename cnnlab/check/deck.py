"""找错的一叠牌：一道练习的正确写法，和四处改动，每处改出一种常见的错法。

只有源码和改动；发牌与判卷归 spotting。每处改动是 (原来的文字, 换成的文字)。
"""

import torch
from torch.nn import functional


def my_finite_difference(function, image, position, step):
    ahead, behind = image.clone(), image.clone()
    ahead[position] += step
    behind[position] -= step
    return float(function(ahead) - function(behind)) / (2 * step)


def my_convolution(image, weight, bias, stride, padding):
    size = weight.shape[-1]
    columns = functional.unfold(image, size, padding=padding, stride=stride)
    result = weight.flatten(1) @ columns + bias[:, None]
    height = (image.shape[2] + 2 * padding - size) // stride + 1
    return result.unflatten(2, (height, -1))


def my_composed_kernel(first, second):
    k, m = first.shape[-1], second.shape[-1]
    result = first.new_zeros(len(second), first.shape[1], k + m - 1, k + m - 1)
    for i in range(m):
        for j in range(m):
            moved = torch.einsum("oc,cihw->oihw", second[:, :, i, j], first)
            result[:, :, i : i + k, j : j + k] += moved
    return result


def my_tiles(activation):
    low = activation.amin((1, 2), keepdim=True)
    high = activation.amax((1, 2), keepdim=True)
    span = high - low
    each = (activation - low) / torch.where(span > 0, span, 1)
    positive = activation.clamp(min=0)
    top = positive.max()
    common = positive / top if top > 0 else positive
    silent = high.flatten() <= 0
    return each, common, silent


def my_receptive_size(layers):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    return size, jump, start


def my_squared_distances(query, gallery):
    own = query.square().sum(1)[:, None]
    other = gallery.square().sum(1)[None, :]
    distances = own + other - 2 * query @ gallery.T
    return distances.clamp(min=0)


def my_purity(x, labels, k):
    distances = torch.cdist(x, x)
    distances.fill_diagonal_(torch.inf)
    nearest = distances.topk(k, largest=False).indices
    alike = labels[nearest] == labels[:, None]
    return float(alike.double().mean())


def my_occlusion_map(image, target, model, window, stride):
    def starts(length):
        places = list(range(0, length - window, stride))
        return [*places, length - window]

    color = image.mean((2, 3), keepdim=True)
    rows, columns = starts(image.shape[2]), starts(image.shape[3])
    drop = image.new_zeros(len(image), len(rows), len(columns))
    with torch.no_grad():
        before = model(image).gather(1, target[:, None])[:, 0]
        for i, top in enumerate(rows):
            for j, left in enumerate(columns):
                covered = image.clone()
                covered[:, :, top : top + window, left : left + window] = color
                after = model(covered).gather(1, target[:, None])[:, 0]
                drop[:, i, j] = before - after
    return drop


def my_saliency(image, target, model):
    leaf = image.detach().clone().requires_grad_()
    scores = model(leaf).gather(1, target[:, None])
    gradient = torch.autograd.grad(scores.sum(), leaf)[0]
    return gradient.abs().amax(dim=1)


def my_relu_rules(value, gradient):
    plain = gradient * (value > 0)
    deconvolution = gradient.clamp(min=0)
    guided = deconvolution * (value > 0)
    return torch.stack([plain, deconvolution, guided])


def my_deletion(image, target, model, heat, steps):
    color = image.mean((2, 3), keepdim=True).flatten(2)
    order = heat.flatten(1).argsort(dim=1, descending=True)
    count = order.shape[1]
    scores = []
    for k in range(steps + 1):
        covered = image.flatten(2).clone()
        for n in range(len(image)):
            covered[n][:, order[n, : round(k * count / steps)]] = color[n]
        with torch.no_grad():
            found = model(covered.view_as(image))
        scores.append(found.gather(1, target[:, None])[:, 0])
    return torch.stack(scores, dim=1)


def my_ascent_step(image, target, model, rate, decay):
    leaf = image.detach().clone().requires_grad_()
    scores = model(leaf).gather(1, target[:, None])
    gradient = torch.autograd.grad(scores.sum(), leaf)[0]
    direction = gradient - decay * (image - 0.5)
    length = direction.flatten(1).norm(dim=1)[:, None, None, None]
    return image + rate * direction / length


def my_dream_step(image, gradient, size):
    typical = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
    return (image + size * gradient / typical).clamp(0, 1)


def my_variation(image):
    down = image[..., 1:, :] - image[..., :-1, :]
    right = image[..., 1:] - image[..., :-1]
    return down.square().sum((1, 2, 3)) + right.square().sum((1, 2, 3))


def my_gram(features):
    rows = features.flatten(2)
    return rows @ rows.transpose(1, 2) / features[0].numel()


def my_content_loss(features, target, weight):
    distance = (features - target).square().flatten(1).sum(1)
    size = target.square().flatten(1).sum(1)
    return weight * (distance / size).sum()


def my_adain(content, style):
    mean = content.mean((2, 3), keepdim=True)
    new_mean = style.mean((2, 3), keepdim=True)
    deviation = (content.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    new_deviation = (style.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    return (content - mean) / deviation * new_deviation + new_mean


CARDS = {
    "getting_started-3": (
        my_finite_difference,
        ("    behind[position] -= step\n", ""),
        ("/ (2 * step)", "/ step"),
        ("(ahead) - function(behind)", "(behind) - function(ahead)"),
        ("image.clone(), image.clone()", "image, image.clone()"),
    ),
    "first_layer-2": (
        my_convolution,
        (" + bias[:, None]", ""),
        ("weight.flatten(1)", "weight.flip(2, 3).flatten(1)"),
        ("weight.flatten(1)", "weight.transpose(2, 3).flatten(1)"),
        ("bias[:, None]", "bias.sum()"),
    ),
    "middle_layers-3": (
        my_composed_kernel,
        ("second[:, :, i, j]", "second.flip(2, 3)[:, :, i, j]"),
        (", first)", ", first.flip(2, 3))"),
        ("return result", "return result / first.shape[0]"),
        ("second[:, :, i, j], first", "second[:, :1, i, j], first[:1]"),
    ),
    "activation_maps-3": (
        my_tiles,
        ("torch.where(span > 0, span, 1)", "span"),
        ("positive / top if top > 0 else positive", "each.clone()"),
        ("positive = activation.clamp(min=0)", "positive = activation.abs()"),
        ("high.flatten() <= 0", "high.flatten() < 0"),
    ),
    "patches-1": (
        my_receptive_size,
        ("jump *= stride", "jump += stride"),
        ("(kernel - 1) * jump", "kernel * jump"),
        ("start -= padding * jump", "start -= padding"),
        ("(kernel - 1) * jump", "kernel - 1"),
    ),
    "neighbors-2": (
        my_squared_distances,
        ("own + other - 2 * query", "own + other - query"),
        ("own + other - 2", "own - 2"),
        ("distances.clamp(min=0)", "distances.clamp(min=0).sqrt()"),
        ("distances.clamp(min=0)", "distances"),
    ),
    "embedding-3": (
        my_purity,
        ("    distances.fill_diagonal_(torch.inf)\n", ""),
        ("topk(k,", "topk(1,"),
        ("torch.cdist(x, x)", "torch.cdist(x[:, :1], x[:, :1])"),
        ("alike.double().mean()", "alike.double().sum(1).mean()"),
    ),
    "occlusion-2": (
        my_occlusion_map,
        ("covered = image.clone()", "covered = image"),
        ("mean((2, 3), keepdim=True)", "mean((0, 2, 3), keepdim=True)"),
        ("before - after", "after - before"),
        (").gather(1", ").softmax(1).gather(1"),
    ),
    "saliency-1": (
        my_saliency,
        (".abs().amax(dim=1)", ".abs().sum(dim=1)"),
        (".abs().amax(dim=1)", ".amax(dim=1).abs()"),
        ("model(leaf).gather", "model(leaf).softmax(1).gather"),
        ("scores.sum()", "scores.mean()"),
    ),
    "guided_backprop-1": (
        my_relu_rules,
        ("guided = deconvolution * (value > 0)", "guided = gradient * (value > 0)"),
        ("value > 0", "value >= 0"),
        ("deconvolution * (value > 0)", "deconvolution"),
        ("[plain, deconvolution, guided]", "[deconvolution, plain, guided]"),
    ),
    "faithfulness-4": (
        my_deletion,
        ("descending=True", "descending=False"),
        (
            "mean((2, 3), keepdim=True)",
            "mean((0, 2, 3), keepdim=True).expand(len(image), -1, 1, 1)",
        ),
        ("model(covered.view_as(image))", "model(covered.view_as(image)).softmax(1)"),
        ("= color[n]", "= 0"),
    ),
    "gradient_ascent-1": (
        my_ascent_step,
        ("image + rate", "image - rate"),
        ("gradient - decay", "gradient + decay"),
        ("(image - 0.5)", "image"),
        ("direction.flatten(1).norm(dim=1)[:, None, None, None]", "direction.norm()"),
    ),
    "deepdream-2": (
        my_dream_step,
        ("gradient.abs().mean(", "gradient.mean("),
        ("dim=(1, 2, 3)", "dim=(0, 1, 2, 3)"),
        ("image + size", "image - size"),
        ("dim=(1, 2, 3)", "dim=(2, 3)"),
    ),
    "inversion-2": (
        my_variation,
        ("down.square().sum((1, 2, 3)) + ", ""),
        (".square()", ".abs()"),
        (".sum((1, 2, 3))", ".mean((1, 2, 3))"),
        (" + right.square().sum((1, 2, 3))", ""),
    ),
    "texture-1": (
        my_gram,
        ("rows @ rows.transpose(1, 2)", "rows.transpose(1, 2) @ rows"),
        ("features[0].numel()", "features.numel()"),
        ("features[0].numel()", "rows.shape[2]"),
        (
            "rows = features.flatten(2)",
            "rows = features.permute(0, 2, 3, 1).reshape(features.flatten(2).shape)",
        ),
    ),
    "style_transfer-1": (
        my_content_loss,
        ("size = target", "size = features"),
        ("(distance / size).sum()", "distance.sum() / size.sum()"),
        ("(distance / size).sum()", "(distance / size).mean()"),
        ("distance / size", "distance.sqrt() / size.sqrt()"),
    ),
    "fast_style-5": (
        my_adain,
        (" * new_deviation + new_mean", " + new_mean"),
        ("+ new_mean", "+ mean"),
        ("correction=0", "correction=1"),
        (" * new_deviation + new_mean", ""),
    ),
}
