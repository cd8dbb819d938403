"""最近邻与裸矩阵乘法之比，以及与 scikit-learn 之比：库 50,000 × 512，前 10 名。

上限：512 个查询 ≤ 1.2（CPU 时间的中位数）。用法：python benchmarks/neighbors.py
"""

import torch
from interleaved import compare

from cnnlab import nearest_neighbors


def main() -> None:
    """打印 512 个和 1 个查询的比值，并核对两边找到的是同一批。"""
    from sklearn.neighbors import NearestNeighbors

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    gallery, query = (
        torch.randn(50_000, 512, generator=generator),
        torch.randn(512, 512, generator=generator),
    )
    peer = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(gallery.numpy())
    assert (
        peer.kneighbors(query.numpy())[1] == nearest_neighbors(query, gallery, 10).index.numpy()
    ).all()
    for count in (512, 1):
        block = query[:count]
        print(f"{count} 个查询，库 50,000 × 512（基准：裸的矩阵乘法 Q @ G.T）")
        functions = {"矩阵乘法": lambda block=block: block @ gallery.T}
        functions["nearest_neighbors"] = lambda block=block: nearest_neighbors(block, gallery, 10)
        functions["scikit-learn brute"] = lambda block=block: peer.kneighbors(block.numpy())
        compare(functions, rounds=9, inner=1 if count > 1 else 5)


if __name__ == "__main__":
    main()
