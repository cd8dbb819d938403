"""“这些图可信吗”一章的练习：随机化一层、秩相关、删除曲线、逐层随机化、捷径的证据。"""

import copy
from functools import partial
from itertools import accumulate

import torch

from cnnlab.check.core import Unfit, exercise
from cnnlab.check.fixtures import TinyNet, noise, permuted, uniform
from cnnlab.check.gradients import gradient_of
from cnnlab.check.ranks import first_come, kendall, pearson
from cnnlab.check.variants import fed

# 1 打乱一层


def _drawn(parameter, generator):
    return torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def _same_spread(parameter, generator):
    drawn = _drawn(parameter, generator)
    return (drawn - drawn.mean()) / drawn.std() * parameter.std()


def _redrawn(model, layer, generator, *, draw=_same_spread, copied=copy.deepcopy):
    changed = copied(model)
    with torch.no_grad():
        for parameter in changed.get_submodule(layer).parameters():
            parameter.copy_(draw(parameter, generator))
    return changed


def _alternating(parameter, generator):
    signs = torch.ones_like(parameter).flatten()
    signs[::2] = -1
    return (signs / signs.std() * parameter.std()).view_as(parameter)


def _new_numbers(new, model, layer, generator):
    return not any(
        torch.allclose(new[key].flatten().sort().values, old.flatten().sort().values)
        for key, old in _parts(model).items()
        if key.startswith(layer)
    )


def _follows_the_generator(call, model, layer, generator):
    first, second = call(model, layer, _generator(31)), call(model, layer, _generator(32))
    return not any(torch.equal(first[key], second[key]) for key in first if key.startswith(layer))


def _repeats(call, model, layer, generator):
    first, second = call(model, layer, _generator(31)), call(model, layer, _generator(31))
    return all(torch.equal(first[key], second[key]) for key in first)


def _parts(model):
    return {key: part.clone() for key, part in model.state_dict().items()}


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _others_same(new, model, layer, generator):
    return all(
        torch.equal(new[key], old)
        for key, old in _parts(model).items()
        if not key.startswith(layer)
    )


def _layer_changed(new, model, layer, generator):
    return not any(
        torch.equal(new[key], old) for key, old in _parts(model).items() if key.startswith(layer)
    )


def _same_scale(new, model, layer, generator):
    pairs = [(new[key], old) for key, old in _parts(model).items() if key.startswith(layer)]
    return all(abs(float(a.std() / b.std()) - 1) < 0.05 for a, b in pairs)


def _run_redrawn(function, model, layer, generator):
    made = function(model, layer, generator)
    if not isinstance(made, torch.nn.Module) or made.state_dict().keys() != _parts(model).keys():
        raise Unfit("返回的不是一个结构相同的网络。")
    return _parts(made)


@exercise(
    "打乱一层，保住尺度",
    level=2,
    open_ended=True,
    ours=_redrawn,
    probes=(
        lambda: (TinyNet(), "linear", _generator(1)),
        lambda: (TinyNet(seed=7), "conv2", _generator(2)),
    ),
    answer="一个新的模型：layer 这一层的每组参数换成随机数，标准差与原来相等（5% 以内），其余不变",
    idea="要比的是“学到的权重”与“同样大小的随机权重”，所以尺度要保住，别的层一个数都不能动。",
    where="看 copy.deepcopy、nn.Module.get_submodule 和 Tensor.copy_；在 torch.no_grad() 里改参数。",
    question="如果不保住标准差，最后一层放大十倍，梯度图会变成什么样？",
    run=_run_redrawn,
    properties=(
        (_layer_changed, "这一层有的参数还是原来的：权重和偏置都要换。"),
        (_new_numbers, "还是原来那些数，只换了次序：这里要抽新的随机数。"),
        (_others_same, "别的层也变了：这里只打乱指定的那一层。"),
        (
            _same_scale,
            "尺度变了：随机数要乘上原来那组参数的标准差；数少的时候，先把抽到的数自己标准化。",
        ),
    ),
    laws=(
        (_follows_the_generator, "换一个生成器，得到的还是同样的数：随机数要从 generator 里抽。"),
        (_repeats, "同样种子的生成器给出了不同的数：随机数只能从 generator 里抽。"),
    ),
    mistakes={
        "shallow": (
            partial(_redrawn, copied=copy.copy),
            "原网络也被改了：浅复制只抄了外壳，里面的层还是同一份，要深复制。",
        ),
        "all_layers": (fed(_redrawn, layer=lambda _: ""),),  # "" 是整个网络
        "no_scale": (partial(_redrawn, draw=lambda p, g: 4 * _drawn(p, g)),),
        "zeros": (
            partial(_redrawn, draw=lambda p, _: torch.zeros_like(p)),
            "你把这一层清零了：那是剪断，不是打乱；梯度会处处为 0。",
        ),
        "permuted": (partial(_redrawn, draw=permuted),),
        "alternating": (partial(_redrawn, draw=_alternating),),
    },
)
def redrawn_layer(model, layer, generator): ...


