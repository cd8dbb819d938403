"""合成梯度上升一章的两张大图：各层通道的图，和好图的做法逐项去掉：python tools/make_ascent_sheets.py [layers | 层名] [ablation]

写到 cnnlab/data/layer_images/ 与 ablation_images/，每层、每种做法一个横条（webp），设置在各自的 settings.json 里。
CPU 上约一分钟与两分钟。
"""

import json
import sys
import time
from dataclasses import replace

import torch

from cnnlab import activations_of, channel_image, coarse_to_fine, load_model, photos, to_pil
from cnnlab.chapters.gradient_ascent import GOOD, LAYER_SETTINGS
from cnnlab.pictures.class_gallery import ABLATION_FOLDER, LAYERS_FOLDER

LAYERS = ["relu1", "fire3", "fire5", "fire7", "fire9"]
# 按在照片上的强弱排，取这三个名次；fire9 的第 13 名起点是死的，换一个
RANKS = {"relu1": [0, 5, 12], "fire9": [0, 5, 8]}
CATEGORIES = ["zebra", "flamingo", "gorilla", "balloon"]
STAGES = ((88, 96, 80, 0.05), (176, 128, 100, 0.05))
SMALL = replace(GOOD, margin=24)
# 与完整的做法只差一样：(文件名, 标题, 各级, 设置)
WAYS = [
    ("full", "完整的做法", STAGES, SMALL),
    ("one_scale", "只一个尺度", ((176, 128, 160, 0.05),), SMALL),
    ("one_view", "每步一份", STAGES, replace(SMALL, views=1)),
    ("no_crop", "不取景", STAGES, replace(SMALL, crop=1.0)),
    ("no_prior", "无照片先验", STAGES, replace(SMALL, natural=0.0)),
    ("no_cooling", "步长不降", STAGES, replace(SMALL, cooling=False)),
    ("flat", "不压高频", STAGES, replace(SMALL, decay=0.0)),
    ("pixel", "像素，不是傅里叶", STAGES, replace(SMALL, parameterization="pixel")),
]


def write(folder, name: str, images, settings: dict) -> None:
    folder.mkdir(exist_ok=True)
    table = folder / "settings.json"
    recorded = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    strip = torch.cat(list(images.split(1)), dim=-1)
    to_pil(strip).save(folder / f"{name}.webp", quality=88, method=6)
    recorded[name] = settings
    table.write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def make_layers(model, layers: list[str]) -> None:
    seen = activations_of(model, photos(size=96).images[::8], LAYERS)
    for layer in layers:
        order = seen[layer].amax((2, 3)).mean(0).argsort(descending=True)
        channels, began = order[RANKS.get(layer, [0, 5, 12])].tolist(), time.process_time()
        made = channel_image(model, layer, channels, size=144, steps=128, settings=LAYER_SETTINGS)
        write(LAYERS_FOLDER, layer, made.image, {"channels": channels, "steps": 128, "seed": 0})
        print(f"{layer}：{time.process_time() - began:.0f} 秒 CPU", flush=True)


def make_ablation(model) -> None:
    for name, title, stages, settings in WAYS:
        began = time.process_time()
        made = [
            coarse_to_fine(model, category, stages=stages, seed=seed, settings=settings).image
            for seed, category in enumerate(CATEGORIES, 31)
        ]
        described = {"title": title, "categories": CATEGORIES, "stages": stages, "first_seed": 31}
        write(ABLATION_FOLDER, name, torch.cat(made), {**described, "settings": vars(settings)})
        print(f"{title}：{time.process_time() - began:.0f} 秒 CPU", flush=True)


if __name__ == "__main__":
    network, wanted = load_model(), sys.argv[1:] or ["layers", "ablation"]
    if layers := [layer for layer in LAYERS if {layer, "layers"} & set(wanted)]:
        make_layers(network, layers)
    if "ablation" in wanted:
        make_ablation(network)
