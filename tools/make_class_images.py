"""合成随书的类图像，写到 cnnlab/data/class_images/：python tools/make_class_images.py [类名 …]

十张 224 见方的小图供测量，三张 336 见方的大图供题图；每张图一个种子，斑马、帝王蝶、香蕉的是五个里挑的。
设置写在 settings.json 里：照着调 cnnlab.coarse_to_fine 就能再做一次。已有的图跳过，给出类名（大图是 large_类名）则重做。
最后由 SqueezeNet 和没有参与合成的 EfficientNet-Lite0 逐张辨认。CPU 上小图一张约 15 秒，大图约 45 秒。
"""

import json
import sys
import time
from dataclasses import replace

import torch

from cnnlab import coarse_to_fine, frequency_share, halve_and_restore, load_model, to_pil
from cnnlab.chapters.gradient_ascent import GOOD, STAGES, class_ranks
from cnnlab.pictures.class_gallery import GALLERY_FOLDER, class_gallery

SEEDS = {
    "flamingo": 11,
    "zebra": 41,
    "strawberry": 13,
    "daisy": 14,
    "tabby": 15,
    "monarch": 42,
    "tiger": 17,
    "gorilla": 18,
    "banana": 43,
    "balloon": 20,
}
LARGE = {"flamingo": 11, "gorilla": 18, "zebra": 12}
LARGE_STAGES = ((96, 128, 90, 0.05), (192, 192, 100, 0.05), (448, 224, 170, 0.025))
LARGE_SETTINGS = replace(GOOD, views=4, margin=56)
JOBS = {
    **{name: (name, seed, STAGES, GOOD) for name, seed in SEEDS.items()},
    **{f"large_{name}": (name, seed, LARGE_STAGES, LARGE_SETTINGS) for name, seed in LARGE.items()},
}


def make(model, jobs: list[str]) -> None:
    GALLERY_FOLDER.mkdir(exist_ok=True)
    table = GALLERY_FOLDER / "settings.json"
    for job in jobs:
        name, seed, stages, settings = JOBS[job]
        began = time.process_time()
        result = coarse_to_fine(model, name, stages=stages, seed=seed, settings=settings)
        to_pil(result.image).save(GALLERY_FOLDER / f"{job}.webp", quality=88, method=6)
        recorded = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
        recorded[job] = {
            "category": name,
            "seed": seed,
            "stages": stages,
            "settings": vars(settings),
            "weights": model.weights_hash(),
            "torch": torch.__version__,
        }
        ordered = {key: recorded[key] for key in JOBS if key in recorded}
        table.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(f"{job}：{time.process_time() - began:.0f} 秒 CPU", flush=True)


def judge(model) -> None:
    gallery = class_gallery()
    names, second = list(gallery.names), load_model("efficientnet_lite0")
    changed = halve_and_restore(gallery.images).roll((6, 6), (2, 3))
    own, other = class_ranks(model, changed, names), class_ranks(second, gallery.images, names)
    shares = frequency_share(gallery.images)
    for name, first, rank, share in zip(names, own, other, shares, strict=True):
        print(f"{name}：SqueezeNet（变换后）第 {first}，Lite0 第 {rank}，高频份额 {share:.3f}")
    print(f"第一名：{int((own == 1).sum())}、{int((other == 1).sum())}，共 {len(own)} 张")


if __name__ == "__main__":
    network = load_model()
    missing = [job for job in JOBS if not (GALLERY_FOLDER / f"{job}.webp").exists()]
    make(network, sys.argv[1:] or missing)
    if class_gallery().images.shape[0] == len(SEEDS):
        judge(network)
