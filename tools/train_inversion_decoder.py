"""训练随包带来的解码网络（fire8 的激活 → 图像），写到 cnnlab/data/inversion_decoder.safetensors（半精度）。

python tools/train_inversion_decoder.py [步数]；可以随时按 Ctrl-C，再运行一次接着练。
"""

import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from cnnlab.chapters.inversion import DECODER_HELD_OUT, DECODER_PATH, FeatureDecoder, fit_decoder
from cnnlab.core.command_line import Parser, run_command, whole_from
from cnnlab.core.hooks import activations_of
from cnnlab.core.measures import correlation
from cnnlab.networks.models import load_model
from cnnlab.pictures.photos import photos

LAYER = "fire8"
CHECKPOINT = Path("build") / "inversion_decoder" / "checkpoint.pt"


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("steps", metavar="步数", nargs="?", type=whole_from(1), default=1500)
    steps = parser.parse_args().steps
    found, small, model = photos(size=144), photos(size=96), load_model()
    seen = [index for index, name in enumerate(found.names) if name not in DECODER_HELD_OUT]
    held = [index for index, name in enumerate(found.names) if name in DECODER_HELD_OUT]
    torch.manual_seed(0)
    decoder = FeatureDecoder(512)
    CHECKPOINT.parent.mkdir(parents=True, exist_ok=True)

    def on_step(step):
        if (step.index + 1) % 100 == 0:
            print(
                f"{step.index + 1} 步，损失 {step.loss:.4f}，CPU {time.process_time():.0f} 秒",
                flush=True,
            )

    record = fit_decoder(
        decoder,
        model,
        found.images[seen],
        LAYER,
        steps=steps,
        variations=10,
        checkpoint=CHECKPOINT,
        on_step=on_step,
    )
    if record.interrupted:
        return
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in decoder.state_dict().items()
    }
    save_file({key: value.contiguous() for key, value in state.items()}, DECODER_PATH)
    with torch.no_grad():
        guess = decoder(activations_of(model, small.images[held], LAYER)[LAYER])
    score = correlation(guess, small.images[held])
    print(
        f"{DECODER_PATH.name}：{DECODER_PATH.stat().st_size / 1e6:.2f} MB；没见过的 {len(held)} 张，相关的中位数 {score.median():.3f}"
    )


if __name__ == "__main__":
    run_command(main)
