"""遮挡到忠实度的答案：另一些对的写法，和常见的错法。"""

import copy

import numpy
import torch
from torch import nn
from torch.nn import functional

from answers.register import right, wrong


@right("window_starts")
def window_starts_min_set(L, w, s):
    return sorted({min(i, L - w) for i in range(0, L - w + s, s)})


@right("window_starts")
def window_starts_while(L, w, s):
    o = [0]
    while o[-1] + w < L:
        o.append(min(o[-1] + s, L - w))
    return o


@wrong("window_starts", "form")
def window_starts_beyond_edge(L, w, s):
    return list(range(0, L, s))


@wrong("window_starts", "mistake")
def window_starts_no_last(L, w, s):
    return list(range(0, L - w + 1, s))


@wrong("average_per_pixel", "mistake")
def average_per_pixel_interpolate_nearest(d, s, w, t):
    return functional.interpolate(d[:, None], s)[:, 0]


@wrong("average_per_pixel", "mistake")
def average_per_pixel_bilinear(d, s, w, t):
    return functional.interpolate(d[:, None], s, mode="bilinear")[:, 0]


@right("rising_probability")
def rising_probability_with_right_half(image):
    w = image.shape[-1] // 2
    l = image[..., :w].mean((1, 2, 3))
    r = image[..., w:].mean((1, 2, 3))
    return torch.stack([l + r, 5 * l + r], 1)


