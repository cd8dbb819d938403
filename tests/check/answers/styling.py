"""两章风格的答案：另一些对的写法，和常见的错法。"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional

from answers.register import right, wrong


@right("content_loss")
def content_loss_loop(f, t, w):
    return sum((((a - b) ** 2).sum() / (b**2).sum() for a, b in zip(f, t))) * w


@right("content_loss")
def content_loss_norms(f, t, w):
    return w * ((f - t).flatten(1).norm(dim=1) / t.flatten(1).norm(dim=1)).pow(2).sum()


@wrong("content_loss", "mistake")
def content_loss_mse_mean(f, t, w):
    return w * functional.mse_loss(f, t)


@wrong("content_loss", "mistake")
def content_loss_no_denominator(f, t, w):
    return w * (f - t).square().sum()


@right("mixed_gram")
def mixed_gram_einsum(g, w):
    return torch.einsum("k,kij->ij", w, g) / w.sum()


@right("mixed_gram")
def mixed_gram_loop(g, w):
    return sum((float(a) / float(w.sum()) * m for a, m in zip(w, g)))


@wrong("mixed_gram", "mistake")
def mixed_gram_mean(g, w):
    return g.mean(0)


@wrong("mixed_gram", "mistake")
def mixed_gram_strongest_only(g, w):
    return g[w.argmax()]


@right("features_before_relu")
def features_before_relu_not_in_place(image, first, second):
    v = functional.conv2d(image, first)
    feats = [v]
    v = functional.conv2d(v.relu(), second)
    feats.append(v)
    return feats


@right("features_before_relu")
def features_before_relu_clone(image, first, second):
    value = functional.conv2d(image, first)
    features = [value.clone()]
    value = value.relu_()
    value = functional.conv2d(value, second)
    features.append(value)
    return features


@wrong("features_before_relu", "form")
def features_before_relu_stacked_one(i, a, b):
    return [functional.conv2d(i, a)]


@wrong("features_before_relu", "mistake")
def features_before_relu_second_from_image(i, a, b):
    return [functional.conv2d(i, a), functional.conv2d(functional.conv2d(i, a), b)]


@right("mixing_gap")
def mixing_gap_direct_at_zero(a, b, w):
    return w * a.square().sum() + (1 - w) * b.square().sum() - (w * a + (1 - w) * b).square().sum()


@right("mixing_gap")
def mixing_gap_norm(a, b, w):
    return w * (1 - w) * torch.norm(a - b) ** 2


@wrong("mixing_gap", "mistake")
def mixing_gap_no_w(a, b, w):
    return (a - b).square().sum()


@wrong("mixing_gap", "mistake")
def mixing_gap_w_times(a, b, w):
    return w * (a - b).square().sum()


@right("instance_norm")
def instance_norm_f_instance_norm(x):
    return functional.instance_norm(x, eps=1e-05)


@right("instance_norm")
def instance_norm_group_norm(x):
    return functional.group_norm(x, x.shape[1], eps=1e-05)


@wrong("instance_norm", "mistake")
def instance_norm_only_centred(x):
    return x - x.mean((2, 3), keepdim=True)


@wrong("instance_norm", "mistake")
def instance_norm_batchnorm_module(x):
    return nn.BatchNorm2d(x.shape[1]).double()(x).detach()


@right("reflect_convolution")
def reflect_convolution_unfold(x, w, b):
    return (
        w.flatten(1)
        @ functional.unfold(functional.pad(x, (w.shape[-1] // 2,) * 4, mode="reflect"), w.shape[-1])
        + b[:, None]
    ).view(len(x), len(w), *x.shape[2:])


@right("reflect_convolution")
def reflect_convolution_reflectionpad2d(x, w, b):
    return functional.conv2d(nn.ReflectionPad2d((w.shape[-1] - 1) // 2)(x), w) + b.view(1, -1, 1, 1)


@wrong("reflect_convolution", "mistake")
def reflect_convolution_no_padding(x, w, b):
    return functional.conv2d(x, w, b)


@wrong("reflect_convolution", "mistake")
def reflect_convolution_padding_same(x, w, b):
    return functional.conv2d(x, w, b, padding=w.shape[-1] // 2)


@right("training_step")
def training_step_deepcopy_sgd(network, image, target, model, rate):
    net = copy.deepcopy(network)
    m = copy.deepcopy(model)
    opt = torch.optim.SGD(net.parameters(), lr=rate)
    opt.zero_grad()
    functional.mse_loss(m(net(image)), target).backward()
    opt.step()
    return [p.detach() for p in net.parameters()]


@right("training_step")
def training_step_functional_call(network, image, target, model, rate):
    ps = {k: v.detach().clone().requires_grad_() for k, v in network.named_parameters()}
    out = torch.func.functional_call(network, ps, (image,))
    gs = torch.autograd.grad(((model(out) - target) ** 2).mean(), list(ps.values()))
    return [p.detach() - rate * g for p, g in zip(ps.values(), gs)]


@wrong("training_step", "mistake")
def training_step_unchanged_parameters(net, i, t, m, r):
    return [p.detach().clone() for p in net.parameters()]


@wrong("training_step", "form")
def training_step_keeps_graph(net, i, t, m, r):
    return [
        p - r * g
        for p, g in zip(
            net.parameters(),
            torch.autograd.grad((m(net(i)) - t).square().mean(), list(net.parameters())),
        )
    ]


@right("adain")
def adain_loops(c, s):
    return torch.stack(
        [
            torch.stack(
                [
                    (a - a.mean())
                    / ((a - a.mean()).pow(2).mean() + 1e-05).sqrt()
                    * ((b - b.mean()).pow(2).mean() + 1e-05).sqrt()
                    + b.mean()
                    for a, b in zip(x, y)
                ]
            )
            for x, y in zip(c, s)
        ]
    )


@right("adain")
def adain_flatten(content, style):
    N, C = content.shape[:2]

    def stats(x):
        f = x.reshape(N, C, -1)
        m = f.mean(2)
        v = ((f - m[..., None]) ** 2).mean(2)
        return (m.view(N, C, 1, 1), (v + 1e-05).sqrt().view(N, C, 1, 1))

    (cm, cs), (sm, ss) = (stats(content), stats(style))
    return ss * (content - cm) / cs + sm


@wrong("adain", "mistake")
def adain_batch_stats(c, s):
    return (c - c.mean((0, 2, 3), keepdim=True)) / (
        c.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-05
    ).sqrt() * (s.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-05).sqrt() + s.mean(
        (0, 2, 3), keepdim=True
    )


@wrong("adain", "mistake")
def adain_layer_stats(c, s):
    return (c - c.mean((1, 2, 3), keepdim=True)) / (
        c.var((1, 2, 3), keepdim=True, unbiased=False) + 1e-05
    ).sqrt() * (s.var((1, 2, 3), keepdim=True, unbiased=False) + 1e-05).sqrt() + s.mean(
        (1, 2, 3), keepdim=True
    )


@right("break_even")
def break_even_together(train, load, fast, slow, clock):
    t0 = clock()
    train()
    load()
    t1 = clock()
    fast()
    slow()
    a = clock()
    fast()
    b = clock()
    slow()
    c = clock()
    return int(math.ceil((t1 - t0) / (c - b - (b - a))))


@right("break_even")
def break_even_helper(train, load, fast, slow, clock):

    def seconds(g):
        s = clock()
        g()
        return clock() - s

    fixed = seconds(train) + seconds(load)
    fast()
    f = seconds(fast)
    slow()
    s = seconds(slow)
    return next((n for n in range(10**6) if fixed + n * f <= n * s))


@wrong("break_even", "mistake")
def break_even_counts_warm_up(train, load, fast, slow, clock):
    t = clock()
    train()
    T = clock() - t
    t = clock()
    load()
    L = clock() - t
    t = clock()
    fast()
    fast()
    f = clock() - t
    t = clock()
    slow()
    slow()
    s = clock() - t
    return math.ceil((T + L) / (s - f))


@wrong("break_even", "mistake")
def break_even_mean_of_two(train, load, fast, slow, clock):
    t = clock()
    train()
    T = clock() - t
    t = clock()
    load()
    L = clock() - t
    t = clock()
    fast()
    fast()
    f = (clock() - t) / 2
    t = clock()
    slow()
    slow()
    s = (clock() - t) / 2
    return math.ceil((T + L) / (s - f))