# 2 秩相关


def _on_ranks(rank, compare=pearson):
    """名次由 rank 排，再由 compare 相比；有一张处处相同时是 0。"""

    def agreement(a, b):
        if a.min() == a.max() or b.min() == b.max():
            return 0.0
        return float(compare(rank(a.flatten()), rank(b.flatten())))

    return agreement


def _dense(values):
    return values.unique(return_inverse=True)[1].double()


def _lowest(values):
    return (values[:, None] > values).sum(1).double()


def _average(values):
    return _lowest(values) + ((values[:, None] == values).sum(1) - 1) / 2


def _by_differences(a, b):
    return 1 - 6 * (a - b).square().sum() / (len(a) * (len(a) ** 2 - 1))


def _opposed(shape, seed):
    a, b = _tied(shape, seed)
    return a, -b


def _tied(shape, seed):
    a = noise(shape, seed).mul(2).round() / 2  # 有并列
    return a, (a + noise(shape, seed + 1)).pow(3)


@exercise(
    "两张图的秩相关",
    level=2,
    asked="my_rank_correlation",
    probes=(lambda: _tied((5, 6), 61), lambda: _opposed((4, 7), 63), lambda: _tied((6, 6), 64)),
    answer="一个 −1 到 1 之间的数：两张图名次的相关，并列取平均名次；有一张处处相同时是 0",
    idea="先把每个像素换成它的名次，再算普通的相关。并列的像素应当得到同样的名次。",
    where="看本章“从零实现”一节；torch.unique 的 return_inverse 与 return_counts 能一次数清并列。",
    question="热力图常有大片的 0。并列处理错了，结论会往哪边偏？",
    laws=(
        (
            lambda call, a, b: abs(float(call(a.exp(), b)) - float(call(a, b))) < 1e-6,
            "把一张图做单调的变换，名次不变，结果也应当不变。",
        ),
        (
            lambda call, a, b: float(call(torch.ones_like(a), b)) == 0,
            "一张处处相同的图没有名次可言：那时题目要求返回 0。",
        ),
    ),
    mistakes={
        "pearson": (
            lambda a, b: float(pearson(a, b)),
            "用了数值本身：几个亮点会左右结果，要先换成名次。",
        ),
        "ties": (
            lambda a, b: float(pearson(first_come(a), first_come(b))),
            "并列的像素按先来后到排了名次：它们应当得平均名次。",
        ),
        "argsort_once": (
            lambda *both: float(pearson(*(x.flatten().argsort(stable=True) for x in both))),
            "排序一次得到的是“第几名是谁”，名次是“谁是第几名”。",
        ),
        "absolute": (
            lambda *a: abs(rank_agreement.oracle(*a)),
            "取了绝对值：一张图高的地方另一张低，相关应当是负的。",
        ),
        "argsort_twice": (
            _on_ranks(lambda v: v.argsort().argsort()),
            "排序两次得到的名次没有管并列：一样大的应当得到同样的名次。",
        ),
        "dense": (
            _on_ranks(_dense),
            "并列之后的名次没有跳过去：三个并列第二之后是第五，名次取它们的平均。",
        ),
        "lowest": (_on_ranks(_lowest), "并列的都取了最小的名次：要取平均名次。"),
        "differences": (
            _on_ranks(_average, _by_differences),
            "用了名次之差平方的简便公式：它只在没有并列时才对。",
        ),
        "kendall": (
            _on_ranks(lambda v: v, kendall),
            "算的是成对比较的一致程度（肯德尔系数）：题目要对名次求相关系数。",
        ),
        "argsort_loose": (
            lambda *both: float(pearson(*(x.flatten().argsort() for x in both))),
            "只排了一次序，得到的是“第几名是谁”；名次是“谁是第几名”，并列的还要取平均。",
        ),
        "not_centred": (
            [
                ("/ 2 for v", "/ 2 + 1 for v"),
                (
                    "pearson(*map(torch.tensor, ranks))",
                    "torch.cosine_similarity(*map(torch.tensor, ranks), dim=0)",
                ),
            ],
            "名次没有减去平均就比了夹角：相关系数要先各减平均。",
        ),
    },
)
def rank_agreement(a, b):
    ranks = []  # 名次 = 比它小的个数 + 并列的另一些的一半
    for values in (a.flatten().tolist(), b.flatten().tolist()):
        ranks.append(
            [sum(w < v for w in values) + (sum(w == v for w in values) - 1) / 2 for v in values]
        )
    return float(pearson(*map(torch.tensor, ranks)))


