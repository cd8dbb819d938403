"""训练随包带来的数字网络，写到 cnnlab/data/digits_*.safetensors（半精度）：python tools/train_digit_networks.py [名字 …]

5000 张 MNIST：前 4000 张训练，其中被可视化的网络用前 2000 张，裁判用后 2000 张，两者没有一张共同的图；
最后 1000 张谁也没见过，只用来报准确率。生成网络用全部 4000 张；只见过 3 的那个用其中的 3，代码加了噪声。
"""

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from cnnlab.chapters.facets import fit_generator
from cnnlab.core.command_line import Parser, one_of_names, run_command
from cnnlab.core.paths import DATA
from cnnlab.engine.training import cosine, fit, shuffled_batches
from cnnlab.networks.digit_networks import (
    DigitClassifier,
    ImageGenerator,
    LectureClassifier,
    SecondDigitClassifier,
    load_digit_network,
)
from cnnlab.pictures.photos import digits

NAMES = ["classifier", "second_classifier", "lecture_classifier", "generator", "threes_generator"]
PROVENANCE = {
    "source": "tools/train_digit_networks.py",
    "data": "MNIST, cnnlab.digits",
    "licence": "MIT",
}


def shifted(image, generator):
    """一批图整体移动至多 2 像素，再加一点噪声。"""
    down, right = torch.randint(-2, 3, (2,), generator=generator).tolist()
    return image.roll((down, right), (2, 3)) + 0.1 * torch.randn(image.shape, generator=generator)


def train_classifier(network, images, labels, steps: int, seed: int, decay: float = 0.0):
    """decay 是卷积核的平方和在损失里的权重：没有它，大核里用不着的格子还是初始的噪声。"""
    batches = shuffled_batches(images, labels, batch_size=64, seed=seed)

    def moved(step, generator):
        image, label = batches(step, generator)
        return shifted(image, generator), label

    def loss(network, batch):
        kernels = [one.weight for one in network.modules() if isinstance(one, nn.Conv2d)]
        size = sum(one.square().sum() for one in kernels) if decay else 0.0
        return functional.cross_entropy(network(batch[0]), batch[1]) + decay * size

    fit(network, loss, moved, steps=steps, learning_rate=2e-3, schedule=cosine, seed=seed)
    return network.eval().requires_grad_(False)


def save(name: str, network) -> None:
    path = DATA / f"digits_{name}.safetensors"
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata=PROVENANCE)
    print(f"{path.name}：{path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser, network = Parser(__doc__), one_of_names("数字网络", NAMES)
    parser.add_argument("names", metavar="名字", nargs="*", type=network, help="不给就是全部")
    wanted = parser.parse_args().names or NAMES
    images, labels = digits()
    held = images[4000:], labels[4000:]
    plans = {
        "classifier": (DigitClassifier, slice(0, 2000), 800, 0, 0.0),
        "second_classifier": (SecondDigitClassifier, slice(2000, 4000), 1000, 1, 0.0),
        "lecture_classifier": (LectureClassifier, slice(0, 4000), 2000, 0, 2e-3),
    }
    for name, (build, part, steps, seed, decay) in plans.items():
        if name not in wanted:
            continue
        torch.manual_seed(seed)
        network = train_classifier(build(), images[part], labels[part], steps, seed, decay)
        print(
            f"{name}：没见过的 1000 张里认对 {(network(held[0]).argmax(1) == held[1]).float().mean():.3f}"
        )
        save(name, network)
    classifier = load_digit_network("classifier")
    plans = (
        ("generator", slice(0, 4000), 2000, 0.0),
        ("threes_generator", labels[:4000] == 3, 500, 2.0),
    )
    for name, chosen, steps, noise in plans:
        if name not in wanted:
            continue
        torch.manual_seed(2)
        generator = ImageGenerator()
        source = images[:4000][chosen]
        fit_generator(generator, classifier, source, "code", steps=steps, code_noise=noise, seed=2)
        save(name, generator)


if __name__ == "__main__":
    run_command(main)
