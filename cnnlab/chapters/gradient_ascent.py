"""梯度上升：合成使一个类的得分或一个通道的激活最大的图像，量它有多自然、得分有多经得起变换。

不画图；从照片簇出发与优化代码见 facets，放大整层激活见 deepdream。
"""

import warnings
from dataclasses import replace

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images, whole, wholes
from cnnlab.core.hooks import activations_of, as_seen
from cnnlab.core.measures import halve_and_restore
from cnnlab.engine.ascent import Ascent
from cnnlab.engine.objectives import objective, waking
from cnnlab.engine.optimize import adam, optimize_image
from cnnlab.engine.priors import clamp, compose
from cnnlab.engine.results import reproducible
from cnnlab.engine.terms import Term, class_score, feature_distance, log_probability
from cnnlab.engine.terms import channel as channel_term
from cnnlab.networks.models import checked_scores, resolve_target, target_list, target_scores


@checked
@reproducible
def class_image(
    model, target, *, size=224, steps=256, seed=0, on_step=None, settings: Ascent = Ascent()
):
    """使目标类得分最大的图像：Result，image 为 (N, 3, size, size)，history 有每项的值。

    最大化 s_c(T(x)) − Σ λ·先验；得分取 softmax（及结尾的 ReLU）之前的。`target` 是一个类，或每张图一个的列表。
    表示、变换、先验、投影都在 `settings` 里，如 Ascent(crop=0.3, natural=10)。出处：Erhan 等，2009；Simonyan 等，2014。
    """
    targets = target_list(target)
    score = class_score(targets * settings.views)
    return _ascend(model, score, len(targets), settings, size, steps, seed, on_step)


@checked
@reproducible
def channel_image(
    model,
    layer,
    channel,
    position=None,
    *,
    size=128,
    steps=128,
    seed=0,
    on_step=None,
    settings: Ascent = Ascent(),
):
    """使一个通道的激活最大的图像：Result，image 为 (N, 3, size, size)；`settings` 同 `class_image`。

    `channel` 是通道号，或每张图一个的列表。`position` 为 None 取全图平均；"center" 取正中的一个神经元，
    (行, 列) 取一处；看一个神经元时用 Ascent(robust=False)，否则它会在变换里移来移去。出处：Erhan 等，2009。
    """
    channels = wholes(channel, "channel")
    term = channel_term(layer, channels * settings.views, position)
    made = _ascend(model, term, len(channels), settings, size, steps, seed, on_step)
    _warn_of_silence(model, made[0], layer, channels)
    return made


def _warn_of_silence(model, image: Tensor, layer: str, channels: list[int]) -> None:
    """成图上自己的通道仍处处为 0，就说出是哪几张：那张图什么也说明不了。"""
    activation = activations_of(model, as_seen(model, image), layer)[layer]
    silent = [each for each, maps in zip(channels, activation, strict=True) if not maps[each].any()]
    if silent:
        warnings.warn(
            f"{layer} 的通道 {silent} 在成图上仍处处为 0，那几张图不说明什么；换 seed，或取 ReLU 之前的层",
            RuntimeWarning,
            stacklevel=4,
        )


def _ascend(model, term: Term, count: int, settings: Ascent, size, steps, seed, on_step):
    """最小化 −目标（`views` 份的平均）+ 先验：起点、变换、投影都由 `settings` 给出。"""
    canvas = settings.canvas(size)
    terms = [-(1 / settings.views) * term, *settings.priors(model, canvas)]
    loss = objective(model, terms, transform=settings.transform(seed))
    start = settings.picture(canvas, count, seed)
    image = settings.run(start, waking(model, loss), steps, on_step)
    return settings.cut(image), {"loss": loss.losses, **loss.ledger}


# 由粗到细的各级：画布的边长、网络看到的边长、步数、步长
STAGES = ((76, 112, 80, 0.05), (152, 160, 80, 0.05), (304, 224, 60, 0.025))
# 各层通道的图：192 见方的画布，四边裁掉 24
LAYER_SETTINGS = Ascent(decay=1.2, margin=24)
# 画布四边 40 像素最后裁掉，剩 224 见方
GOOD = Ascent(crop=0.3, views=3, natural=6.0, decay=1.2, cooling=True, margin=40)


