"""合成随书的十张类图像，写到 cnnlab/data/class_images/：python tools/make_class_images.py [类名 …]

每张图的全部设置写在 settings.json 里：照着调 cnnlab.class_image（其中 size、steps、seed 之外的写进 Ascent）就能再做一次。已有的图跳过，给出类名则重做。
最后由 SqueezeNet 和没有参与合成的 EfficientNet-Lite0 逐张辨认。CPU 上一张约一分钟。
"""

import json
import sys
import time

import torch

from cnnlab import Ascent, class_image, load_model, to_pil
from cnnlab.chapters.gradient_ascent import class_ranks
from cnnlab.core.measures import halve_and_restore
from cnnlab.pictures.class_gallery import GALLERY_FOLDER, class_gallery

SETTINGS = {"size": 224, "steps": 144, "seed": 2}
ASCENT = {"crop": 0.3, "views": 3, "natural": 10.0, "decay": 1.2}
CLASSES = {
    "flamingo": {},
    "zebra": {},
    "strawberry": {},
    "daisy": {},
    "tabby": {},
    "monarch": {},
    "tiger": {},
    "gorilla": {},
    "banana": {},
    "balloon": {},
}  # 类名 -> 与 ASCENT 不同的设置


def make(model, names: list[str]) -> None:
    GALLERY_FOLDER.mkdir(exist_ok=True)
    table = GALLERY_FOLDER / "settings.json"
    recorded = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    for name in names:
        ascent = {**ASCENT, **CLASSES[name]}
        began = time.process_time()
        result = class_image(model, name, **SETTINGS, settings=Ascent(**ascent))
        to_pil(result.image).save(GALLERY_FOLDER / f"{name}.webp", quality=90, method=6)
        recorded[name] = {
            **SETTINGS,
            **ascent,
            "model": model.network_name,
            "weights": model.weights_hash(),
            "torch": torch.__version__,
        }
        ordered = {key: recorded[key] for key in CLASSES if key in recorded}
        table.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(f"{name}：{time.process_time() - began:.0f} 秒 CPU", flush=True)


def judge(model) -> None:
    gallery = class_gallery()
    changed = halve_and_restore(gallery.images).roll((6, 6), (2, 3))
    own = class_ranks(model, changed, list(gallery.names))
    other = class_ranks(load_model("efficientnet_lite0"), gallery.images, list(gallery.names))
    for name, first, second in zip(gallery.names, own.tolist(), other.tolist(), strict=True):
        print(f"{name}：SqueezeNet（缩小、移位之后）第 {first}，EfficientNet-Lite0 第 {second}")
    print(
        f"第一名 {int((own == 1).sum())}/{len(own)}，另一个网络的前五名 {int((other <= 5).sum())}/{len(other)}"
    )


if __name__ == "__main__":
    network = load_model()
    missing = [name for name in CLASSES if not (GALLERY_FOLDER / f"{name}.webp").exists()]
    make(network, sys.argv[1:] or missing)
    judge(network)
