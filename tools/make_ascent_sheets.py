"""合成几张大图：python tools/make_ascent_sheets.py [layers | 层名] [facets] [ablation] [phase] [layout] [diversity]

各层通道的图、宫殿的四个侧面，和四组比较：好图的做法逐项去掉、只动相位、种子与布局、多样性。
写到 cnnlab/data/ 的 layer_images/ 等文件夹，每层、每种做法、每个类一个横条（webp），设置在各自的 settings.json 里。
CPU 上每组约一到四分钟；随书的侧面是在 GPU 上做的，再做一次，布局相近，细节各异。
"""

import json
import time
from dataclasses import replace
from functools import partial

import torch

from cnnlab import (
    activations_of,
    channel_image,
    class_image,
    cluster_photos,
    coarse_to_fine,
    facet_starts,
    load_model,
    photo_features,
    photos,
    to_pil,
)
from cnnlab.chapters.gradient_ascent import GOOD, LAYER_SETTINGS
from cnnlab.core.command_line import Parser, one_of_names, run_command
from cnnlab.engine.ascent import Ascent
from cnnlab.pictures.class_gallery import FACETS_FOLDER, LAYERS_FOLDER, comparison_folder

LAYERS = ["relu1", "fire3", "fire5", "fire7", "fire9"]
# 按在照片上的强弱排，取这三个名次；fire9 的第 13 名起点是死的，换一个
RANKS = {"relu1": [0, 5, 12], "fire9": [0, 5, 8]}
CATEGORIES = ["zebra", "flamingo", "gorilla", "balloon"]
STAGES = ((88, 96, 80, 0.05), (176, 128, 100, 0.05))
SMALL = replace(GOOD, margin=24)
# 起点是照片的平均，不必从小画布定布局；步长小些，起点的布局就留得下来
FACETS = {
    "nearest": 3,
    "seed": 0,
    "stages": ((224, 192, 160, 0.035), (448, 224, 120, 0.02)),
    "settings": replace(GOOD, views=4, natural=8.0, margin=56),
}
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

# 两种参数化，步数、取景都相同；相位以弧度计，步长要大得多
PHASE_CATEGORIES = ["zebra", "flamingo", "daisy"]
VIEWS = Ascent(crop=0.3, views=4, cooling=True)
PHASE = [
    ("fourier", "傅里叶", replace(VIEWS, decay=1.2)),
    ("phase", "只动相位", replace(VIEWS, parameterization="phase", learning_rate=0.5)),
]
# (类, 种子)
LAYOUT = [
    ("same_seed", "同一种子，三个类", [("zebra", 5), ("flamingo", 5), ("monarch", 5)]),
    ("same_class", "同一个类，三个种子", [("zebra", 6), ("zebra", 7), ("zebra", 5)]),
]
CASTLES = Ascent(crop=0.3, views=2, natural=6.0, decay=1.2, cooling=True, margin=24)
DIVERSITY = [("none", "不加", 0.0), ("some", "权重 40", 40.0), ("much", "权重 300", 300.0)]


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


def make_facets(model) -> None:
    """像 class_facets 那样分簇、取平均照片，再从它们出发由粗到细地画。"""
    monuments, began = photos("monuments"), time.process_time()
    goal = model.categories.index_of("palace")
    scores = torch.cat([model(part).detach().cpu() for part in monuments.images.split(16)])
    palaces = monuments[(scores.topk(5).indices == goal).any(1).nonzero()[:, 0].tolist()]
    features = photo_features(model, palaces.images).cpu()
    labels = cluster_photos(features, 4)
    nearest = []
    for facet in range(4):
        members = (labels == facet).nonzero()[:, 0]
        away = (features[members] - features[members].mean(0)).norm(dim=1)
        nearest.append([palaces.names[k] for k in members[away.argsort()[:3]]])
    start = facet_starts(palaces.images, features, labels, nearest=FACETS["nearest"])
    options = {"stages": FACETS["stages"], "seed": FACETS["seed"], "settings": FACETS["settings"]}
    made = coarse_to_fine(model, ["palace"] * 4, start=start, **options)
    described = {"photos": nearest, "sizes": labels.bincount().tolist(), **FACETS}
    described |= {"settings": vars(FACETS["settings"]), "device": model.mean.device.type}
    write(FACETS_FOLDER, "palace", made.image, described)
    print(f"四个侧面：{time.process_time() - began:.0f} 秒 CPU", flush=True)


def make_sheet(kind: str, name: str, title: str, settings: Ascent, draw, **described) -> None:
    """画一组比较里的一条，连同设置存下来；draw() 给出这一条的图像 (N, 3, H, W)。"""
    began = time.process_time()
    made = draw()
    described = {"title": title, **described, "settings": vars(settings)}
    write(comparison_folder(kind), name, made, described)
    print(f"{title}：{time.process_time() - began:.0f} 秒 CPU", flush=True)


def drawn_in_stages(model, pairs, stages, settings: Ascent) -> torch.Tensor:
    """由粗到细画几张，每张一个 (类, 种子)。"""
    options = {"stages": stages, "settings": settings}
    made = [coarse_to_fine(model, each, seed=seed, **options).image for each, seed in pairs]
    return torch.cat(made)


def make_ablation(model) -> None:
    pairs = [(category, seed) for seed, category in enumerate(CATEGORIES, 31)]
    for name, title, stages, settings in WAYS:
        draw = partial(drawn_in_stages, model, pairs, stages, settings)
        described = {"categories": CATEGORIES, "stages": stages, "first_seed": 31}
        make_sheet("ablation", name, title, settings, draw, **described)


def make_layout(model) -> None:
    for name, title, pairs in LAYOUT:
        draw = partial(drawn_in_stages, model, pairs, STAGES, SMALL)
        categories, seeds = zip(*pairs, strict=True)
        described = {"categories": categories, "seeds": seeds, "stages": STAGES}
        make_sheet("layout", name, title, SMALL, draw, **described)


def drawn_at_once(model, kind: str, name: str, title: str, categories, settings, **size) -> None:
    """一条里的几张一起画：size 和 steps 相同。"""

    def draw() -> torch.Tensor:
        return class_image(model, categories, settings=settings, **size).image

    make_sheet(kind, name, title, settings, draw, categories=categories, **size)


def make_phase(model) -> None:
    for name, title, settings in PHASE:
        size = {"size": 192, "steps": 160}
        drawn_at_once(model, "phase", name, title, PHASE_CATEGORIES, settings, **size)


def make_diversity(model) -> None:
    for name, title, weight in DIVERSITY:
        settings, size = replace(CASTLES, diversity=weight), {"size": 128, "steps": 128}
        drawn_at_once(model, "diversity", name, title, ["castle"] * 4, settings, **size)


SHEETS = {
    "facets": make_facets,
    "ablation": make_ablation,
    "phase": make_phase,
    "layout": make_layout,
    "diversity": make_diversity,
}


def main() -> None:
    parser, sheet = Parser(__doc__), one_of_names("图", ["layers", *SHEETS, *LAYERS])
    parser.add_argument("sheets", metavar="哪几张", nargs="*", type=sheet, help="不给就是全部")
    wanted = parser.parse_args().sheets or ["layers", *SHEETS]
    network = load_model(device="cuda" if torch.cuda.is_available() else "cpu")
    if layers := [layer for layer in LAYERS if {layer, "layers"} & set(wanted)]:
        make_layers(network, layers)
    for sheet in [each for each in SHEETS if each in wanted]:
        SHEETS[sheet](network)


if __name__ == "__main__":
    run_command(main)