@checked(start="N 3 H W")
@reproducible
def coarse_to_fine(
    model, target, *, stages=STAGES, start=None, seed=0, on_step=None, settings: Ascent = GOOD
):
    """由粗到细的类图像：先在小画布上定下布局，放大之后再补细节；Result，四边的 margin 已裁掉。

    `stages` 是各级的（画布边长, 网络看到的边长, 步数, 步长）；`target` 是一个类，或每张图一个的列表；`settings` 同 `class_image`。
    `start` 给每个目标一张起点图（铺满第一级的画布），不给就从噪声出发。目标是得分加 5 倍的对数概率：概率已经很高时，得分仍给出方向。出处：Olah 等，2017；Yin 等，2020。
    """
    targets, image, losses = target_list(target), start, []
    _check_stages(stages, settings.margin, start, len(targets))
    goal = class_score(targets * settings.views), 5 * log_probability(targets * settings.views)
    for side, view, steps, rate in stages:
        now, size = replace(settings, view=view, learning_rate=rate), (side, side)
        terms = [-(1 / now.views) * term for term in goal] + now.priors(model, size)
        loss = objective(model, terms, transform=now.transform(seed))
        picture = now.picture(size, len(targets), seed, image)
        image = now.run(picture, loss, steps, on_step)
        losses += loss.losses
    return settings.cut(image), {"loss": losses}


def _check_stages(stages, margin: int, start: Tensor | None, count: int) -> None:
    """每一级的步数是整数，最后一级裁掉四边之后还剩得下图；起点与目标一样多。"""
    if start is not None and len(start) != count:
        raise ValueError(f"起点有 {len(start)} 张，目标有 {count} 个；每个目标给一张起点")
    for _, _, steps, _ in stages:
        whole(steps, "stages 里的步数", 0)
    if stages[-1][0] <= 2 * margin:
        raise ValueError(
            f"最后一级的画布边长是 {stages[-1][0]}，四边各裁 {margin} 之后什么也不剩；"
            f"边长要大于 {2 * margin}，或用 settings=Ascent(margin=0)"
        )


@checked
@reproducible
def accentuate(
    model,
    image: Tensor,
    target,
    *,
    keep=60.0,
    layer="fire4",
    steps=50,
    seed=0,
    on_step=None,
    settings: Ascent = Ascent(crop=0.5, views=3, cooling=True),
):
    """特征强调：照片里哪些地方改一改，就更像 `target`；Result，image 与照片同形。

    最大化得分，减去 keep × 两图在 `layer` 上的相对距离（同一个取景里比）：keep 越大，越像原来的照片。
    出处：Hamblin 等，2024。
    """
    check_images(image)
    targets = resolve_target(model, target, len(image)).tolist() * settings.views
    # 两份变换用同样的随机数：每一步里，图与照片被看的是同一批取景
    view, photo_view = (settings.transform(seed) or compose() for _ in range(2))

    def distance(values) -> Tensor:
        photo = activations_of(model, as_seen(model, photo_view(image)), layer)[layer]
        return feature_distance(photo, layer).value(values)

    goal = class_score(targets), -keep * Term("distance", (layer,), distance)
    loss = objective(model, [-(1 / settings.views) * term for term in goal], transform=view)
    start = settings.picture(image.shape[-2:], len(image), seed, image)
    made = settings.run(start, loss, steps, on_step)
    return made, {"loss": loss.losses, **loss.ledger}


@checked
def photo_as_class(
    model: nn.Module, image: Tensor, target, *, steps: int = 20, step_size: float = 0.002
) -> Tensor:
    """照片几乎不变、却被认成 `target` 的图像 (N, 3, H, W)：同一个梯度上升，从照片出发，每步约动 `step_size`。

    出处：Szegedy 等，2014；Nguyen 等，2015。
    """
    loss = objective(model, -class_score(target))
    return optimize_image(image, loss, steps=steps, optimizer=adam(step_size), after_step=clamp())


# 量一张合成的图


@checked
def scores_before_relu(model: nn.Module, image: Tensor, target) -> Tensor:
    """目标类在 softmax 及结尾的 ReLU 之前的得分 (N,)，即 `class_image` 所最大化的数。"""
    targets = resolve_target(model, target, len(image))
    with torch.no_grad():
        scores = objective(model, class_score(target)).values(image)["scores"]
    return target_scores(scores, targets)


@checked
def score_kept(model: nn.Module, image: Tensor, target, change=halve_and_restore) -> Tensor:
    """图像经 `change` 之后，目标类得分剩下几成 (N,)。"""
    before, after = (scores_before_relu(model, each, target) for each in (image, change(image)))
    return after / before


@checked
def class_ranks(model: nn.Module, image: Tensor, target) -> Tensor:
    """目标类的得分在全部类里排第几 (N,)，1 为最高。"""
    targets = resolve_target(model, target, len(check_images(image, bounded=False)))
    with torch.no_grad():
        scores = checked_scores(model, image)
    return (scores > target_scores(scores, targets)[:, None]).sum(1) + 1
