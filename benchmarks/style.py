"""风格迁移的一步与光跑“前向到最深的一层再反向到图像”之比；默认的 L-BFGS 几次求值赶上 Adam 的 200 步。

上限：VGG-19 的形状（随机权重），256 像素，≤ 1.25；SqueezeNet，192 像素，≤ 2.2（CPU 时间的中位数）。neural-style-pt 的 Adam
在同样的设置下量得 1.31 与 2.20。赶上 CS231n 作业的 Adam 的 200 步至多用 110 次求值；
步长 0.02 的 Adam 是更强的对手，也列出。用法：python benchmarks/style.py [steps | evaluations]
"""

import sys

import torch
from interleaved import compare
from torch import nn

from cnnlab import Painting, activations_of, load_model, photo, style_image, transfer_style
from cnnlab.chapters.style_transfer import content_terms, style_terms
from cnnlab.engine.objectives import objective
from cnnlab.engine.optimize import adam, optimize_image
from cnnlab.engine.priors import clamp, total_variation
from cnnlab.engine.terms import image_prior

STEPS = 3
# 网络、边长、内容层、风格层、上限、neural-style-pt 的比值；SqueezeNet 的层与 CS231n 的作业相同
SETTINGS = {
    "VGG-19 的形状": (
        "vgg19",
        256,
        "relu4_2",
        ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
        1.25,
        1.31,
    ),
    "SqueezeNet": ("squeezenet1_1", 192, "fire2", ["relu1", "fire3", "fire4", "fire5"], 2.2, 2.20),
}


def methods(name: str, size: int, content_layer: str, style_layers: list[str]) -> dict:
    """光跑与风格迁移各走几步。"""
    model = load_model(name, weights="default" if name == "squeezenet1_1" else None)
    content, style = photo("taj_mahal", size=size), style_image("waves", size)
    terms = content_terms(model, content, content_layer, 1.0) + style_terms(
        model, [style], [1.0], style_layers, 8.0
    )
    loss = objective(model, [*terms, image_prior(total_variation)])
    pixels = content.contiguous(memory_format=torch.channels_last).requires_grad_()
    upto = part_of(model, style_layers[-1])

    def bare():
        for _ in range(STEPS):
            activation = upto(pixels)
            torch.autograd.grad(activation, pixels, activation.detach())

    return {
        "光跑": bare,
        "风格迁移的一步": lambda: optimize_image(
            content, loss, steps=STEPS, optimizer=adam(0.02), after_step=clamp()
        ),
    }


def part_of(model: nn.Module, layer: str):
    """同一个网络（不带归一化）从头到这一层。"""
    path = next(
        name for name, module in model.network.named_modules() if module is model.layers[layer]
    )
    return lambda image: activations_of(model.network, image, path)[path]


def evaluations(
    content_name: str, style_name: str, style_weight: float
) -> dict[str, tuple[float, int | None]]:
    """两种 Adam 走 200 步得到的最低损失，和默认的优化器第几次求值赶上它：{哪种 Adam: (损失, 次数)}。

    "CS231n" 是那份作业的设置：归一化的图像上步长 3，第 180 步起 0.1（在 [0, 1] 上除以 4.4）；"0.02" 是 `transfer_style` 的 "adam"。
    """
    model, content, style = (
        load_model(),
        photo(content_name, size=160),
        style_image(style_name, 160),
    )
    options, smooth = {"style_weight": 8 * style_weight, "scales": 1}, {"tv": 0.1}
    by_default = transfer_style(
        model, content, style, steps=200, settings=Painting(**smooth), **options
    ).history["loss"]
    tuned = transfer_style(
        model,
        content,
        style,
        steps=200,
        settings=Painting(**smooth, parameterization="pixel", optimizer="adam"),
        **options,
    ).history["loss"]
    smooth["parameterization"] = "pixel"
    fast = Painting(**smooth, optimizer=adam(3 / 4.4))
    first = transfer_style(model, content, style, steps=180, settings=fast, **options)
    slow = Painting(first.image, **smooth, optimizer=adam(0.1 / 4.4))
    last = transfer_style(model, content, style, steps=20, settings=slow, **options)
    goals = {"CS231n": min(first.history["loss"] + last.history["loss"]), "0.02": min(tuned)}
    return {
        name: (
            goal,
            next((index + 1 for index, value in enumerate(by_default) if value <= goal), None),
        )
        for name, goal in goals.items()
    }


def main(*what: str) -> None:
    """打印比值和求值次数。"""
    torch.set_num_threads(1)
    for name, (network, size, content, styles, limit, peer) in (
        SETTINGS.items() if "evaluations" not in what else ()
    ):
        print(f"{name}，{size}×{size}（基准：前向到 {styles[-1]}，反向到图像）")
        ratio = compare(methods(network, size, content, styles), rounds=9)["风格迁移的一步"][1]
        print(
            f"  上限 {limit}，neural-style-pt {peer}：{ratio:.2f} {'✔' if ratio <= limit and ratio < peer else '✘'}"
        )
    for content, style, weight in (
        ("taj_mahal", "waves", 1.0),
        ("panda", "starry_night", 10.0),
        ("petra", "woodcut", 100.0),
    ):
        for name, (goal, count) in (
            evaluations(content, style, weight).items() if "steps" not in what else ()
        ):
            print(
                f"  {content} × {style}，风格权重 {weight:g}：Adam（{name}）200 步 {goal:.3f}，默认的第 {count} 次求值赶上"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
