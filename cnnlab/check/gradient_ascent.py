"""“梯度上升”一章的练习：一步上升、抖动与还原、小贡献、死起点、傅里叶参数。"""

import torch

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import CamNet, TinyNet, classified, noise, uniform
from cnnlab.check.gradients import gradient_of, pixel_differences

# 1 一步


def _length(out, image, target, model, rate, decay):
    return torch.allclose(
        (out - image).flatten(1).norm(dim=1),
        torch.full((len(image),), rate, dtype=image.dtype),
        rtol=1e-6,
    )


def my_ascent_step(image, target, model, rate, decay):
    leaf = image.detach().clone().requires_grad_()
    scores = model(leaf).gather(1, target[:, None])
    gradient = torch.autograd.grad(scores.sum(), leaf)[0]
    direction = gradient - decay * (image - 0.5)
    length = direction.flatten(1).norm(dim=1)[:, None, None, None]
    return image + rate * direction / length


@exercise(
    "带 L2 的一步上升",
    level=2,
    ours=my_ascent_step,
    probes=(
        lambda: (*classified([3, 1], (5, 6), 1), 0.5, 0.3),
        lambda: (*classified([0, 4, 2], (6, 4), 2, TinyNet(seed=9)), 0.2, 0.1),
        lambda: (*classified([2], (4, 5), 3, TinyNet(seed=4)), 0.3, 0.0),
    ),
    answer="(N, 3, H, W)：每张图沿“得分的梯度减 decay ×（图像减灰）”的方向走长度恰为 rate 的一步",
    idea="要变大的是得分减 ½ decay ‖图像 − 0.5‖²，先写出它的梯度，再把每张图的方向各自除以自己的长度。",
    where="看本章“想法”一节的公式；求梯度用 torch.autograd.grad，网络的权重一个也不动。",
    question="decay 很大时，这一步会把图像带到哪里去？",
    tolerance=1e-5,
    properties=((_length, "步长不对：每张图走的距离都应当恰好是 rate。"),),
    mistakes={
        "descends": (("image + rate", "image - rate"), "得分在变小：符号反了，这里是上升。"),
        "pushes": (
            ("gradient - decay", "gradient + decay"),
            "正则项的方向反了：它应当把图像拉回灰色，而不是推开。",
        ),
        "no_pull": (
            (" - decay * (image - 0.5)", ""),
            "方向里没有正则项：要上升的是两项之差，不只是得分。",
        ),
        "to_black": (
            ("(image - 0.5)", "image"),
            "正则项把图像拉向了黑色：[0, 1] 的图像里中性的是灰。",
        ),
        "batch_length": (
            ("direction.flatten(1).norm(dim=1)[:, None, None, None]", "direction.norm()"),
            "整批共用了一个长度：每张图各自除以自己的梯度长度。",
        ),
        "raw": ((" / length", ""), "方向没有归一：各层、各类的梯度大小差得远，步长就没有意义了。"),
        "twice": (
            ("gradient - decay", "gradient - 2 * decay"),
            "正则项的梯度大了一倍：前面有 ½，求导之后正好消去 2。",
        ),
        "probability": (
            ("model(leaf)", "model(leaf).softmax(1)"),
            "求的是概率的梯度：要上升的是 softmax 之前的得分。",
        ),
        "unit_first": (
            (
                "gradient - decay",
                "gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None] - decay",
            ),
            "先把得分的梯度归一化，再减正则项：要先得到整个方向，最后才定长度。",
        ),
        "batch_mean": (
            ("scores.sum()", "scores.mean()"),
            "得分在整批上取了平均，相对地正则项就大了：每张图各算各的，求和。",
        ),
    },
)
def ascent_step(image, target, model, rate, decay):
    direction = pixel_differences(image, target, model) - decay * (image - 0.5)
    return image + rate * direction / direction.square().sum((1, 2, 3), keepdim=True).sqrt()


# 2 死起点


def _dead_net(seed):
    network = CamNet(seed=seed)
    with torch.no_grad():
        network.conv.bias.copy_(-torch.ones(4, dtype=torch.float64) * 6)
    return network


def _moves(call, image, target, model):
    gradient = gradient_of(lambda leaf: call(leaf, target, model), image)
    return (gradient.flatten(1).abs().sum(1) > 0).all()


