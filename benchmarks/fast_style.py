"""快速风格迁移：一次前向与逐图迭代 100 步之比（下限 40 倍），以及前向与自己的裸卷积之比。

160 像素的一张照片，单线程，CPU 时间的中位数。用法：python benchmarks/fast_style.py
"""

import torch
from interleaved import compare
from torch.nn import functional

from cnnlab import load_model, load_stylizer, optimize_image, photos, style_image, stylize
from cnnlab.chapters.fast_style import style_grams, stylization_loss


def convolutions_only(network, image):
    """同样的卷积、填充与放大，不做归一化：前向再快也快不过它。"""
    activation, sizes = image.contiguous(memory_format=torch.channels_last), []
    for layer in network.encoder:
        sizes.append(activation.shape[-2:])
        activation = layer.conv(activation).relu_()
    for first, second in network.blocks:
        activation = activation + second.conv(first.conv(activation).relu_())
    for layer in network.decoder:
        activation = layer.conv(
            functional.interpolate(activation, sizes.pop(), mode="nearest")
        ).relu_()
    return network.last.conv(activation).sigmoid()


def main() -> None:
    """打印两个比值。"""
    torch.set_num_threads(1)
    model, network = load_model(), load_stylizer()
    image = photos(size=160)["taj_mahal"]
    grams = style_grams(model, style_image("waves", 160))
    loss = stylization_loss(
        model, image, grams, style_weight=float(network.settings["style_weight"])
    )
    print("一张 160×160：基准是一次前向；迭代 20 步的比值乘 5 就是 100 步的（下限 40）")
    compare(
        {
            "一次前向": lambda: stylize(network, image),
            "迭代 20 步": lambda: optimize_image(image, loss, steps=20, optimizer="lbfgs"),
        }
    )
    print("基准：没有归一化的同一个网络")
    with torch.no_grad():
        compare(
            {
                "只有卷积": lambda: convolutions_only(network, image),
                "前向": lambda: stylize(network, image),
            },
            inner=5,
        )


if __name__ == "__main__":
    main()
