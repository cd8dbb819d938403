"""遮挡图与光跑同样多次前向之比，以及与 Captum 之比（SqueezeNet，224 像素，窗 32）；内存与窗数的关系。

上限：遮挡图 ≤ 1.08，全部类都算的（output="probability"）也是；比 Captum 的默认做法（一次一扇窗）快 ≥ 1.9 倍（CPU 时间的中位数）；窗多几十倍，内存峰值不变。
Captum 用 torchvision 原样的 SqueezeNet（NCHW）。光跑的一份是同一个网络，连归一化，channels_last，每批 4 张，与 occlusion_map 相同。
每扇窗的耗时与步幅无关，所以这里步幅取 24（81 扇窗）。默认单线程；机器上有别的活时，多线程会空转，CPU 时间不可信。
用法：python benchmarks/occlusion.py [线程数]
"""

import subprocess
import sys
import warnings

import torch
from captum.attr import Occlusion
from interleaved import compare
from torchvision.models import squeezenet1_1

from cnnlab import load_image, load_model, occlusion_map

MEMORY = """
import resource, sys, torch
from cnnlab import load_image, load_model, occlusion_map
torch.set_num_threads(1)
model, image = load_model(), load_image("panda", 112)
occlusion_map(model, image, 388, window=16, stride=16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
drop = occlusion_map(model, image, 388, window=16, stride=int(sys.argv[1]))
print(drop.numel(), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def main(rounds: int = 7, threads: int = 1) -> None:
    """打印比值，超限的一行写明。"""
    warnings.filterwarnings("ignore", module="captum|torchvision")
    torch.set_num_threads(threads)
    image, target = load_image("panda", 224), 388
    model, peer = load_model(), Occlusion(squeezenet1_1(weights=None).eval())
    batches = torch.rand(82, 3, 224, 224).split(4)

    @torch.no_grad()
    def bare():
        return [model(batch) for batch in batches]

    def ours(output="score"):
        return occlusion_map(model, image, target, window=32, stride=24, output=output)

    def theirs():
        return peer.attribute(image, (3, 32, 32), (3, 24, 24), 0, target=target)

    methods = {
        "光跑：82 次前向，每批 4 张": bare,
        "occlusion_map（81 扇窗）": ours,
        "同上，算概率": lambda: ours("probability"),
        "Captum Occlusion（81 扇窗）": theirs,
    }
    _, score, probability, captum = (cpu for _, cpu in compare(methods, rounds=rounds).values())
    print(
        f"  遮挡图与光跑之比 ≤ 1.08：{score:.2f} {'✔' if score <= 1.08 else '✘'}，算概率 {probability:.2f} {'✔' if probability <= 1.08 else '✘'}"
    )
    print(f"  比 Captum 快 ≥ 1.9 倍：{captum / score:.2f} {'✔' if captum / score >= 1.9 else '✘'}")
    for stride in (16, 2):
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, str(stride)], capture_output=True, text=True, check=True
        )
        windows, megabytes = run.stdout.split()
        print(f"  {int(windows):5d} 扇窗：内存峰值比跑过一遍之后多 {float(megabytes):.1f} MB")


if __name__ == "__main__":
    main(threads=int(sys.argv[1]) if len(sys.argv) > 1 else 1)
