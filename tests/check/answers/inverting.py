"""反演与纹理的答案：另一些对的写法，和常见的错法。"""

import math

import torch
from torch.nn import functional

from answers.register import right, wrong


@right("relative_error")
def relative_error_norm(found, target):
    return (found - target).flatten(1).norm(dim=1) / target.flatten(1).norm(dim=1)


@right("relative_error")
def relative_error_sums(f, t):
    return ((f - t) ** 2).sum((1, 2, 3)).sqrt() / (t**2).sum((1, 2, 3)).sqrt()


@wrong("relative_error", "form")
def relative_error_batch(f, t):
    return (f - t).norm() / t.norm()


@wrong("relative_error", "mistake")
def relative_error_no_denominator(f, t):
    return (f - t).flatten(1).norm(dim=1)


@right("variation")
def variation_diff(x):
    return (x[:, :, 1:] - x[:, :, :-1]).square().sum((1, 2, 3)) + (
        x[:, :, :, 1:] - x[:, :, :, :-1]
    ).square().sum((1, 2, 3))


@right("variation")
def variation_torch_diff(x):
    return torch.diff(x, dim=2).pow(2).sum((1, 2, 3)) + torch.diff(x, dim=3).pow(2).sum((1, 2, 3))


@wrong("variation", "mistake")
def variation_variance(x):
    return x.var((1, 2, 3))


@wrong("variation", "mistake")
def variation_horizontal(x):
    return x.diff(dim=-1).square().sum((1, 2, 3))


@wrong("inversion_loop", "form")
def inversion_loop_gradient_with_graph_of_target(image, target, model, steps, size):
    x = image.detach().clone().requires_grad_()
    for _ in range(steps):
        g = torch.autograd.grad((model(x) - target).square().sum(), x)[0]
        x = (x - size * g).clamp(0, 1)
    return x


@wrong("inversion_loop", "effect")
def inversion_loop_in_place_on_image(image, target, model, steps, size):
    for _ in range(steps):
        x = image.detach().clone().requires_grad_()
        g = torch.autograd.grad((model(x) - target).square().sum(), x)[0]
        image -= size * g
        image.clamp_(0, 1)
    return image


@right("color_error")
def color_error_loop(image, original):
    rows = [[], []]
    for x, y in zip(image, original):
        a = 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]
        b = 0.299 * y[0] + 0.587 * y[1] + 0.114 * y[2]
        rows[0].append(((a - b) ** 2).sum().sqrt() / ((b - b.mean()) ** 2).sum().sqrt())
        rows[1].append(((x - a - (y - b)) ** 2).sum().sqrt() / ((y - b) ** 2).sum().sqrt())
    return torch.stack([torch.stack(r) for r in rows])


@right("color_error")
def color_error_linalg(image, original):

    def split(x):
        y = 0.299 * x[:, 0:1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:3]
        return (y, x - y)

    (a, ca), (b, cb) = (split(image), split(original))
    V = torch.linalg.vector_norm
    return torch.stack(
        [
            V(a - b, dim=(1, 2, 3)) / V(b - b.mean(dim=(1, 2, 3), keepdim=True), dim=(1, 2, 3)),
            V(ca - cb, dim=(1, 2, 3)) / V(cb, dim=(1, 2, 3)),
        ]
    )


@right("invisible")
def invisible_channel_swap(image, model, size):
    d = torch.zeros_like(image)
    d[:, 0] = size * 1.3
    d[:, 1] = -size * 1.3
    return image + d


@right("invisible")
def invisible_checkerboard(image, model, size):
    H, W = image.shape[-2:]
    s = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=image.dtype).repeat(H // 2 + 1, W // 2 + 1)[
        :H, :W
    ]
    return image + s * size * 1.0000001


@wrong("invisible", "form")
def invisible_features(i, m, s):
    return m(i)


@wrong("invisible", "property")
def invisible_constant_shift(i, m, s):
    return i + s