# 3 逐层随机化


def _swapped(model, layer):
    """把一层的参数倒过来排，再变号：当作确定的“随机化”。"""
    return _redrawn(model, layer, None, draw=lambda p, _: -p.flatten().flip(0).view_as(p))


@exercise(
    "逐层随机化",
    level=3,
    probes=(
        lambda: (uniform((1, 3, 5, 6), 71), 2, TinyNet(), ["linear", "conv2", "conv1"], _swapped),
        lambda: (uniform((1, 3, 6, 4), 72), 4, TinyNet(seed=9), ["linear", "conv2"], _swapped),
    ),
    answer="(层数 + 1, H, W)：第一张是原模型的显著图，以后每张在前一个模型上再打乱一层",
    idea="逐层是累积的：打乱第二层的时候，第一层仍是乱的。",
    where="参数 shuffle 收模型和层名，返回打乱了那一层的新模型，不动原来的；显著图是得分梯度的绝对值在通道上的最大值。",
    question="哪一种解释图直到最后一步还几乎不变？它看的是网络还是照片？",
    tolerance=1e-4,
    mistakes={
        "alone": (
            (
                "accumulate(layers, shuffle, initial=model)",
                "[model, *(shuffle(model, layer) for layer in layers)]",
            ),
            "每次都从原模型打乱一层：要逐层累积，在前一个模型上继续。",
        ),
        "no_original": (("stack(maps)", "stack(maps[1:])"), "少了第一张：原模型的图是比较的起点。"),
        "upside_down": (
            ("(layers,", "(layers[::-1],"),
            "次序反了：layers 已经按从输出到输入排好，照着走。",
        ),
        "signed": ((".abs()", ""), "没有取绝对值就取了最大：负的大梯度同样要紧。"),
        "summed": ((".amax(0)", ".sum(0)"), "跨通道用了求和：这里取最大，与显著图一致。"),
        "predicted": (
            ("[0, target]", "[0].amax()"),
            "每个模型用了它自己预测的类：类别要一直是 target，才比得了。",
        ),
        "stuck": (
            ("network=network", "network=model"),
            "每一张都是原模型的图：shuffle 返回新模型，要接住它。",
        ),
        "drawn_before": (
            (
                "accumulate(layers, shuffle, initial=model)",
                "[model, *accumulate(layers, shuffle, initial=model)][:-1]",
            ),
            "先画了图再打乱：每打乱一层之后才画，最后一层也要画到。",
        ),
    },
)
def cascade(image, target, model, layers, shuffle):
    maps = []
    for network in accumulate(layers, shuffle, initial=model):
        gradient = gradient_of(lambda leaf, network=network: network(leaf)[0, target], image)
        maps.append(gradient[0].abs().amax(0))
    return torch.stack(maps)


