"""实验台的静态图：没有脚本的读者看见的那一张，建书时用 cnnlab 画，左边是照片，右边是结果。"""

from pathlib import Path

SIDE = 192


def write_still(folder: Path, *, experiment: str, photo: str, size: str) -> tuple[str, str]:
    """画好一张，返回文件名和说明；已经有的不重画。"""
    draw, text = STILLS[experiment]
    path = folder / f"still_{experiment}_{photo}_{size}.webp"
    if not path.exists():
        import cnnlab

        folder.mkdir(parents=True, exist_ok=True)
        image = cnnlab.load_image(photo, int(size))
        beside(cnnlab.to_pil(image), draw(image)).save(path, quality=35)
    return path.name, text


def beside(left, right):
    """两张图缩到一样大，并排。"""
    from PIL import Image

    picture = Image.new("RGB", (2 * SIDE + 8, SIDE), "white")
    for number, each in enumerate((left, right)):
        picture.paste(each.convert("RGB").resize((SIDE, SIDE)), (number * (SIDE + 8), 0))
    return picture


def colored(values, colormap: str):
    """[0, 1] 的 (H, W) 变成彩色的图。"""
    import matplotlib
    from PIL import Image

    pixels = matplotlib.colormaps[colormap](values.clamp(0, 1).numpy())[..., :3]
    return Image.fromarray((255 * pixels).round().astype("uint8"))


def over(image, heat, colormap: str, smooth: bool):
    """灰度的照片上盖一张热图。"""
    import cnnlab
    from PIL import Image

    grey = cnnlab.to_pil(image).convert("L").convert("RGB")
    shown = colored(heat, colormap).resize(
        grey.size, Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    )
    return Image.blend(grey, shown, 0.6)


def answer(image):
    """网络，和它对这张照片的第一名。"""
    import cnnlab

    model = cnnlab.load_model()
    return model, int(model(image).argmax())


def occlusion(image):
    import cnnlab

    model, target = answer(image)
    drop = cnnlab.occlusion_map(model, image, target, window=48, stride=24)[0]
    return over(image, 0.5 + drop / drop.abs().max() / 2, "coolwarm", smooth=False)


def saliency(image):
    import cnnlab

    heat = cnnlab.saliency_map(*_asked(image))[0]
    return colored(heat / heat.quantile(0.995), "inferno")


def guided(image):
    import cnnlab

    model, target = answer(image)
    gradient = cnnlab.guided_gradient(model, image, target=target)
    top = gradient.abs().amax(1).quantile(0.995)
    return cnnlab.to_pil((0.5 + gradient / top / 2).clamp(0, 1))


def cam(image):
    import cnnlab

    heat = cnnlab.class_activation_map(*_asked(image))[0]
    return over(image, heat / heat.max(), "inferno", smooth=True)


def _asked(image):
    model, target = answer(image)
    return model, image, target


def activations(image):
    import cnnlab

    found = cnnlab.activations_of(cnnlab.load_model(), image, "fire3")["fire3"]
    tiles = cnnlab.activation_tiles(found)[0]
    columns = 12
    rows = [row for row in tiles.split(columns) if len(row) == columns]
    import torch

    sheet = torch.cat(
        [
            torch.cat([torch.nn.functional.pad(tile, (0, 1, 0, 1), value=0.5) for tile in row], -1)
            for row in rows
        ],
        -2,
    )
    return colored(sheet.reshape(sheet.shape[-2:]), "gray")


def convolution(image):
    import cnnlab

    found = cnnlab.activations_of(cnnlab.load_model(), image, "conv1")["conv1"][0, 12]
    return colored(0.5 + found / found.abs().max() / 2, "coolwarm")


def dream(image):
    import cnnlab

    return cnnlab.to_pil(
        cnnlab.dream(
            cnnlab.load_model(), image, "fire5", octaves=3, steps=10, step_size=0.014
        ).image
    )


def ascent(image):
    import cnnlab

    return cnnlab.to_pil(cnnlab.class_gallery().images[:1])


def style(image):
    import cnnlab
    import torch

    network = cnnlab.load_stylizer("drawn")
    waves, night, glass = (cnnlab.stylize(network, image, style) for style in range(3))
    mixed = cnnlab.stylize(network, image, [0.0, 0.5, 0.5])
    upper, lower = torch.cat([waves, night], -1), torch.cat([glass, mixed], -1)
    return cnnlab.to_pil(torch.cat([upper, lower], -2))


STILLS = {
    "occlusion": (occlusion, "左边是照片，右边是遮挡图：盖住红的地方，得分掉得多"),
    "saliency": (saliency, "左边是照片，右边是显著图：亮的像素变一点，得分变得多"),
    "guided": (guided, "左边是照片，右边是引导式反向传播的梯度，灰是 0"),
    "cam": (cam, "左边是照片，右边是类激活图：亮的地方是这一类的证据"),
    "activations": (activations, "左边是照片，右边是 fire3 各通道的激活图，每张各自到最亮"),
    "convolution": (
        convolution,
        "左边是照片，右边是 conv1 的 12 号核走遍照片的结果，红是正，蓝是负",
    ),
    "dream": (dream, "左边是照片，右边是 DeepDream：放大 fire5 看见的东西"),
    "ascent": (ascent, "左边是照片，右边不用照片：从噪声出发，把火烈鸟的得分推到最高的图"),
    "style": (style, "左边是照片，右边是波浪、星夜、彩色玻璃，和后两种各一半"),
}
