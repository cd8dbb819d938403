"""“最近邻”一章的练习：特征向量、距离、不算自己、两种距离的分歧、打乱权重的对照。"""

import copy
from functools import partial

import torch
from torch.nn import functional

from cnnlab.check.core import Unfit, exercise
from cnnlab.check.fixtures import TinyNet, noise, permuted
from cnnlab.check.watching import work_of

# 1 从激活到特征向量


@exercise(
    "一张图变成一个向量",
    level=1,
    probes=(
        lambda: (noise((3, 5, 4, 6), 1),),
        lambda: (noise((2, 4, 3, 5), 2),),
        lambda: (noise((1, 3, 1, 4), 3),),
    ),
    answer="(N, C)，每张图一行",
    idea="位置要去掉，通道要留下：检索时我们不在乎东西在左边还是右边。",
    where="看 Tensor.mean 可以一次对几维取平均。",
    question="把平均换成最大值，得到的向量对物体的大小更敏感还是更迟钝？",
    mistakes={
        "flattened": ((".mean((2, 3))", ".flatten(1)"), "位置还在里面：东西一平移，向量就变了。"),
        "sum": (
            (".mean(", ".sum("),
            "用了总和：图像大一倍，向量就大四倍，两张不同大小的图没法比。",
        ),
        "maximum": ((".mean(", ".amax("), "用了最大值：这里要的是平均。"),
        "batch_mean": (("(2, 3)", "(0, 2, 3)"), "把一批图也平均掉了：每张图要有自己的一行。"),
        "channel_mean": (("((2, 3))", "(1).flatten(1)"), "平均错了维：留下的应当是通道。"),
        "squeezed": (
            ("((2, 3))", "((2, 3)).squeeze()"),
            "只有一张图时少了一维：squeeze 把长为 1 的批量维也去掉了。",
        ),
        "unit": (
            lambda activation: functional.normalize(pooled_features.oracle(activation)),
            "多做了一步归一化：除以范数是比较时的事。",
        ),
    },
)
def pooled_features(activation):
    return activation.mean((2, 3))


# 2 不用循环的距离


def _work(call):
    return work_of(lambda: call(noise((40, 30), 7), noise((50, 30), 8)))


def _small(call, *_):
    return _work(call).largest < 40 * 50 * 30


def _no_loop(call, *_):
    return _work(call).steps < 60


def my_squared_distances(query, gallery):
    own = query.square().sum(1)[:, None]
    other = gallery.square().sum(1)[None, :]
    distances = own + other - 2 * query @ gallery.T
    return distances.clamp(min=0)


@exercise(
    "不用循环的距离",
    level=2,
    ours=my_squared_distances,
    probes=(
        lambda: (noise((5, 6), 3), noise((7, 6), 4)),
        lambda: (noise((4, 9), 5), noise((3, 9), 6)),
    ),
    answer="(Q, M) 的距离平方，不小于 0",
    idea="把平方展开成三项，最贵的一项是一次矩阵乘法；Q×M×D 的大张量不必出现。",
    where="看本章“想法”一节的展开式。",
    question="两个几乎相同的大向量相减，展开式会丢掉多少位有效数字？",
    properties=(
        (
            lambda out, query, gallery: (out >= 0).all(),
            "有负数：浮点误差会让零变成很小的负数，开方就成了 NaN；先截到 0。",
        ),
    ),
    laws=(
        (
            lambda call, query, gallery: all(
                (call(x, x).diagonal() >= 0).all() for x in (query, noise((40, 30), 9) + 1000)
            ),
            "自己到自己的距离成了负数：浮点误差所致，先截到 0。",
        ),
        (_small, "造了 (Q, M, D) 那么大的张量：库一大，内存就不够了。"),
        (_no_loop, "用了循环：展开平方，最贵的一项是一次矩阵乘法。"),
        (
            lambda call, query, gallery: torch.allclose(
                call(query + 9, gallery + 9), call(query, gallery)
            ),
            "两边一起平移，距离不该变。",
        ),
    ),
    mistakes={
        "cross_sign": (
            ("other - 2", "other + 2"),
            "交叉项的符号反了：越像的两个向量，内积越大，距离应当越小。",
        ),
        "no_query_norm": (
            ("own + other", "other"),
            "少了查询自己的平方和：名次不变，距离的值不对。",
        ),
        "no_gallery_norm": (("own + other", "own"), "少了库里向量的平方和：长的向量会占便宜。"),
        "root": (
            ("distances.clamp(min=0)", "distances.clamp(min=0).sqrt()"),
            "多开了一次根号：要的是距离的平方。",
        ),
        "single_cross": (("- 2 * query", "- query"), "交叉项少了一半：展开完全平方再数一遍。"),
        "big_tensor": (lambda q, g: (q[:, None] - g).square().sum(2),),
        "looped": (lambda q, g: torch.stack([(one - g).square().sum(1) for one in q]),),
        "no_clamp": ((".clamp(min=0)", ""),),
        "absolute": (lambda q, g: torch.cdist(q, g, p=1), "各维相加的是绝对值：要平方和。"),
        "mean": (
            (".clamp(min=0)", ".clamp(min=0) / query.shape[1]"),
            "除以了维数：要平方之和，不是平均。",
        ),
    },
)
def squared_distances(query, gallery):
    return torch.tensor(
        [
            [sum((a - b) ** 2 for a, b in zip(q, g, strict=True)) for g in gallery.tolist()]
            for q in query.tolist()
        ],
        dtype=query.dtype,
    )


