"""“激活图”一章的练习：取一层、取几层、两把尺、给通道记分。"""

import torch

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import TinyNet, noise, uniform
from cnnlab.check.variants import fed
from cnnlab.core.hooks import activations_of, record_activations

# 1 取出一层的输出


def _by_hand(image, layers, model):
    """不用钩子，把 TinyNet 一层层手写一遍；ReLU 不原地。"""
    found = {"conv1": torch.conv2d(image, model.conv1.weight, model.conv1.bias, padding=1)}
    found["relu1"] = found["conv1"].clamp(min=0)
    found["conv2"] = torch.conv2d(found["relu1"], model.conv2.weight, model.conv2.bias, stride=2)
    found["relu2"] = found["conv2"].clamp(min=0)
    found["linear"] = found["relu2"].mean((2, 3)) @ model.linear.weight.T + model.linear.bias
    return {layer: found[layer].detach() for layer in layers}


_left_open = []  # 不留着引用，垃圾回收会替它摘掉钩子


def _leave_hooks(model, layers):
    _left_open[:] = [record_activations(model, layers)]
    _left_open[0].__enter__()


def _leaves_hook(image, layer, model):
    _leave_hooks(model, layer)
    return _by_hand(image, [layer], model)[layer]


def _hooks_the_input(image, layer, model):
    kept = []
    hook = getattr(model, layer).register_forward_hook(
        lambda module, inputs, output: kept.append(inputs[0].detach().clone())
    )
    model(image)
    hook.remove()
    return kept[0]


@exercise(
    "取出一层的输出",
    level=1,
    probes=(
        lambda: (uniform((2, 3, 8, 6), 1), "relu1", TinyNet(inplace=False)),
        lambda: (uniform((3, 3, 7, 9), 2), "relu2", TinyNet(seed=7)),
        lambda: (uniform((1, 3, 6, 7), 3), "linear", TinyNet(seed=8)),
    ),
    answer="这一层的输出 (N, C, h, w)，不带计算图",
    idea="钩子函数收到 (模块, 输入, 输出)；把输出存进外面的一个字典或列表，前向跑完再取出来。",
    where="看 torch.nn.Module.register_forward_hook 的文档：它返回一个把手，把手有 remove。",
    question="如果不摘钩子，把这个函数调用一百次，第一百次会多花多少力气？",
    mistakes={
        "left_on": (_leaves_hook, "钩子还挂着：用 try/finally 调 handle.remove()。"),
        "input": (
            _hooks_the_input,
            "这是那一层的输入，不是输出：钩子收到的三个实参里，最后一个才是输出。",
        ),
        "scores": (lambda x, layer, m: m(x).detach(), "这是整个网络的输出：要的是中间那一层的。"),
        "first_only": (
            lambda x, layer, m: _by_hand(x[:1], [layer], m)[layer],
            "只留下了第一张图：一批有几张，就返回几张。",
        ),
        "graph": (lambda x, layer, m: activations_of(m, x.clone().requires_grad_(), layer)[layer],),
    },
)
def layer_output(image, layer, model):
    return _by_hand(image, [layer], model)[layer]


# 2 取几层，不被改写


def _aliased(image, layers, model):
    after = {"conv1": "relu1", "conv2": "relu2"}
    found = _by_hand(image, [after.get(layer, layer) for layer in layers], model)
    return {layer: found[after.get(layer, layer)] for layer in layers}


def _stays_in_eval(image, layers, model):
    model.eval()
    return _by_hand(image, layers, model)


def _forgets_eval(image, layers, model):
    with torch.no_grad(), record_activations(model, layers) as found:
        model(image)
    return dict(found)


def _hooks_stay(image, layers, model):
    _leave_hooks(model, layers)
    return _by_hand(image, layers, model)


def _ends_in_training(image, layers, model):
    model.eval()
    found = _by_hand(image, layers, model)
    model.train()
    return found


def _switches_inplace(image, layers, model):
    for relu in (model.relu1, model.relu2):
        relu.inplace = False
    return _by_hand(image, layers, model)