@right("rising_probability")
def rising_probability_sum_loops(image):
    return torch.stack(
        [
            torch.stack([x[:, :, : x.shape[-1] // 2].sum(), 2 * x[:, :, : x.shape[-1] // 2].sum()])
            for x in image
        ]
    )


@wrong("rising_probability", "property")
def rising_probability_constant(image):
    return torch.ones(len(image), 2, dtype=image.dtype)


@wrong("rising_probability", "form")
def rising_probability_random_weights_net_with_graph(image):
    p = nn.Parameter(torch.ones(1, dtype=image.dtype))
    l = image[..., : image.shape[-1] // 2].mean((1, 2, 3)) * p
    return torch.stack([l, 3 * l], 1)


@right("random_masks")
def random_masks_vectorised(image, target, model, masks):
    N = len(image)
    M = len(masks)
    with torch.no_grad():
        s = model((image[:, None] * masks[None, :, None]).flatten(0, 1)).view(N, M, -1)
        s = s[torch.arange(N), :, target]
    return (s[:, :, None, None] * masks).sum(1) / masks.sum(0) - s.mean(1)[:, None, None]


@right("random_masks")
def random_masks_loops_numpy(image, target, model, masks):
    with torch.no_grad():
        out = []
        for n in range(len(image)):
            sc = numpy.array([float(model(image[n : n + 1] * m)[0, target[n]]) for m in masks])
            mm = masks.numpy()
            out.append(numpy.tensordot(sc, mm, 1) / mm.sum(0) - sc.mean())
    return torch.from_numpy(numpy.stack(out))


@wrong("random_masks", "form")
def random_masks_graph(image, target, model, masks):
    N = len(image)
    S = torch.stack([model(image * m)[torch.arange(N), target] for m in masks])
    return torch.einsum("mn,mhw->nhw", S, masks) / masks.sum(0) - S.mean(0)[:, None, None]


@wrong("random_masks", "effect")
def random_masks_in_place(image, target, model, masks):
    N = len(image)
    with torch.no_grad():
        S = torch.stack([model(image.mul_(m))[torch.arange(N), target] for m in masks])
    return torch.einsum("mn,mhw->nhw", S, masks) / masks.sum(0) - S.mean(0)[:, None, None]


@right("saliency")
def saliency_loop_per_image(image, target, model):
    o = []
    for n in range(len(image)):
        x = image[n : n + 1].detach().clone().requires_grad_()
        (g,) = torch.autograd.grad(model(x)[0, target[n]], x)
        o.append(g[0].abs().max(0).values)
    return torch.stack(o)


@right("saliency")
def saliency_gather_numpy_max(image, target, model):
    x = image.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(model(x).gather(1, target[:, None]).sum(), x)
    return torch.from_numpy(numpy.abs(g.numpy()).max(1))


@wrong("saliency", "mistake")
def saliency_all_classes(i, t, m):
    x = i.detach().clone().requires_grad_()
    return torch.autograd.grad(m(x).sum(), x)[0].abs().amax(1)


@wrong("saliency", "effect")
def saliency_requires_grad_on_image(i, t, m):
    i.requires_grad_()
    return torch.autograd.grad(m(i)[torch.arange(len(i)), t].sum(), i)[0].abs().amax(1)


@right("signed_saliency")
def signed_saliency_grey_offset(image, target, model):
    d = torch.zeros(len(image), 1, *image.shape[2:], dtype=image.dtype, requires_grad=True)
    return torch.autograd.grad(model(image + d)[torch.arange(len(image)), target].sum(), d)[0][:, 0]


@right("integrated")
def integrated_batched(image, target, model, baseline, steps):
    N = len(image)
    a = ((torch.arange(steps, dtype=image.dtype) + 0.5) / steps).view(-1, 1, 1, 1, 1)
    x = (baseline + a * (image - baseline)).flatten(0, 1).requires_grad_()
    (g,) = torch.autograd.grad(model(x)[torch.arange(N * steps), target.repeat(steps)].sum(), x)
    return g.view(steps, *image.shape).mean(0) * (image - baseline)


@right("integrated")
def integrated_linspace_mid(image, target, model, baseline, steps):
    al = torch.linspace(1 / (2 * steps), 1 - 1 / (2 * steps), steps).tolist()
    gs = []
    for a in al:
        x = (a * image + (1 - a) * baseline).detach().requires_grad_()
        gs.append(torch.autograd.grad(model(x).gather(1, target[:, None]).sum(), x)[0])
    return torch.stack(gs).mean(0) * (image - baseline)


@wrong("integrated", "mistake")
def integrated_scaled_image_only(image, target, model, baseline, steps):
    tot = torch.zeros_like(image)
    for k in range(steps):
        x = ((k + 0.5) / steps * image).detach().requires_grad_()
        tot += torch.autograd.grad(model(x)[torch.arange(len(x)), target].sum(), x)[0]
    return tot / steps * (image - baseline)


@wrong("integrated", "effect")
def integrated_grad_via_backward_on_params(image, target, model, baseline, steps):
    tot = torch.zeros_like(image)
    for k in range(steps):
        x = (baseline + (k + 0.5) / steps * (image - baseline)).detach().requires_grad_()
        model(x)[torch.arange(len(x)), target].sum().backward()
        tot += x.grad
    return tot / steps * (image - baseline)


@right("class_map")
def class_map_gather(image, target, model):
    a = torch.relu(model.conv(image)).detach()
    N, K, H, W = a.shape
    return a.gather(1, target.view(-1, 1, 1, 1).expand(-1, 1, H, W)).squeeze(1)


@right("class_map")
def class_map_einsum_weights(image, target, model):
    w = model.conv.weight.detach()[target][:, :, 0, 0]
    b = model.conv.bias.detach()[target] if model.conv.bias is not None else 0
    return (torch.einsum("nc,nchw->nhw", w, image) + b[:, None, None]).clamp_min(0)


@wrong("class_map", "form")
def class_map_graph(i, t, m):
    return m.relu(m.conv(i))[torch.arange(len(i)), t]


@wrong("class_map", "mistake")
def class_map_before_relu(i, t, m):
    with torch.no_grad():
        return m.conv(i)[torch.arange(len(i)), t]


@right("attack")
def attack_vectorised_over_levels(image, target, model, levels):
    x = image.detach().clone().requires_grad_()
    g = torch.autograd.grad(model(x)[0, int(target)], x)[0].sign()
    c = [(image - l * g).clamp(0, 1) for l in levels]
    with torch.no_grad():
        p = model(torch.cat(c)).argmax(1)
    return c[int((p != target).nonzero()[0])]


@wrong("attack", "mistake")
def attack_ce_ascent(image, target, model, levels):
    x = image.detach().clone().requires_grad_()
    g = torch.autograd.grad(functional.cross_entropy(model(x), target), x)[0].sign()
    for l in levels:
        y = (image + l * g).clamp(0, 1)
        if model(y).argmax(1) != target:
            return y


@wrong("attack", "mistake")
def attack_normalised_grad(image, target, model, levels):
    x = image.detach().clone().requires_grad_()
    g = torch.autograd.grad(model(x)[0, int(target)], x)[0]
    g = g / g.abs().max()
    for l in levels:
        y = (image - l * g).clamp(0, 1)
        if model(y).argmax(1) != target:
            return y
    return y


@right("relu_rules")
def relu_rules_clamp_where(v, g):
    return torch.stack(
        [torch.where(v > 0, g, 0.0), g.clamp_min(0), torch.where(v > 0, g.clamp_min(0), 0.0)]
    )


@wrong("relu_rules", "form")
def relu_rules_list(v, g):
    return [g * (v > 0), g.relu(), g.relu() * (v > 0)]


@wrong("relu_rules", "mistake")
def relu_rules_guided_grad_only(v, g):
    return torch.stack([g * (v > 0), g.relu(), g.relu()])


@wrong("guided_map", "error")
def guided_map_full_backward_hook_with_in_place_relu(image, target, model):
    hs = [
        m.register_full_backward_hook(lambda mod, gi, go: (gi[0].clamp_min(0),))
        for m in model.modules()
        if isinstance(m, nn.ReLU)
    ]
    x = image.detach().clone().requires_grad_()
    g = torch.autograd.grad(model(x)[torch.arange(len(x)), target].sum(), x)[0]
    for h in hs:
        h.remove()
    return g


@right("two_gates")
def two_gates_rand(size, index):
    v = torch.arange(1.0, size + 1)
    g = torch.linspace(0.1, 1, size)
    v[index] = 0
    return (v, g)


@wrong("two_gates", "property")
def two_gates_all_differ(size, index):
    return (-torch.ones(size), torch.ones(size))


@wrong("two_gates", "form")
def two_gates_lists_of_floats(size, index):
    v = [1.0] * size
    v[index] = -1.0
    return (v, [1.0] * size)


@wrong("class_swap", "error")
def class_swap_args_order_image_model_to_gradient_of(i, m, a, b, g):
    x = g(i, m, a)
    return x


@right("redrawn_layer")
def redrawn_layer_population_std(model, layer, generator):
    m = copy.deepcopy(model)
    with torch.no_grad():
        for p in m.get_submodule(layer).parameters():
            r = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            r = (r - r.mean()) / r.std(correction=0) * p.std(correction=0)
            p.copy_(r)
    return m


@wrong("redrawn_layer", "property")
def redrawn_layer_reset_parameters(model, l, g):
    m = copy.deepcopy(model)
    with torch.random.fork_rng():
        m.get_submodule(l).reset_parameters()
    return m


@wrong("redrawn_layer", "effect")
def redrawn_layer_original_modified(m, l, g):
    with torch.no_grad():
        for p in m.get_submodule(l).parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=p.dtype) * p.std())
    return m


@right("rank_agreement")
def rank_agreement_unique_inverse(a, b):

    def rank(x):
        u, i, c = torch.unique(x.flatten(), return_inverse=True, return_counts=True)
        e = c.cumsum(0).double()
        return (e - (c - 1) / 2)[i]

    x, y = (rank(a), rank(b))
    x = x - x.mean()
    y = y - y.mean()
    d = x.norm() * y.norm()
    return torch.tensor(0.0) if d == 0 else (x * y).sum() / d


@wrong("deletion", "effect")
def deletion_in_place(image, target, model, heat, steps):
    N, C, H, W = image.shape
    o = heat.flatten(1).argsort(dim=1, descending=True)
    mean = image.mean((2, 3)).clone()
    cols = []
    for k in range(steps + 1):
        for n in range(N):
            for p in o[n, : round(k * H * W / steps)].tolist():
                image[n, :, p // W, p % W] = mean[n]
        with torch.no_grad():
            cols.append(model(image)[torch.arange(N), target])
    return torch.stack(cols, 1)


@right("cascade")
def cascade_score_0_target(image, target, model, layers, shuffle):

    def s(m):
        x = image.detach().clone().requires_grad_()
        return torch.autograd.grad(m(x)[0, target], x)[0].abs().max(1).values

    o = [s(model)]
    for l in layers:
        model = shuffle(model, l)
        o.append(s(model))
    return torch.cat(o)


@right("shortcut_evidence")
def shortcut_evidence_loops(image, mask, target, model, heat):
    us, ds = ([], [])
    for n in range(len(image)):
        mk_ = mask[n].bool()
        x = image[n].clone()
        for c in range(3):
            x[c][mk_] = image[n, c][~mk_].mean()
        with torch.no_grad():
            us.append((model(image[n : n + 1]) - model(x[None]))[0, target[n]])
        h = heat[n].relu()
        ds.append(h[mk_].sum() / h.sum() / mk_.double().mean())
    return (torch.stack(us), torch.stack(ds))


@right("occlusion_map")
def occlusion_map_all_windows_at_once(image, target, model, window, stride):
    def starts(length):
        return [*range(0, length - window, stride), length - window]

    rows, columns = starts(image.shape[2]), starts(image.shape[3])
    color = image.mean((2, 3))[:, :, None, None]
    covered = []
    for top in rows:
        for left in columns:
            one = image.clone()
            one[:, :, top : top + window, left : left + window] = color
            covered.append(one)
    with torch.no_grad():
        scores = model(torch.cat([image, *covered])).unflatten(0, (-1, len(image)))
    scores = scores[:, torch.arange(len(image)), target]
    return (scores[0] - scores[1:]).T.unflatten(1, (len(rows), len(columns)))


@wrong("occlusion_map", "effect")
def occlusion_map_on_the_image_itself(image, target, model, window, stride):
    before = model(image).detach().gather(1, target[:, None])[:, 0]
    drops = []
    for top in [*range(0, image.shape[2] - window, stride), image.shape[2] - window]:
        row = []
        for left in [*range(0, image.shape[3] - window, stride), image.shape[3] - window]:
            image[:, :, top : top + window, left : left + window] = image.mean((2, 3), keepdim=True)
            row.append(before - model(image).detach().gather(1, target[:, None])[:, 0])
        drops.append(torch.stack(row, 1))
    return torch.stack(drops, 1)


@right("autograd_rule")
class GuidedByOutput(torch.autograd.Function):
    @staticmethod
    def forward(context, value):
        output = value.clamp(min=0)
        context.save_for_backward(output)
        return output

    @staticmethod
    def backward(context, gradient):
        (output,) = context.saved_tensors
        return torch.where((output > 0) & (gradient > 0), gradient, 0.0)


@wrong("autograd_rule", "mistake")
class Deconvolution(torch.autograd.Function):
    @staticmethod
    def forward(context, value):
        return value.relu()

    @staticmethod
    def backward(context, gradient):
        return gradient.relu()


@wrong("window_starts", "form")
def window_starts_as_floats(length, window, stride):
    last = length - window
    return [float(min(place, last)) for place in range(0, last + stride, stride)]


@wrong("class_swap", "mistake")
def class_swap_without_its_sign(image, model, first, second, gradient_of):
    maps = [gradient_of(model, image, each).abs().amax(1).flatten(1) for each in (first, second)]
    ranks = [each.argsort(1).argsort(1).double() for each in maps]
    return torch.stack([torch.corrcoef(torch.stack(two))[0, 1].abs() for two in zip(*ranks)])


@wrong("integrated", "mistake")
def integrated_of_twenty_steps(image, target, model, baseline, steps):
    total = torch.zeros_like(image)
    for k in range(20):
        leaf = (baseline + (k + 0.5) / 20 * (image - baseline)).requires_grad_()
        total += torch.autograd.grad(model(leaf).gather(1, target[:, None]).sum(), leaf)[0]
    return total / 20 * (image - baseline)