# 3 不算自己


def _with_twins(seed):
    vectors = noise((9, 4), seed)
    vectors[6] = vectors[2]
    vectors[7] = vectors[2]
    return vectors, 3


@exercise(
    "最近的别人",
    level=2,
    probes=(lambda: _with_twins(11), lambda: _with_twins(12)),
    answer="整数张量 (N, k)：每个向量最近的 k 个别的向量的下标，由近到远",
    idea="自己由下标认，不由距离认：库里可能有一模一样的另一张图。",
    where="想想对角线；距离相同的，下标小的在前。",
    question="库里混进了查询的一份缩小版，检索得分会被抬高还是压低？",
    properties=(
        (
            lambda out, vectors, k: not (out == torch.arange(len(vectors))[:, None]).any(),
            "有的向量把自己当成了邻居：最近的永远是自己，要先排除。",
        ),
    ),
    mistakes={
        "itself": ((".fill_diagonal_(torch.inf)", ""),),
        "hides_twins": (
            (".fill_diagonal_(torch.inf)", ".square()\n    distance[distance == 0] = torch.inf"),
            "一模一样的另一个也被去掉了：它是别人，应当留下。",
        ),
        "farthest": (
            [(".fill_diagonal_(torch.inf)", ""), ("stable=True", "stable=True, descending=True")],
            "取的是最远的：方向反了。",
        ),
        "last_of_equals": (
            ("distance.argsort", "len(vectors) - 1 - distance.flip(1).argsort"),
            "距离相同时下标大的排到了前面：题目要小的在前，排序要稳定。",
        ),
        "unstable": (
            ("argsort(dim=1, stable=True)[:, :k]", "topk(k, largest=False).indices"),
            "距离相同时的次序乱了：topk 不保证下标小的在前，用稳定的排序。",
        ),
        "skips_the_first": (
            [(".fill_diagonal_(torch.inf)", ""), ("[:, :k]", "[:, 1 : k + 1]")],
            "去掉的是排在第一的那个，不一定是自己：有一模一样的向量时，第一个可能是别人。",
        ),
        "left_out_twice": (
            ("[:, :k]", "[:, 1 : k + 1]"),
            "自己去了两次：对角已经排除，排在第一的就是最近的别人。",
        ),
    },
)
def neighbors_without_self(vectors, k):
    distance = (vectors[:, None] - vectors).square().sum(2).fill_diagonal_(torch.inf)
    return distance.argsort(dim=1, stable=True)[:, :k]


# 4 两种距离的分歧


def _cosines(query, first, second):
    return [float(functional.cosine_similarity(query, each, dim=0)) for each in (first, second)]


def _is_three(out, dimension):
    return len(out) == 3 and all(
        isinstance(each, torch.Tensor) and each.is_floating_point() and each.shape == (dimension,)
        for each in out
    )


def _vectors(dimension, *values):
    made = []
    for x, y in values:
        vector = torch.zeros(dimension, dtype=torch.float64)
        vector[0], vector[1] = x, y
        made.append(vector)
    return tuple(made)


@exercise(
    "远近各有说法",
    level=3,
    open_ended=True,
    probes=(lambda: (2,), lambda: (5,)),
    answer="三个 (dimension,) 的浮点张量：查询、甲、乙",
    idea="欧氏距离看终点离得多远，余弦只看方向；让一个方向对而太长，另一个方向偏而很近。",
    where="在纸上画三支从原点出发的箭头。",
    question="特征都除以各自的范数之后，还造得出这样的三个向量吗？",
    properties=(
        (_is_three, "要三个形状为 (dimension,) 的浮点张量。"),
        (
            lambda out, dimension: all(float(each.norm()) > 0 for each in out),
            "有一个是零向量：零向量没有方向，余弦无从谈起。",
        ),
        (
            lambda out, dimension: abs(float(out[1].norm() - out[2].norm())) > 1e-6,
            "甲和乙范数相同：那时两种距离给出同样的次序。",
        ),
        (
            lambda out, dimension: (out[0] - out[1]).norm() < (out[0] - out[2]).norm() - 1e-6,
            "按欧氏距离，甲应当比乙近。",
        ),
        (
            lambda out, dimension: _cosines(*out)[1] > _cosines(*out)[0] + 1e-6,
            "按余弦，乙应当比甲更像查询。",
        ),
    ),
    mistakes={
        "same_norm": (lambda d: _vectors(d, (1, 0), (0.8, 0.6), (0.6, 0.8)),),
        "zero": (lambda d: _vectors(d, (1, 0), (0, 0), (5, 0)),),
        "agree": (lambda d: _vectors(d, (1, 0), (1, 0.1), (3, 3)),),
        "swapped": (lambda d: _vectors(d, (1, 0), (9, 1), (0.5, 0.5)),),
    },
)
def disagreement(dimension): ...


