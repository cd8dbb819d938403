"""梯度上升到 DeepDream的答案：另一些对的写法，和常见的错法。"""

import math

import numpy
import torch
from torch.nn import functional

from answers.register import right, wrong
from cnnlab import resize


@right("ascent_step")
def ascent_step_autograd_of_full_objective_loops(image, target, model, rate, decay):
    o = []
    for n in range(len(image)):
        x = image[n : n + 1].detach().clone().requires_grad_()
        J = model(x)[0, target[n]] - 0.5 * decay * ((x - 0.5) ** 2).sum()
        (g,) = torch.autograd.grad(J, x)
        o.append((x + rate * g / g.norm()).detach())
    return torch.cat(o)


@wrong("ascent_step", "form")
def ascent_step_graph(image, target, model, rate, decay):
    x = image.detach().clone().requires_grad_()
    J = model(x)[torch.arange(len(x)), target].sum() - 0.5 * decay * ((x - 0.5) ** 2).sum()
    (g,) = torch.autograd.grad(J, x)
    return x + rate * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@wrong("ascent_step", "effect")
def ascent_step_backward_params(image, target, model, rate, decay):
    x = image.detach().clone().requires_grad_()
    J = model(x)[torch.arange(len(x)), target].sum() - 0.5 * decay * ((x - 0.5) ** 2).sum()
    J.backward()
    return (x + rate * x.grad / x.grad.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).detach()


@right("jitter_undo")
def jitter_undo_index(image, down, right):
    H, W = image.shape[2:]
    i = (torch.arange(H) - down) % H
    j = (torch.arange(W) - right) % W
    m = image[:, :, i][:, :, :, j]
    i = (torch.arange(H) + down) % H
    j = (torch.arange(W) + right) % W
    return (m, m[:, :, i][:, :, :, j])


@right("jitter_undo")
def jitter_undo_second_is_image_clone(image, down, right):
    return (image.roll((down, right), (2, 3)), image.clone())


@wrong("jitter_undo", "form")
def jitter_undo_only_moved(image, down, right):
    return image.roll((down, right), (2, 3))


@wrong("jitter_undo", "mistake")
def jitter_undo_undo_same_direction(image, down, right):
    a = image.roll((down, right), (2, 3))
    return (a, a.roll((down, right), (2, 3)))


@right("keep_contribution")
def keep_contribution_topk_loops(image, gradient, share):
    out = torch.full_like(image, 0.5)
    for n in range(len(image)):
        c = ((image[n] - 0.5) * gradient[n]).sum(0).abs()
        k = int(share * c.numel() + 0.5)
        for p in c.flatten().topk(k).indices.tolist():
            out[n, :, p // c.shape[1], p % c.shape[1]] = image[
                n, :, p // c.shape[1], p % c.shape[1]
            ]
    return out


@right("keep_contribution")
def keep_contribution_numpy_mask_multiply(image, gradient, share):
    c = numpy.abs(((image.numpy() - 0.5) * gradient.numpy()).sum(1))
    k = int(round(share * c[0].size))
    out = image.numpy().copy()
    for n in range(len(out)):
        order = numpy.argsort(-c[n], axis=None)
        drop = numpy.unravel_index(order[k:], c[n].shape)
        out[n][:, drop[0], drop[1]] = 0.5
    return torch.from_numpy(out)


@wrong("keep_contribution", "mistake")
def keep_contribution_quantile_threshold(image, gradient, share):
    c = ((image - 0.5) * gradient).sum(1).abs()
    q = torch.quantile(c.flatten(1), 1 - share, dim=1).view(-1, 1, 1)
    return torch.where((c > q)[:, None], image, torch.full_like(image, 0.5))


@wrong("keep_contribution", "mistake")
def keep_contribution_whole_batch(image, gradient, share):
    c = ((image - 0.5) * gradient).sum(1).abs()
    k = round(share * c.numel())
    m = torch.zeros(c.numel(), dtype=torch.bool)
    m[c.flatten().argsort(descending=True)[:k]] = True
    return torch.where(m.view_as(c)[:, None], image, torch.full_like(image, 0.5))


@right("dead_start")
def dead_start_gather_loops(image, target, model):
    return sum((model.conv(image[n : n + 1])[0, target[n]].mean() for n in range(len(image))))


@wrong("dead_start", "mistake")
def dead_start_all_classes(image, target, model):
    return model.conv(image).mean((2, 3)).sum()


@wrong("dead_start", "form")
def dead_start_per_image_vector(image, target, model):
    return model.conv(image).mean((2, 3))[torch.arange(len(image)), target]


@right("fourier")
def fourier_complex_via_real_imag_numpy(spectrum, width):
    a = spectrum.detach().numpy()
    z = a[..., 0] + 1j * a[..., 1]
    H = a.shape[2]
    f = numpy.hypot(numpy.fft.fftfreq(H)[:, None], numpy.fft.rfftfreq(width)[None])
    f = numpy.maximum(f, 1 / max(H, width))
    return torch.from_numpy(numpy.fft.irfft2(z / f, s=(H, width), norm="ortho") + 0.5)