@exercise(
    "改错：动不了的起点",
    level=3,
    asked="my_objective",
    probes=(
        lambda: classified([2, 0], (4, 5), 9, _dead_net(3)),
        lambda: classified([1, 3, 0], (3, 4), 10, _dead_net(5)),
    ),
    answer="一个标量：各图目标类的得分之和，目标类的单元被 ReLU 关掉时梯度也不为零",
    idea="ReLU 关着的地方，导数恰好是零；零乘以多大的学习率都是零。同一个类还有一个没有被截过的数。",
    where="看本章“从哪里出发”一节；model.conv 是网络里 ReLU 之前的那一层。",
    question="换成高斯噪声的起点，也能让多数的类活过来。哪些类还是不会动？",
    keeps_graph=True,
    laws=((_moves, "梯度还是恰好为零：这个目标里有一道关着的门。"),),
    mistakes={
        "rectified": (
            ("model.conv(image)", "model.conv(image).relu()"),
            "目标取自 ReLU 之后：门关着，梯度恰好为零。",
        ),
        "negated": (
            ("return ", "return -"),
            "多了一个负号，或者取了绝对值：题目要的是得分，负号留给优化循环。",
        ),
        "other_class": (
            ("target[:, None]", "(target[:, None] + 1) % 4"),
            "换成了另一个类：图像会动，但动向别的类。",
        ),
        "all_classes": (
            (".gather(1, target[:, None])", ""),
            "把所有类加在了一起：要的是目标那一类。",
        ),
        "scaled": (
            (".mean((2, 3))", ".sum((2, 3))"),
            "各位置相加而没有取平均：目标的大小随图像尺寸变，就不是这个类的得分了。",
        ),
        "batch_mean": ((".sum()", ".mean()"), "在整批上取了平均：题目要各图相加。"),
        "loudest_place": (
            (".mean((2, 3))", ".amax((2, 3))"),
            "取的是最响的一处：这个类的得分是整图的平均。",
        ),
        "log_softmax": (
            (".mean((2, 3))", ".mean((2, 3)).log_softmax(1)"),
            "用了对数概率：压低别的类也能让它变大，题目要这个类自己的得分。",
        ),
        "leaky": (
            ("model.conv(image)", "torch.nn.functional.leaky_relu(model.conv(image))"),
            "换成了带漏的 ReLU：会动，可是得分被缩小了；直接取 ReLU 之前的。",
        ),
        "first_target": (
            ("target[:, None]", "target[:1].expand_as(target)[:, None]"),
            "都用了第一张图的类别：每张图各有各的。",
        ),
        "every_target": (
            (".gather(1, target[:, None])", "[:, target]"),
            "[:, target] 让每张图都取了全部的目标类：每张图只取自己那一类，要一一对应。",
        ),
        "still_thousand": (
            ("return scores", "return 1000 * scores"),
            "还乘着 1000：放大救不活梯度，目标也不再是得分。",
        ),
    },
)
def dead_start(image, target, model):
    scores = model.conv(image).mean((2, 3))
    return scores.gather(1, target[:, None]).sum()


# 3 抖动与还原


