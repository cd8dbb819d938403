"""合成随书的类图像，写到 cnnlab/data/class_images/：python tools/make_class_images.py [类名 …]

十张 336 见方的图，每张一个种子，从三四个（13 到 16）里由人挑的。
设置写在 settings.json 里：照着调 cnnlab.coarse_to_fine 就能再做一次。已有的图跳过，给出类名则重做。
最后由 SqueezeNet 和没有参与合成的 EfficientNet-Lite0 逐张辨认。
有 GPU 就用 GPU，随书的除热气球外都是这样做的；CPU 上一张约 45 秒。换一台机器再做，布局相近，细节各异。
"""

import json
import time
from dataclasses import replace

import torch

from cnnlab import coarse_to_fine, frequency_share, halve_and_restore, load_model, resize, to_pil
from cnnlab.chapters.gradient_ascent import GOOD, class_ranks
from cnnlab.core.command_line import Parser, one_of_names, run_command
from cnnlab.pictures.class_gallery import GALLERY_FOLDER, class_gallery

SEEDS = {
    "flamingo": 15,
    "gorilla": 13,
    "zebra": 14,
    "strawberry": 13,
    "daisy": 15,
    "tabby": 13,
    "monarch": 15,
    "tiger": 13,
    "banana": 13,
    "balloon": 16,
}
# 比 STAGES 每级大一半的画布，步数多一倍；四边的 56 像素最后裁掉
LARGE_STAGES = ((96, 128, 160, 0.05), (192, 192, 160, 0.05), (448, 224, 120, 0.02))
LARGE_SETTINGS = replace(GOOD, views=4, natural=8.0, margin=56)


def make(model, names: list[str]) -> None:
    GALLERY_FOLDER.mkdir(exist_ok=True)
    table = GALLERY_FOLDER / "settings.json"
    options = {"stages": LARGE_STAGES, "settings": LARGE_SETTINGS}
    for name in names:
        began = time.process_time()
        result = coarse_to_fine(model, name, seed=SEEDS[name], **options)
        to_pil(result.image).save(GALLERY_FOLDER / f"{name}.webp", quality=88, method=6)
        recorded = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
        recorded[name] = {
            "category": name,
            "seed": SEEDS[name],
            "stages": LARGE_STAGES,
            "settings": vars(LARGE_SETTINGS),
            "weights": model.weights_hash(),
            "torch": torch.__version__,
            "device": model.mean.device.type,
        }
        ordered = {key: recorded[key] for key in SEEDS if key in recorded}
        table.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(f"{name}：{time.process_time() - began:.0f} 秒 CPU", flush=True)


def judge(model, second) -> None:
    gallery = class_gallery()
    names, changed = list(gallery.names), halve_and_restore(gallery.images).roll((6, 6), (2, 3))
    own = class_ranks(model, changed, names)
    other = class_ranks(second, resize(gallery.images, (224, 224)), names)
    shares = frequency_share(gallery.images)
    for name, first, rank, share in zip(names, own, other, shares, strict=True):
        print(f"{name}：SqueezeNet（变换后）第 {first}，Lite0 第 {rank}，高频份额 {share:.3f}")
    print(f"第一名：{int((own == 1).sum())}、{int((other == 1).sum())}，共 {len(own)} 张")


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("names", metavar="类名", nargs="*", type=one_of_names("类", SEEDS))
    asked = parser.parse_args().names
    place = "cuda" if torch.cuda.is_available() else "cpu"
    network = load_model(device=place)
    missing = [name for name in SEEDS if not (GALLERY_FOLDER / f"{name}.webp").exists()]
    make(network, asked or missing)
    if class_gallery().images.shape[0] == len(SEEDS):
        judge(network, load_model("efficientnet_lite0", device=place))


if __name__ == "__main__":
    run_command(main)
