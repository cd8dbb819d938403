"""画 README 和首页用的图：合成的类、梦里的亭子、随包的风格化网络画的照片，各一行。

用法：python tools/make_readme_picture.py
"""

from pathlib import Path

import torch

from cnnlab import dream, load_model, load_stylizer, photo, stylize
from cnnlab.core.command_line import Parser, run_command
from cnnlab.core.images import resize, to_pil
from cnnlab.pictures.class_gallery import class_gallery

TARGET = Path(__file__).parents[1] / "book" / "images" / "readme.webp"


def main() -> None:
    gallery = class_gallery()
    five = gallery.images[[0, 2, 3, 4, 5]]
    classes = torch.cat(list(resize(five, (192, 192)).split(1)), 3)
    china = photo("china", size=(426, 640))
    long = {"octaves": 6, "steps": 30, "step_size": 0.008}  # 与 DeepDream 一章的题图相同
    dreamt = dream(load_model("efficientnet_lite0"), china, "block11", **long).image
    pagoda = torch.cat([china, dreamt], 3)
    content, network = photo("owl", size=192), load_stylizer()
    night = stylize(network, content, style=[0.5, 0.5, 0.0])  # 一半波浪，一半星夜
    made = [stylize(network, content, style=k) for k in range(network.n_styles)]
    styled = torch.cat([content, *made, night], 3)
    rows = [classes, resize(pagoda, (320, 960)), styled]
    sheet = torch.cat([row for each in rows for row in (each, torch.ones(1, 3, 8, 960))][:-1], 2)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    to_pil(sheet).save(TARGET, quality=82)
    print(f"写好 {TARGET.name}，{TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    run_command(main)