# 4 删除曲线


def _deletion_probe(shape, targets, steps, seed):
    return (
        uniform(shape, seed),
        torch.tensor(targets),
        TinyNet(),
        noise((shape[0], *shape[2:]), seed + 1),
        steps,
    )


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


@exercise(
    "删除曲线",
    level=3,
    ours=my_deletion,
    probes=(
        lambda: _deletion_probe((2, 3, 6, 8), [1, 4], 4, 65),
        lambda: _deletion_probe((3, 3, 5, 6), [0, 2, 3], 5, 67),
        lambda: _deletion_probe((1, 3, 4, 6), [2], 3, 69),
    ),
    answer="(N, steps + 1)：第 k 列是把热力图最强的 k/steps 的像素换成这张图的平均色之后，目标类的得分",
    idea="先给像素排名次，第 k 步换掉名次在前的那些：一步比一步多，从不放回。",
    where="看本章“删掉它、放回它”一节；名次可以用两次 argsort 得到。",
    question="换成黑色、平均色、模糊，三条曲线的高低会一样吗？",
    mistakes={
        "weakest": (
            ("descending=True", "descending=False"),
            "从最弱的像素删起了：要从最强的开始。",
        ),
        "apart": (
            ("n, : round", "n, round(max(k - 1, 0) * count / steps) : round"),
            "每一步只删了自己那一份，前面删的又放回去了：要累积。",
        ),
        "black": (("= color[n]", "= 0"), "删掉的像素填成了黑色：题目要这张图自己的平均色。"),
        "batch": (
            (
                "mean((2, 3), keepdim=True)",
                "mean((0, 2, 3), keepdim=True).expand(len(image), -1, 1, 1)",
            ),
            "填的是整批图的平均色：每张图用自己的。",
        ),
        "probability": (
            ("model(covered.view_as(image))", "model(covered.view_as(image)).softmax(1)"),
            "返回了概率：题目要 softmax 之前的得分。",
        ),
        "grey": (
            ("mean((2, 3), keepdim=True)", "mean((1, 2, 3), keepdim=True)"),
            "三个通道填了同一个数：平均色是一种颜色，有三个分量。",
        ),
        "insertion": (
            [
                ("covered = image.flatten(2)", "covered = color.expand(-1, -1, count)"),
                ("= color[n]", "= image.flatten(2)[n][:, order[n, : round(k * count / steps)]]"),
            ],
            "做的是插入：从平均色开始往回放；题目是从原图开始往下删。",
        ),
        "ahead": (
            lambda *a: my_deletion(*a)[:, [*range(1, a[-1] + 1), -1]],
            "早删了一步：第 0 列是原图，一个像素也没有删。",
        ),
        "half": (("= color[n]", "= 0.5"), "填的是 0.5 的灰：题目要这张图自己的平均色。"),
        "order_as_rank": (
            ("order[n, : round(k * count / steps)]", "order[n] < round(k * count / steps)"),
            "排一次序得到的是“第几名是哪个像素”，不是名次：拿它取下标，或者再排一次。",
        ),
    },
)
def deletion(image, target, model, heat, steps):
    curves = []
    for one, label, map_ in zip(image, target.tolist(), heat, strict=True):
        order = sorted(range(map_.numel()), key=lambda i: -float(map_.flatten()[i]))
        curves.append([])
        for step in range(steps + 1):
            changed = one.flatten(1).clone()
            changed[:, order[: round(len(order) * step / steps)]] = one.mean((1, 2))[:, None]
            with torch.no_grad():
                curves[-1].append(float(model(changed.view_as(one)[None])[0, label]))
    return torch.tensor(curves, dtype=image.dtype)