@right("gram")
def gram_einsum(x):
    return torch.einsum("nihw,njhw->nij", x, x) / x[0].numel()


@right("gram")
def gram_bmm(x):
    return x.flatten(2) @ x.flatten(2).transpose(1, 2) / (x.shape[1] * x.shape[2] * x.shape[3])


@wrong("gram", "mistake")
def gram_no_norm(x):
    return torch.einsum("nihw,njhw->nij", x, x)


@wrong("gram", "form")
def gram_batch_mixed(x):
    return torch.einsum("nihw,njhw->ij", x, x) / x.numel()


@right("gram_loss")
def gram_loss_norms(g, t, w):
    return sum((a * (torch.norm(x - y) / torch.norm(y)) ** 2 for a, x, y in zip(w, g, t)))


@right("gram_loss")
def gram_loss_stack(g, t, w):
    return (
        torch.stack([((x - y) ** 2).sum() / (y**2).sum() for x, y in zip(g, t)])
        * torch.as_tensor(w, dtype=g[0].dtype)
    ).sum()


@wrong("gram_loss", "mistake")
def gram_loss_first_layer(g, t, w):
    return w[0] * (g[0] - t[0]).square().sum() / t[0].square().sum()


@wrong("gram_loss", "mistake")
def gram_loss_no_denominators(g, t, w):
    return sum((a * (x - y).square().sum() for a, x, y in zip(w, g, t)))


@right("loud_channel")
def loud_channel_random_loud():
    torch.manual_seed(0)
    x = torch.rand(6, 40, 40) * 0.1
    a = torch.randn(40, 40)
    b = torch.randn(40, 40)
    a = a - a.mean()
    b = b - b.mean()
    b = b - (a * b).sum() / (a * a).sum() * a
    x[0] = 10 + a
    x[1] = 10 + b
    return x


@right("loud_channel")
def loud_channel_cos_sin():
    t = torch.arange(64).view(8, 8) * 2 * math.pi / 64
    x = torch.zeros(5, 8, 8)
    x[0] = 5 + torch.cos(t)
    x[1] = 5 + torch.sin(t)
    x[2] = torch.cos(2 * t)
    x[3] = torch.sin(2 * t)
    x[4] = torch.cos(3 * t)
    return x


@wrong("loud_channel", "property")
def loud_channel_gram_itself():
    return torch.eye(5)


@right("window_distance")
def window_distance_index(p, m, c):
    return (c[:, m.bool()] - p[m.bool()]).square().sum(1)


@right("window_distance")
def window_distance_where(p, m, c):
    return torch.where(m > 0, c - p, torch.zeros_like(p)).pow(2).sum((1, 2))


@wrong("window_distance", "mistake")
def window_distance_correlation(p, m, c):
    return (c * p * m).sum((1, 2))


@wrong("window_distance", "mistake")
def window_distance_unchanged(p, m, c):
    return (c - p).square().sum((1, 2))


@right("shifted")
def shifted_loop(x, d, r):
    return torch.stack(
        [
            torch.stack(
                [
                    (x[i, : x.shape[1] - d, : x.shape[2] - r] * x[j, d:, r:]).mean()
                    for j in range(len(x))
                ]
            )
            for i in range(len(x))
        ]
    )


@right("shifted")
def shifted_pad_then_count(x, d, r):
    return torch.einsum("ihw,jhw->ij", x, functional.pad(x, (0, r, 0, d))[:, d:, r:]) / (
        (x.shape[1] - d) * (x.shape[2] - r)
    )


@wrong("shifted", "mistake")
def shifted_no_shift(x, d, r):
    return torch.einsum("ihw,jhw->ij", x, x) / x[0].numel()


@wrong("shifted", "mistake")
def shifted_roll(x, d, r):
    return torch.einsum("ihw,jhw->ij", x, x.roll((-d, -r), (1, 2))) / x[0].numel()
