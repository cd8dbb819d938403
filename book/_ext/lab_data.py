"""实验台要的数据：由 cnnlab/data 写出半精度的权重、类别名和照片，网页用 <script> 装载。

不管网页怎么排，那是 lab 的事；写出的文件不入库。
"""

import base64
import csv
import json
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent.parent / "cnnlab" / "data"
# 面板里可选的照片和它们的中文名；第一张是一打开就看见的
PHOTOS = {
    "jaguar": "美洲豹",
    "kingfisher": "翠鸟",
    "scarlet_macaw": "金刚鹦鹉",
    "panda": "大熊猫",
    "duck": "鸭子",
    "cat": "猫",
    "owl": "猫头鹰",
    "fish18": "金鱼",
    "taj_mahal": "泰姬陵",
    "opera_house": "悉尼歌剧院",
    "hammer8": "锤子",
    "chair": "椅子",
}
STYLIZER = "drawn"


def packed(arrays) -> str:
    """若干数组接起来，半精度、小端，写成 85 进制的文字。"""
    import numpy as np

    values = np.concatenate([np.asarray(each, dtype=np.float32).ravel() for each in arrays]).astype(
        "<f2"
    )
    return base64.b85encode(values.tobytes()).decode()


def script(**variables) -> str:
    """一个 .js 文件：每个变量一行。"""
    return "".join(
        f"var {name} = {json.dumps(value, ensure_ascii=False, separators=(',', ':'))};\n"
        for name, value in variables.items()
    )


def network_weights() -> list:
    """SqueezeNet 的权重，按算的先后，每个卷积先核后偏置。"""
    from safetensors.numpy import load_file

    state = load_file(DATA / "squeezenet1_1.safetensors")
    names = ["conv1"]
    for number in range(2, 10):
        names += [f"fire{number}.{part}" for part in ("squeeze1x1", "expand1x1", "expand3x3")]
    return [state[f"{name}.{part}"] for name in [*names, "conv10"] for part in ("weight", "bias")]


def photo_statistics(size: int = 160) -> dict:
    """自然先验要的：几层上每个通道的均值、标准差，在随书照片（三张取一张）上的平均和散布。"""
    import cnnlab
    import torch
    from cnnlab.engine.ascent import STATISTIC_LAYERS

    model, measured = cnnlab.load_model(), {}
    for image in cnnlab.photos(size=size).images[::3].split(8):
        found = cnnlab.activations_of(model, image, list(STATISTIC_LAYERS))
        for layer, value in found.items():
            measured.setdefault(layer, []).append(
                torch.cat([value.mean((2, 3)), value.std((2, 3))], 1)
            )
    answer = {}
    for layer, weight in STATISTIC_LAYERS.items():
        values = torch.cat(measured[layer])
        spread = values.std(0)
        spread = spread.clamp_min(1e-3 * float(spread.max()))
        numbers = {"center": values.mean(0), "spread": spread}
        answer[layer] = {"weight": weight} | {
            name: [float(f"{x:.3g}") for x in each.tolist()] for name, each in numbers.items()
        }
    return answer


def stylizer_weights() -> tuple[str, dict]:
    """风格化网络的权重（按算的先后，每层核、偏置、γ、β），和它的样子。"""
    import cnnlab

    network = cnnlab.load_stylizer(STYLIZER)
    layers = [
        *network.encoder,
        *(each for block in network.blocks for each in block),
        *network.decoder,
        network.last,
    ]
    arrays = []
    for layer in layers:
        arrays += [layer.conv.weight, layer.conv.bias, layer.norm.scale, layer.norm.shift]
    about = {
        "name": STYLIZER,
        "styles": list(network.styles),
        "widths": list(network.options["widths"]),
        "blocks": network.options["blocks"],
        "photoGain": network.options["photo_gain"],
    }
    return packed(each.detach().numpy() for each in arrays), about


def photo_table() -> list[dict]:
    """可选的照片：名字、中文名、像素、作者、许可、出处。"""
    with (DATA / "photos" / "ATTRIBUTION.csv").open(encoding="utf-8") as file:
        credits = {Path(row["file"]).stem: row for row in csv.DictReader(file)}
    table = []
    for name, chinese in PHOTOS.items():
        row = credits[name]
        pixels = base64.b64encode((DATA / "photos" / row["file"]).read_bytes()).decode()
        about = {key: row[key] for key in ("author", "licence", "source")}
        table.append(
            {"name": name, "chinese": chinese, "pixels": f"data:image/jpeg;base64,{pixels}"} | about
        )
    return table


def category_names() -> list[list[str]]:
    """每一类的 [中文名, 英文名]。"""
    with (DATA / "imagenet_categories.csv").open(encoding="utf-8") as file:
        return [[row["chinese"], row["english"]] for row in csv.DictReader(file)]


def write_data(folder: Path) -> None:
    """写出三个数据文件；已有的、比来源都新的不重写。"""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [
        Path(__file__),
        *DATA.glob("*.safetensors"),
        *DATA.glob("*.csv"),
        *DATA.glob("photos/*.csv"),
    ]
    newest = max(path.stat().st_mtime for path in sources)
    makers = {
        "data_photos.js": lambda: script(labCategories=category_names(), labPhotos=photo_table()),
        "data_network.js": lambda: script(
            labNetworkWeights=packed(network_weights()), labStatistics=photo_statistics()
        ),
        "data_stylizer.js": lambda: script(
            **dict(zip(("labStylizerWeights", "labStylizerAbout"), stylizer_weights(), strict=True))
        ),
    }
    for name, make in makers.items():
        path = folder / name
        if not path.exists() or path.stat().st_mtime < newest:
            path.write_text(make(), encoding="utf-8")