@right("fourier")
def fourier_torch_complex(spectrum, width):
    H = spectrum.shape[2]
    z = torch.complex(spectrum[..., 0], spectrum[..., 1])
    f = torch.hypot(
        torch.fft.fftfreq(H, dtype=spectrum.dtype)[:, None].expand(H, width // 2 + 1),
        torch.fft.rfftfreq(width, dtype=spectrum.dtype)[None].expand(H, width // 2 + 1),
    )
    return 0.5 + torch.fft.irfft2(
        z * (1 / torch.maximum(f, torch.tensor(1 / max(H, width), dtype=f.dtype))),
        s=(H, width),
        norm="ortho",
    )


@wrong("fourier", "mistake")
def fourier_no_scaling(spectrum, width):
    return (
        torch.fft.irfft2(
            torch.view_as_complex(spectrum.contiguous()), s=(spectrum.shape[2], width), norm="ortho"
        )
        + 0.5
    )


@wrong("fourier", "mistake")
def fourier_ifft2_with_half_spectrum_real(spectrum, width):
    return (
        torch.fft.ifft2(
            torch.view_as_complex(spectrum.contiguous()), s=(spectrum.shape[2], width), norm="ortho"
        ).real
        + 0.5
    )


@right("facet_start")
def facet_start_cdist_topk(images, features, labels, count):
    K = int(labels.max()) + 1
    res = images.new_zeros(K, *images.shape[1:])
    for k in range(K):
        sel = labels == k
        c = features[sel].mean(0, keepdim=True)
        idx = torch.cdist(features[sel], c)[:, 0].topk(count, largest=False).indices
        res[k] = images[sel][idx].mean(0)
    return res


@right("facet_start")
def facet_start_masked_inf(images, features, labels, count):
    outs = []
    for k in labels.unique():
        c = features[labels == k].mean(dim=0)
        d = ((features - c) ** 2).sum(1)
        d = torch.where(labels == k, d, torch.tensor(float("inf"), dtype=d.dtype))
        outs.append(images[torch.argsort(d)[:count]].mean(0))
    return torch.stack(outs)


@wrong("facet_start", "mistake")
def facet_start_all_of_cluster(images, features, labels, count):
    return torch.stack([images[labels == k].mean(0) for k in range(int(labels.max()) + 1)])


@wrong("facet_start", "mistake")
def facet_start_first_count_in_cluster(images, features, labels, count):
    return torch.stack([images[labels == k][:count].mean(0) for k in range(int(labels.max()) + 1)])


@right("center_mask")
def center_mask_outer(gradient, width):
    H, W = gradient.shape[-2:]
    g = lambda n: torch.exp(-(torch.linspace(-0.5, 0.5, n).to(gradient) ** 2) / (2 * width * width))
    return gradient * torch.outer(
        torch.exp(-(torch.linspace(-0.5, 0.5, H, dtype=gradient.dtype) ** 2) / (2 * width * width)),
        torch.exp(-(torch.linspace(-0.5, 0.5, W, dtype=gradient.dtype) ** 2) / (2 * width * width)),
    )


@right("center_mask")
def center_mask_loops(gradient, width):
    out = gradient.clone()
    H, W = gradient.shape[-2:]
    for i in range(H):
        for j in range(W):
            y = -0.5 + i / (H - 1)
            x = -0.5 + j / (W - 1)
            out[:, :, i, j] *= math.exp(-(x * x + y * y) / (2 * width**2))
    return out


@wrong("center_mask", "mistake")
def center_mask_row_only(gradient, width):
    H, W = gradient.shape[-2:]
    x = torch.linspace(-0.5, 0.5, W, dtype=gradient.dtype)
    return gradient * torch.exp(-(x**2) / (2 * width**2))


@wrong("center_mask", "error")
def center_mask_hard_coded_224(gradient, width):
    y = torch.linspace(-0.5, 0.5, 224, dtype=gradient.dtype)
    return gradient * torch.exp(-(y[None, :] ** 2 + y[:, None] ** 2) / (2 * width**2))


@right("code_step")
def code_step_autograd_prior(code, gradient, mean, std):
    c = code.detach().clone().requires_grad_()
    p = 0.02 * (((c - mean) / std) ** 2).sum()
    pg = torch.autograd.grad(p, c)[0]
    y = code + 0.1 * (gradient - pg)
    return torch.max(torch.min(y, mean + 3 * std), torch.zeros_like(y))


@right("code_step")
def code_step_loop(code, gradient, mean, std):
    out = code.clone()
    for i in range(code.shape[0]):
        for j in range(code.shape[1]):
            v = code[i, j] + 0.1 * (
                gradient[i, j] - 2 * 0.02 * (code[i, j] - mean[j]) / (std[j] * std[j])
            )
            out[i, j] = min(max(v, torch.zeros_like(v)), mean[j] + 3 * std[j])
    return out


@wrong("code_step", "property")
def code_step_both_bounds_mean_3std_w_o_0(c, g, m, s):
    return (c + 0.1 * (g - 0.04 * (c - m) / s**2)).clamp(m - 3 * s, m + 3 * s)


@wrong("code_step", "mistake")
def code_step_clamp_0_1(code, gradient, mean, std):
    return (code + 0.1 * (gradient - 0.04 * (code - mean) / std**2)).clamp(0, 1)


@right("spread_ratio")
def spread_ratio_float(facets, seeds):
    return float(torch.pdist(facets).mean() / torch.pdist(seeds).mean())


@right("spread_ratio")
def spread_ratio_cdist_off_diagonal(facets, seeds):

    def m(x):
        d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        n = len(x)
        return d.sum() / (n * (n - 1))

    return m(facets) / m(seeds)


@wrong("spread_ratio", "mistake")
def spread_ratio_only_facets(facets, seeds):
    return torch.pdist(facets).mean()


@wrong("spread_ratio", "mistake")
def spread_ratio_std(facets, seeds):
    return facets.std(0).mean() / seeds.std(0).mean()


@right("dream_gradient")
def dream_gradient_half_square(image, model):
    x = image.detach().clone().requires_grad_(True)
    return torch.autograd.grad(0.5 * (model(x) ** 2).sum(), x)[0]


@right("dream_gradient")
def dream_gradient_a_detach_times_a(image, model):
    x = image.detach().clone().requires_grad_(True)
    a = model(x)
    return torch.autograd.grad((a * a.detach()).sum(), x)[0]


@wrong("dream_gradient", "form")
def dream_gradient_returns_the_activation(image, model):
    return model(image).detach()


@wrong("dream_gradient", "error")
def dream_gradient_no_detach_on_image_none(image, model):
    a = model(image)
    return torch.autograd.grad(a, image, a)[0]


@right("dream_step")
def dream_step_loop(image, gradient, size):
    out = []
    for x, g in zip(image, gradient):
        out.append(torch.clip(x + size * g / torch.mean(torch.abs(g)), 0, 1))
    return torch.stack(out)


@right("dream_step")
def dream_step_with_eps(image, gradient, size):
    return (image + size * gradient / (gradient.abs().mean((1, 2, 3), keepdim=True) + 1e-12)).clamp(
        0, 1
    )


@wrong("dream_step", "mistake")
def dream_step_no_normalisation(image, gradient, size):
    return (image + size * gradient).clamp(0, 1)


@wrong("dream_step", "mistake")
def dream_step_sign(image, gradient, size):
    return (image + size * gradient.sign()).clamp(0, 1)


@right("octave_dream")
def octave_dream_zeros_start(image, sizes, change):
    detail = torch.zeros_like(image)
    for size in sizes:
        small = resize(image, size)
        detail = change(small + resize(detail, size)) - small
    return image + detail


@right("octave_dream")
def octave_dream_index_loop(image, sizes, change):
    N, C = image.shape[:2]
    detail = image.new_zeros(N, C, *sizes[0])
    for i in range(len(sizes)):
        h, w = sizes[i]
        base = resize(image, (h, w))
        if i > 0:
            detail = resize(detail, (h, w))
        out = change(base + detail)
        detail = out - base
    return image + detail


@wrong("octave_dream", "mistake")
def octave_dream_only_last_octave(image, sizes, change):
    return change(image)


@wrong("octave_dream", "mistake")
def octave_dream_carries_picture(image, sizes, change):
    x = image
    for s in sizes:
        x = change(resize(x, s))
    return x


@right("growth")
def growth_loop(before, after):
    out = []
    for c in range(before.shape[1]):
        b = functional.relu(before[:, c]).mean()
        a = functional.relu(after[:, c]).mean()
        out.append(a / b if b != 0 else torch.ones_like(b))
    return torch.stack(out)


@right("growth")
def growth_masked(before, after):
    b = before.relu().sum((0, 2, 3))
    a = after.relu().sum((0, 2, 3))
    r = torch.ones_like(b)
    on = b > 0
    r[on] = a[on] / b[on]
    return r


@wrong("growth", "mistake")
def growth_difference(before, after):
    return after.relu().mean((0, 2, 3)) - before.relu().mean((0, 2, 3))


@wrong("growth", "mistake")
def growth_dead_nan(before, after):
    return after.relu().mean((0, 2, 3)) / before.relu().mean((0, 2, 3))


@wrong("keep_contribution", "mistake")
def keep_contribution_rounded_up(image, gradient, share):
    score = ((image - 0.5) * gradient).sum(1).abs().flatten(1)
    count = math.ceil(share * score.shape[1])
    least = score.sort(1, descending=True).values[:, count - 1 : count]
    return torch.where((score >= least).view(len(image), 1, *image.shape[2:]), image, 0.5)
