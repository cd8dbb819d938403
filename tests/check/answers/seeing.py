"""前三章的答案：另一些对的写法，和常见的错法。"""

import math

import numpy
import torch
from torch import nn
from torch.nn import functional

from answers.register import right, wrong


@right("to_image")
def to_image_numpy_inside(pixels):
    return torch.from_numpy(
        numpy.transpose(pixels.numpy(), (2, 0, 1))[None].astype("float32") / 255
    )


@right("to_image")
def to_image_loops(pixels):
    H, W, C = pixels.shape
    o = torch.zeros(1, 3, H, W)
    for c in range(3):
        for i in range(H):
            for j in range(W):
                o[0, c, i, j] = float(pixels[i, j, c]) / 255
    return o


@wrong("to_image", "mistake")
def to_image_swap_w_into_channel_1_w_h_3(pixels):
    return (pixels.float() / 255)[None]


@wrong("to_image", "mistake")
def to_image_no_255(pixels):
    return pixels.float().permute(2, 0, 1)[None]


@right("square_gradient")
def square_gradient_backward_on_clone(image):
    x = image.detach().clone().requires_grad_()
    (x**2).sum().backward()
    return x.grad


@right("square_gradient")
def square_gradient_func_grad(image):
    return torch.func.grad(lambda x: (x**2).sum())(image)


@wrong("square_gradient", "property")
def square_gradient_2_image_no_autograd(image):
    return 2 * image


@wrong("square_gradient", "error")
def square_gradient_no_requires_grad(image):
    return torch.autograd.grad((image**2).sum(), image)[0]


@right("finite_difference")
def finite_difference_mask(function, image, position, step):
    d = torch.zeros_like(image)
    d[tuple(position)] = step
    return (float(function(image + d)) - float(function(image - d))) / (2 * step)


@right("finite_difference")
def finite_difference_float64_for_precision(function, image, position, step):
    d = torch.zeros_like(image).double()
    d[position] = step
    return ((function(image.double() + d) - function(image.double() - d)) / (2 * step)).item()


@wrong("finite_difference", "mistake")
def finite_difference_whole_image_shifted(function, image, position, step):
    return float((function(image + step) - function(image - step)) / (2 * step))


@wrong("finite_difference", "mistake")
def finite_difference_one_sided(function, image, position, step):
    a = image.clone()
    a[position] += step
    return float((function(a) - function(image)) / step)


@right("fitted_image")
def fitted_image_manual(image, target, steps, rate):
    x = image.clone()
    for _ in range(steps):
        x = x - rate * 2 * (x - target)
    return x


@right("fitted_image")
def fitted_image_closed_form(image, target, steps, rate):
    return target + (image - target) * (1 - 2 * rate) ** steps


@wrong("fitted_image", "mistake")
def fitted_image_returns_target(image, target, steps, rate):
    return target.clone()


@wrong("fitted_image", "mistake")
def fitted_image_factor_2_forgotten(image, target, steps, rate):
    x = image.clone()
    for _ in range(steps):
        x = x - rate * (x - target)
    return x


@right("kernel_sheet")
def kernel_sheet_vectorised(weight, columns):
    O, C, k, _ = weight.shape
    rows = -(-O // columns)
    lo = weight.amin((1, 2, 3), keepdim=True)
    hi = weight.amax((1, 2, 3), keepdim=True)
    w = torch.where(
        hi == lo, torch.full_like(weight, 0.5), (weight - lo) / (hi - lo).clamp_min(1e-300)
    )
    w = torch.cat([w, w.new_ones(rows * columns - O, 3, k, k)])
    w = functional.pad(w, (0, 1, 0, 1), value=1.0)
    w = (
        w.view(rows, columns, 3, k + 1, k + 1)
        .permute(2, 0, 3, 1, 4)
        .reshape(3, rows * (k + 1), columns * (k + 1))
    )
    return w[:, :-1, :-1]


@wrong("kernel_sheet", "mistake")
def kernel_sheet_global_scale(weight, columns):
    O, C, k, _ = weight.shape
    rows = math.ceil(O / columns)
    w = (weight - weight.min()) / (weight.max() - weight.min())
    s = torch.ones(3, rows * (k + 1) - 1, columns * (k + 1) - 1, dtype=weight.dtype)
    for o in range(O):
        r, c = divmod(o, columns)
        s[:, r * (k + 1) : r * (k + 1) + k, c * (k + 1) : c * (k + 1) + k] = w[o]
    return s


@right("convolution")
def convolution_einsum_unfold_method(image, weight, bias, stride, padding):
    x = functional.pad(image, (padding,) * 4)
    k = weight.shape[-1]
    p = x.unfold(2, k, stride).unfold(3, k, stride)
    return torch.einsum("nchwij,ocij->nohw", p, weight) + bias.view(1, -1, 1, 1)


@right("convolution")
def convolution_loops_not_unfold(image, weight, bias, stride, padding):
    x = functional.pad(image, (padding,) * 4)
    k = weight.shape[-1]
    h = (x.shape[2] - k) // stride + 1
    w = (x.shape[3] - k) // stride + 1
    o = x.new_zeros(len(x), len(weight), h, w)
    for i in range(h):
        for j in range(w):
            p = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k].flatten(1)
            o[:, :, i, j] = p @ weight.flatten(1).T + bias
    return o


@wrong("convolution", "property")
def convolution_uses_conv2d(image, weight, bias, stride, padding):
    return functional.conv2d(image, weight, bias, stride, padding)


@wrong("convolution", "error")
def convolution_square_output_assumed(image, weight, bias, stride, padding):
    N = len(image)
    O = len(weight)
    cols = functional.unfold(image, weight.shape[-1], stride=stride, padding=padding)
    s = int(cols.shape[-1] ** 0.5)
    return (weight.reshape(O, -1) @ cols + bias[None, :, None]).view(N, O, s, s)


