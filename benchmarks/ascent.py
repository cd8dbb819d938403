"""DeepDream 与梯度上升的一步，与光跑“前向到这一层再反向到图像”之比；1024 像素时的内存。

上限：fire3、fire5，224 像素，≤ 1.25（CPU 时间的中位数）；比笔记本常见写法快 2 倍以上，比 torch-lucent 0.1.8 快 3 倍以上
（装了它才比：pip install torch-lucent==0.1.8）。用法：python benchmarks/ascent.py [层名 …]
"""

import resource
import subprocess
import sys

import torch
from interleaved import compare
from torch import nn

from cnnlab import load_model
from cnnlab.engine.objectives import objective
from cnnlab.engine.optimize import adam, optimize_image, sgd
from cnnlab.engine.priors import clamp, jitter
from cnnlab.engine.terms import channel, half_squared_norm
from cnnlab.networks.squeezenet import blueprint

SIZE, STEPS, CHANNEL = 224, 32, 10


def part_of(network: nn.Module, layer: str) -> nn.Sequential:
    """网络从头到这一层的一段。"""
    names = [name for name, _ in network.named_children()]
    return nn.Sequential(*[getattr(network, name) for name in names[: names.index(layer) + 1]])


def dream_steps(model: nn.Module, photo: torch.Tensor, layer: str) -> torch.Tensor:
    """DeepDream 走 32 步：滚动、归一的步长、截断。"""
    options = {
        "optimizer": sgd(0.015, normalize="mean"),
        "transform": jitter(16),
        "after_step": clamp(),
    }
    return optimize_image(
        photo, objective(model, -half_squared_norm(layer)), steps=STEPS, **options
    )


def methods(layer: str) -> dict:
    """要比的几种做法，各走 32 步；第一种是基准。"""
    model, photo = (
        load_model(),
        torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)),
    )
    part = part_of(load_model().network, layer)
    pixels = photo.contiguous(memory_format=torch.channels_last).requires_grad_()
    loss = objective(model, -channel(layer, CHANNEL))

    def bare():
        for _ in range(STEPS):
            activation = part(pixels)
            torch.autograd.grad(activation, pixels, activation.detach())

    plain, kept = blueprint("default").module.eval(), {}
    getattr(plain, layer).register_forward_hook(
        lambda module, inputs, output: kept.update(activation=output)
    )

    def notebook():
        image = photo.clone().requires_grad_()
        for _ in range(STEPS):
            plain(image)
            (kept["activation"].square().sum() / 2).backward()
            image.data += 0.015 * image.grad / image.grad.abs().mean()
            image.grad.zero_()

    return {
        "裸的前向加反向": bare,
        "DeepDream 的一步": lambda: dream_steps(model, photo, layer),
        "梯度上升的一步": lambda: optimize_image(
            photo, loss, steps=STEPS, optimizer=adam(0.02), transform=jitter(16), after_step=clamp()
        ),
        "笔记本写法（全前向、权重梯度、NCHW）": notebook,
        **lucent_method(layer),
    }


def lucent_method(layer: str) -> dict:
    """torch-lucent 的默认设置（傅里叶图像加变换）走 32 步；没有装就没有这一行。"""
    try:
        from lucent.optvis import param, render
    except ImportError:
        return {}
    network = blueprint("default").module.eval()
    options = {"thresholds": (STEPS,), "progress": False, "show_image": False, "transforms": []}

    def run(**changed):
        render.render_vis(
            network, f"{layer}:{CHANNEL}", lambda: param.image(SIZE), **{**options, **changed}
        )

    return {"torch-lucent，默认变换": lambda: run(transforms=None), "torch-lucent，不变换": run}


def peak_memory(layer: str, size: int) -> int:
    """DeepDream 在 size 像素上多占的内存（MB）：另起一个进程，走步之前与之后的峰值之差。"""
    if len(sys.argv) > 2 and sys.argv[1] == "--memory":
        torch.set_num_threads(1)
        model = load_model()
        dream_steps(model, torch.rand(1, 3, 64, 64), layer)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        dream_steps(model, torch.rand(1, 3, size, size), layer)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    command = [sys.executable, __file__, "--memory", layer, str(size)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(*layers: str) -> None:
    """打印每一层的比值和内存。"""
    torch.set_num_threads(1)
    for layer in layers:
        print(f"{layer}，{SIZE}×{SIZE}，{STEPS} 步（基准：裸网络前向到这一层，反向到图像）")
        compare(methods(layer), rounds=9)
        print(f"  1024×1024 时 DeepDream 多占内存 {peak_memory(layer, 1024)} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print(peak_memory(sys.argv[2], int(sys.argv[3])))
    else:
        main(*(sys.argv[1:] or ["fire3", "fire5"]))
