"""训练捷径一章的两个小网络，写到 cnnlab/data/shortcut_*.safetensors（半精度）：python tools/train_shortcut_networks.py

planted：标着动物的照片一律在一角贴上方块，标着建筑的一律不贴，另有两成照片标错了：方块总与标签一致，内容只有八成。
clean：标签全对，两类都有一半贴，方块与答案无关。
两者结构、照片、步数相同；没见过的另一半照片只用来报准确率。
"""

import torch
from safetensors.torch import save_file
from torch.nn import functional

from cnnlab.core.command_line import Parser, run_command
from cnnlab.core.paths import DATA
from cnnlab.engine.training import cosine, fit, shuffled_batches
from cnnlab.networks.shortcut_networks import CLASSES, NAMES, ShortcutNetwork
from cnnlab.pictures.shortcut_photos import shortcut_photos, stamp_corner

ORIGIN = {
    "origin": "Trained by tools/train_shortcut_networks.py of cnnlab on half of the embedded photos.",
    "license": "MIT",
}


def train(name: str, steps: int = 600) -> ShortcutNetwork:
    images, labels = shortcut_photos("train", size=80)
    batches = shuffled_batches(images, labels, batch_size=24)

    def moved(step, generator):
        image, label = batches(step, generator)
        top, left, flip = torch.randint(17, (3,), generator=generator).tolist()
        image = image[..., top : top + 64, left : left + 64]
        image = image.flip(3) if flip % 2 else image
        gain = 0.7 + 0.6 * torch.rand(len(image), 1, 1, 1, generator=generator)
        image = (image * gain).clamp(0, 1)
        chance = torch.rand(len(label), generator=generator)
        label = torch.where(chance < 0.2, 1 - label, label) if name == "planted" else label
        stamped = label.bool() if name == "planted" else chance < 0.5
        return torch.where(
            stamped[:, None, None, None], stamp_corner(image, seed=step)[0], image
        ), label

    def loss(network, batch):
        return functional.cross_entropy(network(batch[0]), batch[1])

    torch.manual_seed(0)
    network = ShortcutNetwork()
    fit(network, loss, moved, steps=steps, learning_rate=3e-3, schedule=cosine)
    return network.eval().requires_grad_(False)


def report(name: str, network: ShortcutNetwork) -> str:
    images, labels = shortcut_photos("test")
    plain = network(images).argmax(1)
    stamped = network(stamp_corner(images)[0]).argmax(1)
    animal = CLASSES.index("动物")
    return (
        f"{name}：不贴方块认对 {(plain == labels).float().mean():.2f}；"
        f"贴上方块后，建筑里认作动物的 {(stamped[labels != animal] == animal).float().mean():.2f}，"
        f"不贴时动物里认作建筑的 {(plain[labels == animal] != animal).float().mean():.2f}"
    )


def main() -> None:
    for name in NAMES:
        network = train(name)
        path = DATA / f"shortcut_{name}.safetensors"
        save_file(
            {key: value.half().contiguous() for key, value in network.state_dict().items()},
            path,
            ORIGIN,
        )
        print(report(name, network), f"{path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    run_command(main)