@right("tuning")
def tuning_loops_complex(weight, angles, period):
    O, C, k, _ = weight.shape
    out = torch.zeros(O, angles, dtype=weight.dtype)
    for a in range(angles):
        t = a * math.pi / angles
        z = torch.zeros(O, dtype=torch.complex128)
        for v in range(k):
            for u in range(k):
                z += weight[:, :, v, u].sum(1) * numpy.exp(
                    1j * 2 * numpy.pi * (u * math.cos(t) + v * math.sin(t)) / period
                )
        out[:, a] = z.abs()
    return out


@right("best_patch")
def best_patch_sign(weight):
    return torch.stack([weight / (weight**2).sum().sqrt(), (weight.sign() + 1) / 2])


@right("best_patch")
def best_patch(weight):
    return torch.stack([weight / (weight**2).sum().sqrt(), (weight >= 0).to(weight)])


@wrong("best_patch", "property")
def best_patch_clamp(weight):
    return torch.stack([weight / weight.norm(), weight.clamp(0, 1)])


@wrong("best_patch", "mistake")
def best_patch_ones(weight):
    return torch.stack([weight / weight.norm(), torch.ones_like(weight)])


@right("kernel_numbers")
def kernel_numbers_via_nn_conv2d(inputs, outputs, size, groups):
    c = nn.Conv2d(inputs, outputs, size, groups=groups)
    return (len(c.weight), c.weight[0].numel(), sum((p.numel() for p in c.parameters())))


@right("kernel_numbers")
def kernel_numbers_list(inputs, outputs, size, groups):
    per = inputs // groups * size**2
    return [outputs, per, outputs * (per + 1)]


@wrong("kernel_numbers", "mistake")
def kernel_numbers_no_bias(inputs, outputs, size, groups):
    per = inputs // groups * size * size
    return (outputs, per, outputs * per)


@wrong("kernel_numbers", "mistake")
def kernel_numbers_groups_ignored(inputs, outputs, size, groups):
    per = inputs * size * size
    return (outputs, per, outputs * per + outputs)


@right("kernel_sheet_of_planes")
def kernel_sheet_of_planes_vec(weight):
    O, I, k, _ = weight.shape
    t = 0.5 + 0.5 * weight / weight.abs().amax((1, 2, 3), keepdim=True)
    t = functional.pad(t, (0, 1, 0, 1), value=1.0)
    return t.permute(0, 2, 1, 3).reshape(O * (k + 1), I * (k + 1))[:-1, :-1]


@wrong("kernel_sheet_of_planes", "mistake")
def kernel_sheet_of_planes_minmax(weight):
    O, I, k, _ = weight.shape
    s = torch.ones((O * (k + 1) - 1, I * (k + 1) - 1), dtype=weight.dtype)
    for a in range(O):
        lo, hi = (weight[a].min(), weight[a].max())
        for b in range(I):
            s[a * (k + 1) : a * (k + 1) + k, b * (k + 1) : b * (k + 1) + k] = (
                weight[a, b] - lo
            ) / (hi - lo)
    return s


@right("composed_kernel")
def composed_kernel_conv_flip(first, second):
    m = second.shape[-1]
    return functional.conv2d(first.transpose(0, 1), second.flip(2, 3), padding=m - 1).transpose(
        0, 1
    )


@right("composed_kernel")
def composed_kernel_conv_transpose(first, second):
    return functional.conv_transpose2d(second, first)


@wrong("composed_kernel", "mistake")
def composed_kernel_no_flip(first, second):
    m = second.shape[-1]
    return functional.conv2d(first.transpose(0, 1), second, padding=m - 1).transpose(0, 1)


@wrong("composed_kernel", "form")
def composed_kernel_valid_size(first, second):
    return functional.conv2d(
        first.transpose(0, 1), second.flip(2, 3), padding=second.shape[-1] // 2
    ).transpose(0, 1)


@right("structure_score")
def structure_score_mean_abs_corr(weight):
    O, I, k, _ = weight.shape
    v = weight.reshape(O, I, k * k)
    v = v - v.mean(2, keepdim=True)
    v = v / v.norm(dim=2, keepdim=True).clamp_min(1e-12)
    c = (v @ v.transpose(1, 2)).abs()
    return (c.sum((1, 2)) - I) / (I * (I - 1))


@right("structure_score")
def structure_score_squared_cosine_loops(weight):
    out = []
    for w in weight:
        v = w.flatten(1)
        v = v / v.norm(dim=1, keepdim=True)
        c = (v @ v.T) ** 2
        out.append(c.mean())
    return torch.stack(out)


@wrong("structure_score", "property")
def structure_score_sum_of_w(weight):
    return weight.sum((1, 2, 3))


@wrong("structure_score", "mistake")
def structure_score_mean_image_norm_cancels(weight):
    return weight.mean(1).flatten(1).norm(dim=1) / weight.flatten(1).norm(dim=1)


@wrong("kernel_numbers", "form")
def kernel_numbers_true_division(inputs, outputs, size, groups):
    each = inputs / groups * size * size
    return outputs, each, outputs * (each + 1)


@wrong("fitted_image", "mistake")
def fitted_image_clamped_every_step(image, target, steps, rate):
    for _ in range(steps):
        image = (image - rate * 2 * (image - target)).clamp(0, 1)
    return image


@wrong("finite_difference", "mistake")
def finite_difference_by_autograd(function, image, position, step):
    leaf = image.clone().requires_grad_()
    return float(torch.autograd.grad(function(leaf), leaf)[0][position])
