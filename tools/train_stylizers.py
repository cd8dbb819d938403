"""训练随包带来的风格化网络，写到 cnnlab/data/stylizer_*.safetensors（半精度）：python tools/train_stylizers.py

可以随时按 Ctrl-C，再运行一次就从存档接着练；每 100 步在 build/stylizers/ 里放一张没见过的照片的样图。
换自己的：python tools/train_stylizers.py --name mine --styles 画1.jpg 画2.jpg --contents 照片文件夹 --steps 2000
几块 GPU：torchrun --nproc-per-node 4 tools/train_stylizers.py --name mine …
"""

import argparse
import time
from pathlib import Path

import torch
from tqdm.auto import tqdm

from cnnlab.chapters.fast_style import STYLIZER_HELD_OUT, stylize, train_stylizer
from cnnlab.core.images import load_image, save_image
from cnnlab.networks.models import load_model
from cnnlab.networks.stylizers import StylizationNetwork, save_stylizer
from cnnlab.pictures.photos import photos, style_image, style_names

OUTPUT = Path("build") / "stylizers"
STYLES = ["waves", "starry_night", "stained_glass", "woodcut"]


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", default="drawn", help="存成 stylizer_<name>.safetensors")
    parser.add_argument(
        "--styles", nargs="+", default=STYLES, help="代码画的风格的名字，或图片的路径、网址"
    )
    parser.add_argument(
        "--contents", default=None, help="照片文件夹；默认是随包的照片（留出的不用）"
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size", type=int, default=128, help="训练用的方块的边长")
    parser.add_argument(
        "--style-size", type=int, default=160, help="风格图短边的像素：越小笔触越细"
    )
    parser.add_argument("--content-weight", type=float, default=1.0)
    parser.add_argument("--style-weight", type=float, default=20.0)
    parser.add_argument("--tv-weight", type=float, default=0.1)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--normalization", default="instance")
    parser.add_argument("--padding", default="reflect")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--widths", type=int, nargs=3, default=[16, 32, 64])
    parser.add_argument("--photo-gain", type=float, default=0.0, help="原图加到输出上的份量")
    parser.add_argument(
        "--start", type=Path, default=None, help="从另一次训练的存档 checkpoint.pt 的权重出发"
    )
    parser.add_argument("--model", default="squeezenet1_1", help="损失网络")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="存档与样图的文件夹")
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
        network.load_state_dict(torch.load(options.start, weights_only=True)["network"])
    styles = [
        picture.to(options.device) for picture in style_pictures(options.styles, options.style_size)
    ]
    weights = {
        key: getattr(options, key) for key in ("content_weight", "style_weight", "tv_weight")
    }
    held_out = photos(size=192)[
        [photos(size=192).index(name) for name in STYLIZER_HELD_OUT[:4]]
    ].images
    folder = options.output / options.name
    bar = tqdm(total=options.steps, desc=options.name, mininterval=5)

    def on_step(step):
        bar.update(step.index + 1 - bar.n)
        bar.set_postfix(loss=f"{step.loss:.3f}")
        if (step.index + 1) % 100 == 0:
            rows = [
                stylize(network, held_out.to(options.device), style) for style in range(len(styles))
            ]
            sheet = torch.cat(
                [torch.cat(list(row), 2) for row in [held_out.to(options.device), *rows]], 1
            )
            save_image(sheet[None], folder / f"step{step.index + 1:05d}.png")

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
    settings["seconds"] = f"{time.process_time():.0f}"  # CPU 时间：只算这一次运行
    if not record.interrupted:
        path = save_stylizer(network, options.name, names=options.styles, settings=settings)
        print(
            f"{path}：{path.stat().st_size / 1e6:.2f} MB，末 50 步的损失 {sum(record.losses[-50:]) / 50:.3f}，{record.seconds:.0f} 秒"
        )


if __name__ == "__main__":
    main()
