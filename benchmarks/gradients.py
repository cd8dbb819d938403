"""显著图、引导式反向传播与光跑一次前向加反向之比，以及与 Captum 之比（SqueezeNet，224 像素，单张）。

上限：显著图 ≤ 1.10，引导式 ≤ 1.20；比 Captum 快 ≥ 1.25 倍、≥ 1.3 倍（CPU 时间的中位数）。Captum 用 torchvision
原样的 SqueezeNet（NCHW）。光跑的一份是同一个网络，连归一化，channels_last，只求对输入的梯度。用法：python benchmarks/gradients.py
"""

import warnings

import torch
from captum.attr import GuidedBackprop, Saliency
from interleaved import compare
from torchvision.models import squeezenet1_1

from cnnlab import guided_gradient, load_image, load_model, saliency_map


def main(rounds: int = 31) -> None:
    """打印比值，超限的一行写明。"""
    warnings.filterwarnings("ignore", module="captum|torchvision")
    torch.set_num_threads(1)
    image, target = load_image("panda", 224), 388
    model, peer = load_model(), squeezenet1_1(weights=None).eval()
    saliency, guided = Saliency(peer), GuidedBackprop(peer)

    def bare():
        leaf = image.clone().requires_grad_()
        return torch.autograd.grad(model(leaf)[0, target], leaf)[0]

    ratios = compare(
        {
            "光跑：前向加对输入的梯度": bare,
            "saliency_map": lambda: saliency_map(model, image, target),
            "guided_gradient": lambda: guided_gradient(model, image, target=target),
            "Captum Saliency": lambda: saliency.attribute(
                image.clone().requires_grad_(), target=target
            ),
            "Captum GuidedBackprop": lambda: guided.attribute(
                image.clone().requires_grad_(), target=target
            ),
        },
        rounds=rounds,
        warmup=3,
        inner=3,
    )
    _, ours, ours_guided, theirs, theirs_guided = (cpu for _, cpu in ratios.values())
    for what, value, passed in [
        ("显著图与光跑之比 ≤ 1.10", ours, ours <= 1.10),
        ("显著图比 Captum 快 ≥ 1.25 倍", theirs / ours, theirs / ours >= 1.25),
        ("引导式与光跑之比 ≤ 1.20", ours_guided, ours_guided <= 1.20),
        (
            "引导式比 Captum 快 ≥ 1.3 倍",
            theirs_guided / ours_guided,
            theirs_guided / ours_guided >= 1.3,
        ),
    ]:
        print(f"  {what}：{value:.2f} {'✔' if passed else '✘'}")


if __name__ == "__main__":
    main()