# 5 打乱权重的对照


def _parameters(function, model, seed):
    made = function(model, seed)
    if not isinstance(made, torch.nn.Module):
        raise Unfit(f"返回的是一个 {type(made).__name__}，题目要一个网络。")
    if made is model:
        raise Unfit("返回的就是原来的那个网络，不是副本：先深复制。")
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    if wanted != {name: p.requires_grad for name, p in made.named_parameters()}:
        raise Unfit("新网络的参数与原来的不同：名字要一样，requires_grad 也要还原成原来的。")
    return {name: parameter.detach().clone() for name, parameter in made.named_parameters()}


def _same_numbers(out, model, seed):
    return all(
        torch.equal(out[n].flatten().sort().values, p.detach().flatten().sort().values)
        for n, p in model.named_parameters()
    )


def _moved(out, model, seed):
    return all(
        (out[n] != p.detach()).float().mean() > 0.3
        for n, p in model.named_parameters()
        if p.numel() > 20
    )


def _across_kernels(out, model, seed):
    """四维的权重里，各个小核的数不全是自己原来的那几个。"""
    return not any(
        torch.equal(out[n].flatten(2).sort(2).values, p.detach().flatten(2).sort(2).values)
        for n, p in model.named_parameters()
        if p.dim() == 4
    )


def _all_of_them(call, model, seed):
    """少数几个数的一组，一次没动可能是碰巧；六个种子都没动就是漏了。"""
    made = [call(model, each) for each in range(6)]
    return all(
        any(not torch.equal(one[n], p.detach()) for one in made)
        for n, p in model.named_parameters()
        if p.numel() > 3
    )


def _within_kernels(parameter, generator):
    if parameter.dim() != 4:
        return permuted(parameter, generator)
    flat = parameter.flatten(2)
    return flat[:, :, torch.randperm(flat.shape[2], generator=generator)].view_as(parameter)


def _weights_only(parameter, generator):
    return permuted(parameter, generator) if parameter.dim() > 1 else parameter


def _fresh(model, seed, how):
    made, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(how(parameter, generator))
    return made


def _in_place(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(permuted(parameter, generator))
    return copy.deepcopy(model)


def _global_seed(model, seed):
    torch.manual_seed(seed)
    return _fresh(model, seed, permuted)


@exercise(
    "同样的数，打乱了次序",
    level=3,
    open_ended=True,
    ours=partial(_fresh, how=permuted),
    probes=(lambda: (TinyNet(seed=3), 1), lambda: (TinyNet(seed=4), 2)),
    answer="一个新的网络，结构相同",
    idea="好的对照只差一样东西。打乱次序保住了每一层权重的平均、尺度和分布，只毁掉学到的排列。",
    where="看 copy.deepcopy、torch.randperm 的 generator 参数，还有 torch.no_grad。",
    question="只打乱每个卷积核内部，或只打乱卷积核之间的次序，各毁掉什么？",
    run=_parameters,
    properties=(
        (_same_numbers, "有的参数不再是原来的那些数：尺度或分布变了，对照就差了不止一样东西。"),
        (_moved, "参数几乎原封不动：没有打乱。"),
        (_across_kernels, "每个小核里还是它自己的那几个数：要在整组参数里打乱，不只在核内。"),
    ),
    laws=(
        (
            lambda call, model, seed: all(
                torch.equal(a, b)
                for a, b in zip(call(model, seed).values(), call(model, seed).values(), strict=True)
            ),
            "同一个种子调用两次，结果应当一样。",
        ),
        (
            lambda call, model, seed: any(
                not torch.equal(a, b)
                for a, b in zip(
                    call(model, seed).values(), call(model, seed + 1).values(), strict=True
                )
            ),
            "换了种子，结果应当不同。",
        ),
        (_all_of_them, "有的参数（如偏置）从来没有动：每组参数都要打乱。"),
    ),
    mistakes={
        "unit_noise": (
            partial(_fresh, how=lambda p, g: torch.randn(p.shape, generator=g, dtype=p.dtype)),
        ),
        "untouched": (lambda m, s: copy.deepcopy(m),),
        "in_place": (_in_place,),
        "global_seed": (_global_seed,),
        "within_kernels": (partial(_fresh, how=_within_kernels),),
        "weights_only": (partial(_fresh, how=_weights_only),),
        "frozen": (lambda m, s: _fresh(m, s, permuted).requires_grad_(False),),
        "itself": (lambda m, s: m,),
    },
)
def shuffled_copy(model, seed): ...
