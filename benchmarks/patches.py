"""流式前 k 名与光跑前向之比；load_model 的网络与裸的 channels_last 网络之比。

上限：流式搜索 ≤ 1.15，照片的分批前向 ≤ 1.05（CPU 时间的中位数，7 轮以上）。用法：python benchmarks/patches.py [层名]
"""

import sys

import torch
from interleaved import compare

from cnnlab import load_model, max_activating_patches, photos
from cnnlab.core.hooks import activations_of


def main(layer: str = "fire5") -> None:
    """打印两组比值和激活占的内存。"""
    torch.set_num_threads(1)
    images = photos(size=224).images
    model, bare = (load_model(), load_model().network)
    upto = torch.nn.Sequential()
    for name, module in bare.named_children():
        upto.add_module(name, module)
        if name == layer:
            break
    batches = [images[i : i + 8] for i in range(0, len(images), 8)]
    prepared = [
        ((batch - model.mean) / model.std).contiguous(memory_format=torch.channels_last)
        for batch in batches
    ]

    def bare_layer():
        with torch.inference_mode():
            for batch in prepared:
                upto(batch)

    def bare_whole():
        with torch.inference_mode():
            for batch in prepared:
                bare(batch)

    def ours_whole():
        with torch.no_grad():
            for batch in batches:
                model(batch)

    def store_everything():
        maps = torch.cat([activations_of(model, batch, layer)[layer] for batch in batches])
        maps.transpose(0, 1).flatten(1).topk(9)

    print(
        f"最大激活区块，{layer}，{len(images)} 张 224×224，全部通道的前 9 名（基准：裸网络跑到这一层）"
    )
    functions = {
        "裸前向": bare_layer,
        "流式前 9 名，每图一个": lambda: max_activating_patches(model, images, layer),
    }
    functions["流式前 9 名，一图可多个"] = lambda: max_activating_patches(
        model, images, layer, one_per_image=False
    )
    compare(functions | {"存下全部激活再排": store_everything}, rounds=9)
    print(f"分批前向，{len(images)} 张（基准：裸的 channels_last 网络，输入已归一化）")
    compare({"裸前向": bare_whole, "load_model 的网络": ours_whole}, rounds=9)


if __name__ == "__main__":
    main(*sys.argv[1:])