def _padded(image, down, right):
    moved = torch.zeros_like(image)
    height, width = image.shape[-2:]
    source = image[
        ..., max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    top, left = max(0, down), max(0, right)
    moved[..., top : top + source.shape[-2], left : left + source.shape[-1]] = source
    return moved


@exercise(
    "抖动和它的还原",
    level=1,
    asked="my_jitter",
    probes=(
        lambda: (noise((2, 3, 5, 7), 3), 2, -3),
        lambda: (noise((1, 3, 6, 4), 4), -1, 2),
        lambda: (noise((1, 3, 4, 4), 5), 0, 1),
    ),
    answer="一对 (N, 3, H, W)：循环移动后的图，和再移回来的图",
    idea="循环移动不丢像素：移出去的从另一边回来，所以能一个不差地移回去。",
    where="看 torch.roll 的文档，注意 dims 的次序。",
    question="optimize_image 里的抖动为什么不必移回来？",
    properties=(
        (
            lambda out, image, down, right: torch.equal(out[1], image),
            "移回来以后和原图不一样：像素丢了，或方向没有反过来。",
        ),
    ),
    mistakes={
        "zero_padding": (
            lambda x, d, r: (_padded(x, d, r), _padded(_padded(x, d, r), -d, -r)),
            "移出去的像素丢了，空出来的地方补了零：要循环移动。",
        ),
        "swapped": (
            lambda x, d, r: jitter_undo.oracle(x, r, d),
            "行和列对调了：down 是行，right 是列。",
        ),
        "no_undo": (
            ("(-down, -right)", "(down, right)"),
            "还原时又朝同一个方向移了一次：两个方向都要取反。",
        ),
        "reversed": (
            lambda x, d, r: jitter_undo.oracle(x, -d, -r),
            "移动的方向反了：正数是向下、向右。",
        ),
        "wrong_axes": (
            lambda x, d, r: (x.roll((d, r), (0, 1)), x),
            "移的是第 0、1 维：那是批量和通道，行和列是最后两维。",
        ),
        "flattened": (
            lambda x, d, r: (x.roll(d * x.shape[3] + r), x),
            "没有说移哪一维：torch.roll 不给 dims 就把整个张量当成一长条。",
        ),
        "channels_moved": (
            lambda x, d, r: (x.roll((d, r), (1, 2)), x),
            "移的是第 1、2 维：那是通道和行，行和列是最后两维。",
        ),
    },
)
def jitter_undo(image, down, right):
    moved = image.roll((down, right), (2, 3))
    return moved, moved.roll((-down, -right), (2, 3))


# 4 小贡献


def _keep_entries(image, gradient, share):
    """三个通道各排各的：留下的是一个个数，不是像素。"""
    score = ((image - 0.5) * gradient).abs().flatten(1)
    count = round(share * score.shape[1])
    kept = torch.zeros_like(score).scatter_(1, score.argsort(1, descending=True)[:, :count], 1)
    return torch.where(kept.view_as(image) > 0, image, 0.5)


def _keep_in_batch(image, gradient, share):
    score = ((image - 0.5) * gradient).sum(1).abs()
    threshold = score.flatten().sort(descending=True).values[round(share * score.numel()) - 1]
    return torch.where((score >= threshold)[:, None], image, 0.5)


def _above_quantile(image, gradient, share):
    score = ((image - 0.5) * gradient).sum(1).abs().flatten(1)
    kept = score > torch.quantile(score, 1 - share, dim=1, keepdim=True)
    return torch.where(kept.view(len(image), 1, *image.shape[2:]), image, 0.5)


@exercise(
    "只留贡献大的像素",
    level=2,
    probes=(
        lambda: (uniform((2, 3, 5, 6), 5), noise((2, 3, 5, 6), 6), 0.3),
        lambda: (uniform((3, 3, 4, 7), 7), noise((3, 3, 4, 7), 8), 0.5),
        lambda: (uniform((1, 3, 3, 7), 9), noise((1, 3, 3, 7), 10), 0.55),
        lambda: (uniform((2, 3, 5, 5), 11), noise((2, 3, 5, 5), 12), 0.13),
    ),
    answer="(N, 3, H, W)：每张图留下贡献最大的 share 份像素，其余的三个通道都换成 0.5",
    idea="贡献是一阶近似：把这个像素换成灰，得分大约掉多少。三个通道先相加，再取绝对值。",
    where="看本章“正则项，一样一样地加”一节；排序用 Tensor.argsort 或 Tensor.topk。",
    question="梯度很大、像素却正好是灰色的地方，贡献是多少？它会被留下吗？",
    mistakes={
        "gradient": (
            ("(one - 0.5) * slope", "slope"),
            "只看了梯度：贡献是像素（离灰多远）乘梯度。",
        ),
        "abs_first": (
            (".sum(0).abs()", ".abs().sum(0)"),
            "先取了绝对值再相加：一个像素的三个通道可以互相抵消。",
        ),
        "from_zero": (("(one - 0.5)", "one"), "像素没有减去灰：换成灰时，变化的是像素与灰之差。"),
        "smallest": (("descending=True", ""), "留反了：丢掉的应当是贡献小的。"),
        "gradient_size": (
            ("((one - 0.5) * slope).sum(0).abs()", "slope.abs().sum(0)"),
            "只看了梯度的大小：贡献是像素离灰多远，乘梯度。",
        ),
        "signed": ((".abs()", ""), "没有取绝对值：很负的贡献同样大。"),
        "one_channel": (
            (".sum(0).abs()", ".abs().amax(0)"),
            "只看了贡献最大的一个通道：三个通道先相加，再取绝对值。",
        ),
        "entries": (_keep_entries, "三个通道分开排了名次：一个像素要么整个留下，要么整个换成灰。"),
        "whole_batch": (_keep_in_batch, "整批一起排了名次：每张图各留自己的 share 份。"),
        "black": (("0.5)\n", "0.0)\n"), "其余像素填成了黑：题目要换成 0.5。"),
        "drops_the_best": (("[:count]", "[count:]"), "把贡献大的换成了灰：该留下的丢了。"),
        "other_share": (
            ("share *", "(1 - share) *"),
            "留下的份额反了：share 是留下的，不是丢掉的。",
        ),
        "rounded_down": (("round(", "int("), "个数向下取了整：题目要四舍五入。"),
        "rounded_up": (
            ("round(share * len(score))", "-int(-share * len(score) // 1)"),
            "个数向上取了整：题目要四舍五入。",
        ),
        "quantile": (_above_quantile, "用分位数当门槛，个数会差一两个：题目定了留几个，按名次取。"),
        "three_channels": (
            ("round(share * len(score))", "round(3 * share * len(score))"),
            "个数按三个通道数了：一个像素算一个。",
        ),
        "threshold": (
            ("score.argsort(descending=True)[:count]", "score > share * score.max()"),
            "share 当成了门槛：它是留下的像素占的份数。",
        ),
    },
)
def keep_contribution(image, gradient, share):
    result = torch.full_like(image, 0.5)
    for out, one, slope in zip(result, image, gradient, strict=True):
        score = ((one - 0.5) * slope).sum(0).abs().flatten()
        count = round(share * len(score))
        kept = score.argsort(descending=True)[:count]
        out.flatten(1)[:, kept] = one.flatten(1)[:, kept]
    return result


# 5 傅里叶参数


@exercise(
    "傅里叶参数化",
    level=3,
    asked="my_fourier_image",
    probes=(
        lambda: (noise((2, 3, 9, 4, 2), 13), 6),
        lambda: (noise((1, 3, 5, 4, 2), 14), 7),
        lambda: (noise((1, 3, 4, 5, 2), 15), 9),
    ),
    answer="(N, 3, H, width) 的实数图像：谱 (N, 3, H, width//2+1, 2) 乘 1 / max(f, 1/较长的边)，做正交归一的逆变换，再加 0.5",
    idea="实数图像的谱只有一半是自由的，另一半是共轭。逆变换要用知道这件事的那一种，并且要知道宽是奇是偶。",
    where="看 torch.fft.irfft2、torch.fft.fftfreq、torch.fft.rfftfreq 与 torch.view_as_complex。",
    question="谱取标准正态的噪声时，图像的频谱随频率怎样下降？用它当起点，与白噪声比有什么不同？",
    mistakes={
        "not_hermitian": (
            [("irfft2", "ifft2"), (" + 0.5", ".real + 0.5")],
            "没有用上共轭的另一半：直接逆变换再取实部，每个频率只剩一半。",
        ),
        "no_decay": (
            (" / frequency", ""),
            "没有除以频率：高频和低频一样大，就和优化像素没有区别了。",
        ),
        "twice": (
            ("/ frequency", "/ frequency**2"),
            "除了两次频率：自然图像的幅度按频率的一次方下降。",
        ),
        "black": ((" + 0.5", ""), "忘了加上灰：谱为零时应当是一张灰图。"),
        "real_only": (
            ("complex(spectrum)", "complex(spectrum * spectrum.new_tensor([1, 0]))"),
            "虚部没有用上：没有相位，图像会变得中心对称。",
        ),
        "floor_of_the_short": (("max(", "min("), "下限用了较短的边：题目要 1 除以较长的边。"),
        "floor_of_the_height": (
            ("max(height, width)", "height"),
            "下限只看了高：题目要 1 除以高与宽里较长的一个。",
        ),
        "grows": (("/ frequency", "* frequency"), "乘的是频率：应当除以频率，低频大、高频小。"),
        "per_image": (
            ("hypot(rows, columns)", "hypot(height * rows, width * columns)"),
            "频率用了每张图的周期数：题目要每像素的周期数，fftfreq 给的就是。",
        ),
        "one_sided": (
            ("hypot(rows", "hypot(rows % 1"),
            "行的频率没有折回来：后一半的行是负频率，fftfreq 给的就是。",
        ),
        "half_inverse": (
            [(" / frequency", ""), ("irfft2", "ifft2"), (" + 0.5", ".real + 0.5")],
            "没有除以频率，也没有用上共轭的另一半：实数图像的逆变换是 irfft2。",
        ),
        "unnormalized": (
            (', norm="ortho"', ""),
            '没有做正交归一：逆变换缺省还除了一次像素数的平方根，写 norm="ortho"。',
        ),
        "no_floor": (
            ("clamp_min(1 / max(height, width))", "clamp_min(1e-6)"),
            "零频的下限太小：f 至少算作 1 除以较长的边。",
        ),
        "added_floor": (
            (".clamp_min(1 / max(height, width))", " + 1 / max(height, width)"),
            "频率都加上了下限：题目是两者取大，只抬高不到下限的。",
        ),
        "added_axes": (
            ("torch.hypot(rows, columns)", "(rows.abs() + columns)"),
            "两个方向的频率直接相加了：f 是平方和的平方根。",
        ),
    },
)
def fourier(spectrum, width):
    height = spectrum.shape[-3]
    rows = torch.fft.fftfreq(height, dtype=spectrum.dtype)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=spectrum.dtype)
    frequency = torch.hypot(rows, columns).clamp_min(1 / max(height, width))
    values = torch.view_as_complex(spectrum) / frequency
    return torch.fft.irfft2(values, s=(height, width), norm="ortho") + 0.5
