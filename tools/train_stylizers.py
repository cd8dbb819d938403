"""训练随包带来的风格化网络，写到 cnnlab/data/stylizer_*.safetensors（半精度）：python tools/train_stylizers.py

不带选项就是随包的三种风格的网络，从头一段练完（随包的那份，头 3844 步还没有抹平、也学着木刻，之后用
--start drawn --steps 300 --learning-rate 0.001 接着练，最后留下三种）；--name tiny_instance、tiny_batch、tiny_zero 是三个对照用的小网络。

可以随时按 Ctrl-C，再运行一次就从存档接着练；build/stylizers/ 里有几个时刻的样图，画的是没见过的照片。
换自己的：python tools/train_stylizers.py --name mine --styles 画1.jpg 画2.jpg --contents 照片文件夹 --steps 2000
几块 GPU：torchrun --nproc-per-node 4 tools/train_stylizers.py --name mine …
"""

import time
from pathlib import Path

import torch
from tqdm.auto import tqdm

from cnnlab.chapters.fast_style import STYLIZER_HELD_OUT, stylize, train_stylizer
from cnnlab.core.command_line import Parser, run_command, whole_from
from cnnlab.core.images import load_image, save_image, to_pil
from cnnlab.networks.models import load_model
from cnnlab.networks.stylizers import (
    FILM_PATH,
    FILM_STEPS,
    StylizationNetwork,
    load_stylizer,
    save_stylizer,
)
from cnnlab.pictures.photos import photos, style_image, style_names

OUTPUT = Path("build") / "stylizers"
# 只给名字就用这里的设置；别的名字、别的选项见 --help
TINY = {"styles": ["starry_night"], "widths": [8, 16, 32], "blocks": 2, "steps": 120, "size": 64}
TINY |= {"learning_rate": 4e-3, "photo_gain": 1.0}
RECIPES = {
    "drawn": {"stop_after": 3844},
    "tiny_instance": TINY,
    "tiny_batch": TINY | {"normalization": "batch"},
    "tiny_zero": TINY | {"padding": "zero"},
}
STYLES = ["waves", "starry_night", "stained_glass"]


def arguments():
    parser = Parser(__doc__)
    parser.add_argument("--name", default="drawn", help="存成 stylizer_<name>.safetensors")
    parser.add_argument(
        "--styles", nargs="+", default=STYLES, help="代码画的风格的名字，或图片的路径、网址"
    )
    parser.add_argument(
        "--contents", default=None, help="照片文件夹；默认是随包的照片（留出的不用）"
    )
    parser.add_argument("--steps", type=whole_from(1), default=5000)
    parser.add_argument(
        "--stop-after",
        type=whole_from(1),
        default=None,
        help="学习率仍按 --steps 安排，走到这一步就停",
    )
    parser.add_argument("--start", default=None, help="从这个名字的风格化网络的权重接着练")
    parser.add_argument("--batch-size", type=whole_from(1), default=4)
    parser.add_argument("--size", type=whole_from(8), default=128, help="训练用的方块的边长")
    parser.add_argument(
        "--style-size", type=whole_from(8), default=192, help="风格图短边的像素：越小笔触越细"
    )
    parser.add_argument("--content-weight", type=float, default=1.0)
    parser.add_argument("--style-weight", type=float, default=12.0)
    parser.add_argument("--tv", type=float, default=0.1)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--normalization", default="instance")
    parser.add_argument("--padding", default="reflect")
    parser.add_argument("--blocks", type=whole_from(0), default=4)
    parser.add_argument("--widths", type=whole_from(1), nargs=3, default=[16, 32, 64])
    parser.add_argument("--photo-gain", type=float, default=2.0, help="原图加到输出上的份量")
    parser.add_argument("--model", default="efficientnet_lite0", help="损失网络")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="存档与样图的文件夹")
    name = parser.parse_known_args()[0].name
    parser.set_defaults(**RECIPES.get(name, {}))
    return parser.parse_args()


def training_photos():
    found = photos(size=224)
    return found[
        [index for index, name in enumerate(found.names) if name not in STYLIZER_HELD_OUT]
    ].images


def style_pictures(names, size):
    return [
        style_image(name, size) if name in style_names() else load_image(name, size)
        for name in names
    ]


class ProcessorTime:
    """用去的 CPU 秒数：从前几次运行留下的文件接着数。"""

    def __init__(self, path):
        self.path = path
        self.before = float(path.read_text()) if path.exists() else 0.0

    def save(self) -> float:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        total = self.before + time.process_time()
        self.path.write_text(f"{total:.1f}")
        return total


def make_film(folder: Path, steps: list[int]) -> None:
    """样图里的两格（星夜的泰姬陵、彩色玻璃的鱼）在几个时刻的样子，存成随包的一张图。"""
    rows = []
    for style, photo in ((1, 1), (2, 2)):
        sheets = [load_image(folder / f"step{step:05d}.png") for step in steps]
        top, left = 256 * (style + 1), 256 * photo
        rows.append(
            torch.cat([each[..., top : top + 256, left : left + 256] for each in sheets], 3)
        )
    to_pil(torch.cat(rows, 2)).save(FILM_PATH, quality=88)


def main() -> None:
    options = arguments()
    torch.manual_seed(0)
    network = StylizationNetwork(
        len(options.styles),
        widths=options.widths,
        blocks=options.blocks,
        normalization=options.normalization,
        padding=options.padding,
        photo_gain=options.photo_gain,
    ).to(options.device)
    if options.start:
        network.load_state_dict(load_stylizer(options.start).state_dict())
    styles = [
        picture.to(options.device) for picture in style_pictures(options.styles, options.style_size)
    ]
    weights = {key: getattr(options, key) for key in ("content_weight", "style_weight", "tv")}
    held_out = photos(size=256)
    held_out = held_out[[held_out.index(name) for name in STYLIZER_HELD_OUT[:4]]].images
    held_out = held_out.to(options.device)
    folder = options.output / options.name
    spent = ProcessorTime(folder / "seconds.txt")
    bar = tqdm(total=options.steps, desc=options.name, mininterval=5)

    def on_step(step):
        number = step.index + 1
        bar.update(number - bar.n)
        bar.set_postfix(loss=f"{step.loss:.3f}")
        if number % 50 == 0:
            spent.save()
        if number in (*FILM_STEPS, options.steps, options.stop_after):
            rows = [held_out, *(stylize(network, held_out, style) for style in range(len(styles)))]
            sheet = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
            save_image(sheet[None], folder / f"step{number:05d}.png")
        if number == options.stop_after:
            raise KeyboardInterrupt

    record = train_stylizer(
        network,
        load_model(options.model, device=options.device),
        options.contents or training_photos(),
        styles,
        steps=options.steps,
        batch_size=options.batch_size,
        size=options.size,
        learning_rate=options.learning_rate,
        checkpoint=folder / "checkpoint.pt",
        on_step=on_step,
        **weights,
    )
    bar.close()
    settings = {
        key: str(value)
        for key, value in vars(options).items()
        if key not in ("output", "device", "name")
    }
    settings["seconds"] = f"{spent.save():.0f}"  # CPU 时间，接着练的几次都算在内
    if not record.interrupted or record.steps == options.stop_after:
        if options.name == "drawn":
            make_film(folder, [*FILM_STEPS, record.steps])
        path = save_stylizer(network, options.name, names=options.styles, settings=settings)
        print(
            f"{path}：{path.stat().st_size / 1e6:.2f} MB，末 50 步的损失 {sum(record.losses[-50:]) / 50:.3f}，{record.seconds:.0f} 秒"
        )


if __name__ == "__main__":
    run_command(main)