@exercise(
    "取几层，不被改写",
    level=4,
    probes=(
        lambda: (uniform((2, 3, 8, 6), 3), ["conv1", "conv2", "linear"], TinyNet().train()),
        lambda: (uniform((2, 3, 9, 7), 4), ["conv2", "linear"], TinyNet(seed=5).train()),
        lambda: (uniform((1, 3, 7, 8), 5), ["relu1", "conv2"], TinyNet(seed=6)),
    ),
    answer="字典 {层名: 激活}，每层一项，不带计算图",
    idea="钩子拿到的张量与后面的层共用内存；后面的 ReLU 原地改写时，你存的那一份也变了。",
    where="看 Tensor.clone 与 torch.no_grad；模式用 model.training 记下，用 try/finally 还原。",
    question="不 clone 而把网络里的 ReLU 都改成不原地的，有什么代价？",
    mistakes={
        "aliased": (_aliased, "卷积的输出里没有负数：你存的是同一块内存，后面的 ReLU 把它改写了。"),
        "forgets_eval": (_forgets_eval,),
        "stays_in_eval": (_stays_in_eval,),
        "hooks_stay": (_hooks_stay,),
        "last_only": (
            fed(_by_hand, layers=lambda layers: layers[-1:]),
            "少了几层：每个名字都要有一项。",
        ),
        "ends_in_training": (
            _ends_in_training,
            "不管原来是什么模式，最后都设成了训练模式：先记下 model.training，照原样还回去。",
        ),
        "switches_inplace": (
            _switches_inplace,
            "把 ReLU 的 inplace 改了没有还原：网络的设置也是调用者的。",
        ),
    },
)
def activations(image, layers, model):
    return _by_hand(image, layers, model)


# 3 两把尺和不响的通道


def _maps(shape, seed):
    activation = noise(shape, seed)
    activation[0] = 0  # 全零：不响
    activation[1] = -20 * activation[1].abs() - 0.1  # 全负：也不响
    activation[2] = 0.7  # 处处相同，但是响的
    activation[3] *= 9
    activation[4] = activation[4].abs() + 0.5  # 最小值大于 0
    return activation


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


@exercise(
    "两把尺和不响的通道",
    level=3,
    ours=my_tiles,
    probes=(
        lambda: (_maps((6, 4, 5), 1),),
        lambda: (_maps((7, 3, 3), 2),),
        lambda: (-_maps((5, 3, 4), 3).abs() - 0.2,),
    ),
    answer="三样：各用一把尺 (C, h, w)、同一把尺 (C, h, w)、布尔的 (C,)",
    idea="各用一把尺时，没有起伏的图除出来是 0/0；同一把尺时，所有通道除以同一个数，比例才留得住。",
    where="看本章“想法”一节的两个 2×2；Tensor.amin、Tensor.amax 可以一次对两维取最值。",
    question="哪一把尺会把不响的通道画成有发现的样子？",
    mistakes={
        "flat_nan": (
            ("torch.where(span > 0, span, 1)", "span"),
            "处处相同的图除成了 NaN：最大值等于最小值，题目说画成 0。",
        ),
        "flat_bright": (
            (
                "(activation - low) / torch.where(span > 0, span, 1)",
                "torch.where(span > 0, (activation - low) / span, 1)",
            ),
            "没有起伏的图画成了白的：不响的通道被画成了有发现。",
        ),
        "common_is_each": (
            ("positive / top if top > 0 else positive", "each.clone()"),
            "两把尺画出来一样：同一把尺要让全部通道除以同一个数。",
        ),
        "common_range": (
            (
                "common = positive / top if top > 0 else positive",
                "bottom = activation.min()\n    common = (activation - bottom) / (activation.max() - bottom)",
            ),
            "同一把尺时最小值也拉了：0 不再是黑，通道之间的比例变了。",
        ),
        "absolute": (
            ("positive = activation.clamp(min=0)", "positive = activation.abs()"),
            "同一把尺时取了绝对值：负数应画成黑，不是亮。",
        ),
        "all_zero": (
            ("high.flatten() <= 0", "(activation == 0).flatten(1).all(1)"),
            "全是负数的通道漏掉了：没有一个正数，就是不响。",
        ),
        "all_silent": (
            ("positive / top if top > 0 else positive", "positive / top"),
            "全部通道都不响时，同一把尺除出了 NaN：没有正数时分母是 0。",
        ),
        "each_after_relu": (
            lambda a: (my_tiles(a.clamp(min=0))[0], *my_tiles(a)[1:]),
            "各用一把尺之前先把负数截掉了：那一种要从真正的最小值拉起。",
        ),
        "below_zero": (
            ("high.flatten() <= 0", "high.flatten() < 0"),
            "最大值恰好是 0 的通道漏掉了：没有一个正数，就是不响。",
        ),
        "top_absolute": (
            ("top = positive.max()", "top = activation.abs().max()"),
            "同一把尺除的是绝对值的最大：负数已经画成黑，分母只看正的。",
        ),
    },
)
def tiles(activation):
    top = max(float(one.max()) for one in activation)
    each, common = torch.zeros_like(activation), torch.zeros_like(activation)
    for index, one in enumerate(activation):
        span = one.max() - one.min()
        if span > 0:
            each[index] = (one - one.min()) / span
        if top > 0:
            common[index] = one.where(one > 0, torch.zeros_like(one)) / top
    return each, common, torch.tensor([bool(one.max() <= 0) for one in activation])