# 5 捷径的证据


def _planted(shape, targets, seed):
    mask = torch.zeros(shape[0], *shape[2:], dtype=torch.bool)
    mask[:, :2, -3:] = True
    mask[1] = mask[1].flip(0)
    mask[1, -3, -3:] = True  # 方块有大有小
    return (
        uniform(shape, seed),
        mask,
        torch.tensor(targets),
        TinyNet(),
        noise((shape[0], *shape[2:]), seed + 1),
    )


@exercise(
    "先证明网络用了它，再问图找到了没有",
    level=4,
    asked="my_evidence",
    probes=(
        lambda: _planted((2, 3, 6, 8), [1, 3], 75),
        lambda: _planted((3, 3, 5, 7), [0, 2, 4], 77),
    ),
    answer="(use, density) 两项，各 (N,)：盖住方块后得分掉了多少；热力图正的部分在方块里的份额除以方块的面积份额",
    idea="图没有指向方块，可能是图的错，也可能是网络根本没看方块。先用干预定真相，再评图。",
    where="看本章“埋一条捷径”一节；mask 是布尔张量，(N, H, W)。",
    question="网络没有用方块，图却指着方块，这样的图在你的实验里会怎样露馅？",
    mistakes={
        "share_only": (
            (" / region.double().mean()", ""),
            "份额没有除以面积：大方块天然占得多，1 应当表示“和随便撒一样”。",
        ),
        "absolute": (
            ("map_.clamp_min(0)", "map_.abs()"),
            "把负的也算进去了：负的是反对的证据，这里只数正的部分。",
        ),
        "own_colour": (
            ("one[:, ~region]", "one.flatten(1)"),
            "填的颜色里混进了方块自己：用方块之外的平均色，才是真的拿走了它。",
        ),
        "probability": (
            ("[:, label]", ".softmax(1)[:, label]"),
            "用了概率的下降：饱和时概率几乎不动，要看得分。",
        ),
        "black": (("= colour[:, None]", "= 0"), "方块填成了黑色：题目要方块之外的平均色。"),
        "inside": (("~region", "region"), "填的是方块自己的平均色：要用方块之外的。"),
        "batch_colour": (
            ("one[:, ~region]", "image.movedim(1, 0)[:, ~mask]"),
            "平均色取自整批：每张图用它自己方块之外的。",
        ),
        "signed": (("map_.clamp_min(0)", "map_"), "热力图没有只取正的部分：负的把份额冲淡了。"),
        "inverted": (("zip(image, mask,", "zip(image, ~mask,"), "mask 用反了：真的地方是方块。"),
        "against_the_rest": (
            (
                "region.double().mean()",
                "region.double().mean() * (~region).double().mean() / (1 - share)",
            ),
            "比的是方块里与方块外的密度：题目要份额除以面积份额，分母是整张图。",
        ),
        "no_total": (("/ positive.sum()", ""), "热力图没有除以它的总和：份额是占整张图的比例。"),
    },
)
def shortcut_evidence(image, mask, target, model, heat):
    use, density = [], []
    for one, region, label, map_ in zip(image, mask, target.tolist(), heat, strict=True):
        colour, covered = one[:, ~region].mean(1), one.clone()
        covered[:, region] = colour[:, None]
        with torch.no_grad():
            before, after = model(torch.stack([one, covered]))[:, label]
        use.append(before - after)
        positive = map_.clamp_min(0)
        share = positive[region].sum() / positive.sum()
        density.append(share / region.double().mean())
    return torch.stack(use), torch.stack(density)
