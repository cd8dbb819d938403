"""多进程训练：torchrun 设好环境变量 WORLD_SIZE、RANK、LOCAL_RANK，各进程的梯度取平均。

不管训练循环；只有一个进程时什么也不做。
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn


def rank_and_world() -> tuple[int, int]:
    """这是第几个进程，一共几个；不在 torchrun 之下是 (0, 1)。"""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def process_group() -> Iterator[None]:
    """在 with 之内各进程连成一组（GPU 用 nccl，CPU 用 gloo）；已经连好的不动。"""
    if rank_and_world()[1] == 1 or distributed.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def broadcast(network: nn.Module) -> None:
    """各进程从 0 号进程的权重出发。"""
    if distributed.is_initialized():
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, src=0)


def any_process(flag: bool) -> bool:
    """有没有哪个进程说了“是”；大家得到同一个答案。"""
    if not distributed.is_initialized():
        return flag
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    count = torch.tensor(float(flag), device=device)
    distributed.all_reduce(count)
    return bool(count > 0)


def gather(value) -> list:
    """各进程的一份东西收成一列，按进程号排；大家得到同一列。"""
    if not distributed.is_initialized():
        return [value]
    found = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, value)
    return found


def average_gradients(value: Tensor, gradients, parameters: list[Tensor]) -> float:
    """把（各进程平均的）梯度放进 .grad，给出（平均的）损失。"""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = _mean(torch.zeros_like(parameter) if gradient is None else gradient)
    return float(_mean(value.detach()))


def _mean(tensor: Tensor) -> Tensor:
    """各进程的平均。"""
    if not distributed.is_initialized():
        return tensor
    total = tensor.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