# 4 给一句“它在找什么”记分


def _planted(count, channels, seed):
    """第 0 个通道与标签相符，第 1 个通道有许多平手，其余是噪声。"""
    labels = torch.arange(count) % 3 == 0
    activation = noise((count, channels, 4, 3), seed)
    activation[labels, 0, 1, 2] = 9.0
    activation[:, 1] = activation[:, 1].clamp(max=1).round()
    activation[:, 2] += 2 * noise((count, 1, 1), seed + 1)
    return activation, labels


def _accuracy(activation, labels):
    scores = activation.amax((2, 3))
    return ((scores > scores.median(0).values) == labels[:, None]).double().mean(0)


def _flips(call, activation, labels):
    return torch.allclose(call(activation, ~labels), 1 - call(activation, labels), atol=1e-6)


def _monotone(call, activation, labels):
    return torch.allclose(call(activation.exp(), labels), call(activation, labels), atol=1e-6)


@exercise(
    "给一句“它在找什么”记分",
    level=2,
    asked="my_auc",
    probes=(lambda: _planted(14, 5, 10), lambda: _planted(23, 4, 20)),
    answer="(C,)：每个通道一个 AUC",
    idea="任取一张有的和一张没有的，比它们的分数：赢记一，平手记一半，输记零，再对所有配对取平均。",
    where="看本章“想法”一节的公式；两组分数各加一维再相减，就得到所有的配对。",
    question="把全部激活取指数再算，AUC 为什么不变？准确率会变吗？",
    tolerance=1e-5,
    laws=(
        (_flips, "有与没有对调，AUC 应当变成 1 减去原来的，你的不是。"),
        (_monotone, "AUC 只看谁大谁小：把激活取指数，次序不变，结果也该不变。"),
    ),
    mistakes={
        "accuracy": (_accuracy, "这是一个固定门槛下的准确率：门槛换了结论就换，所以用 AUC。"),
        "no_ties": ((" + 0.5 * (difference == 0)", ""), "平手没有算：一样大的算半次。"),
        "ties_win": (("0.5 *", "1.0 *"), "平手算成了赢：一样大的只算半次。"),
        "mean_map": (
            (".amax(", ".mean("),
            "分数取的是整张图的平均：一小块很亮的会被冲淡，题目要最大值。",
        ),
        "reversed": (("> 0", "< 0"), "正反对调了：有的比没有的大，才算赢。"),
    },
)
def channel_auc(activation, labels):
    scores = activation.amax((2, 3))
    difference = scores[labels][:, None] - scores[~labels]
    return ((difference > 0) + 0.5 * (difference == 0)).double().mean((0, 1))
