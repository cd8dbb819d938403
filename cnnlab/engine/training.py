"""唯一的权重训练循环 `fit`：可以中断再续，结果与不中断时相同；torchrun 之下多进程。

不管训练的是哪个网络。每一步的数据和随机数只由种子和步数决定，所以存档里不必有随机数状态。
"""

import hashlib
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.images import resize
from cnnlab.core.names import unknown
from cnnlab.core.values import describe
from cnnlab.engine.processes import (
    any_process,
    average_gradients,
    broadcast,
    process_group,
    rank_and_world,
)
from cnnlab.engine.stopping import Stop, stoppable

Batches = Callable[[int, torch.Generator], object]


@dataclass(frozen=True)
class TrainingStep:
    """训练的一步：第几步（从 0 起）、损失、已用的秒数。"""

    index: int
    loss: float
    seconds: float


@dataclass
class Training:
    """训练的记录：每步的损失、走到第几步、用了多少秒（含存档之前的）、是否被中断。"""

    losses: list[float] = field(default_factory=list, repr=False)
    steps: int = 0
    seconds: float = 0.0
    interrupted: bool = False


def random_square(image: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """图上随机的一个方块，边长从 size 到短边，缩放到 size 见方。"""

    def number(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    shorter = min(image.shape[-2:])
    side = min(size, shorter) + number(shorter + 1 - min(size, shorter))
    top, left = (number(length - side + 1) for length in image.shape[-2:])
    return resize(image[..., top : top + side, left : left + side], (size, size))


@checked
def shuffled_batches(*tensors: Tensor, batch_size: int = 64, seed: int = 0) -> Batches:
    """把几个一样长的张量打乱、分批：第 step 步的那一批只由 `seed` 和 step 决定，每一轮重新打乱。

    最后不满一批的略去。torchrun 之下 `batch_size` 是各进程合计的，每个进程拿自己的一份。
    """
    length, (rank, world) = len(tensors[0]), rank_and_world()
    if any(len(tensor) != length for tensor in tensors):
        raise ValueError(f"几个张量应当一样长，得到 {[len(tensor) for tensor in tensors]}")
    if not 0 < batch_size <= length:
        raise ValueError(f"batch_size 是 {batch_size}，应在 1 与样本数 {length} 之间")
    if batch_size % world:
        raise ValueError(f"batch_size={batch_size} 不能平均分给 {world} 个进程")
    per_epoch = length // batch_size

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        epoch, position = divmod(step, per_epoch)
        order = torch.randperm(
            length, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        )
        chosen = order[position * batch_size : (position + 1) * batch_size][rank::world]
        return tuple(tensor[chosen.to(tensor.device)] for tensor in tensors)

    return batch


def cosine(progress: float) -> float:
    """学习率的倍数从 1 按余弦降到 0。"""
    return 0.5 * (1 + math.cos(math.pi * progress))


@checked
def fit(
    network: nn.Module,
    loss: Callable[[nn.Module, object], Tensor],
    batches: Batches,
    *,
    steps: int,
    optimizer: str | Callable = "adam",
    learning_rate: float = 1e-3,
    schedule: Callable[[float], float] | None = None,
    checkpoint=None,
    save_every: int = 200,
    seed: int = 0,
    on_step: Callable[[TrainingStep], None] | None = None,
) -> Training:
    """训练 `network` 的权重（就地），走 `steps` 步，得到训练的记录。

    每一步最小化 loss(network, batches(step, generator))，generator 由种子、步数和进程号定。
    `schedule` 把进度 [0, 1] 变成学习率的倍数。`checkpoint` 是存档的路径：有就接着练，每 `save_every` 步和结束时写。
    torchrun 之下各进程的梯度取平均。按 Ctrl-C 时走完这一步、存档、返回。
    """
    with torch.inference_mode(False), process_group(), _training_mode(network), stoppable() as stop:
        walker = _optimizer(optimizer, network, learning_rate)
        run = _Run(network, loss, batches, walker, steps, learning_rate, schedule, seed)
        if checkpoint is not None:
            run.identity = run.identify(optimizer)
            run.load(Path(checkpoint))
        try:
            run.train(stop, on_step, checkpoint, save_every)
        except KeyboardInterrupt:
            run.record.interrupted = True
        finally:
            for parameter in run.parameters:
                parameter.grad = None
        run.save(checkpoint)
        # 大家等 0 号进程写完存档再返回
        any_process(False)
    return run.record


_FIRST_BATCH = "数据或批量（第 0 步的那一批）"


class _Run:
    """一次训练的状态：网络、优化器、记录。"""

    def __init__(self, network, loss, batches, optimizer, steps, learning_rate, schedule, seed):
        self.network, self.loss, self.batches, self.optimizer = network, loss, batches, optimizer
        self.steps, self.seed = steps, seed
        self.learning_rate, self.schedule = learning_rate, schedule
        self.parameters = [each for group in optimizer.param_groups for each in group["params"]]
        self.record, self.identity = Training(), {}
        broadcast(network)

    def identify(self, optimizer) -> dict:
        """这次训练是怎样的：存档要对得上才接着练。数据认第 0 步的那一批（它只由种子和步数决定）。"""
        rank, world = rank_and_world()
        first = self.batches(0, torch.Generator().manual_seed(self._seed(0, rank)))
        return {
            "种子": self.seed,
            "优化器": getattr(optimizer, "__qualname__", str(optimizer)),
            "学习率": float(self.learning_rate),
            "进程数": world,
            _FIRST_BATCH: _digest(first)[:12],
        }

    def train(self, stop: Stop, on_step, checkpoint, save_every: int) -> None:
        while not self.finished(stop.asked):
            index = self.advance()
            if on_step is not None and rank_and_world()[0] == 0:
                on_step(TrainingStep(index, self.record.losses[-1], self.record.seconds))
            if self.record.steps % save_every == 0:
                self.save(checkpoint)

    def finished(self, interrupted: bool) -> bool:
        """够步数或被中断了；多进程时由任何一个进程决定，大家一起停。"""
        self.record.interrupted = any_process(interrupted)
        return self.record.interrupted or self.record.steps >= self.steps

    def advance(self) -> int:
        index, rank = self.record.steps, rank_and_world()[0]
        began = time.monotonic()
        factor = self.schedule(index / self.steps) if self.schedule else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * factor
        number = self._seed(index, rank)
        generator = torch.Generator().manual_seed(number)
        # 网络里的随机层（如 dropout）也只由种子和步数决定；调用者的随机数状态不动
        with torch.random.fork_rng(), torch.enable_grad():
            torch.set_rng_state(generator.get_state())
            if torch.cuda.is_available():
                torch.cuda.manual_seed_all(number)
            value = self.loss(self.network, self.batches(index, generator))
            if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
                raise ValueError(
                    f"loss(network, batch) 应当给出一个依赖网络权重的标量张量，得到 {describe(value)}；先求平均，中间不要 detach"
                )
            gradients = torch.autograd.grad(value, self.parameters, allow_unused=True)
        mean = average_gradients(value, gradients, self.parameters)
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"第 {index} 步的损失是 {mean}，训练停止，权重停在这一步之前；把学习率调小，或查一查数据"
            )
        self.optimizer.step()
        self.record.steps += 1
        self.record.losses.append(mean)
        self.record.seconds += time.monotonic() - began
        return index

    def _seed(self, index: int, rank: int) -> int:
        return (self.seed * 1_000_003 + index) * 4099 + rank

    def save(self, path) -> None:
        """写存档：先写到旁边的文件再改名，中途断电也不会留下半个；写不下就留着旧的，说一声。"""
        if path is None or rank_and_world()[0] != 0:
            return
        path = Path(path)
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "identity": self.identity,
            "record": vars(self.record),
        }
        partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({**state, "sha256": _digest(state), "kind": "cnnlab training"}, partial)
            os.replace(partial, path)
        except (OSError, RuntimeError) as error:
            kept = "旧的存档还在" if path.exists() else "还没有存档"
            reason = str(error).splitlines()[0][:120]
            warnings.warn(
                f"第 {self.record.steps} 步的存档写不进 {path}（{reason}）；{kept}，训练接着走。腾出磁盘空间，或换一个路径",
                RuntimeWarning,
                stacklevel=4,
            )
        finally:
            with suppress(OSError):
                partial.unlink()

    def load(self, path: Path) -> None:
        """有存档就接着练；不是这个网络、这样的训练的存档就报错，什么也不覆盖。"""
        if not path.exists():
            return
        if path.is_dir():
            raise ValueError(
                f"checkpoint 是文件夹 {path}；要一个存档文件的路径，如 {path / 'run.pt'}"
            )
        state = _read_checkpoint(path)
        _check_same_network(self.network, state["network"], path)
        there = state["identity"]
        # 进程数变了，每个进程分到的那一批也就变了
        spread = self.identity["进程数"] != there.get("进程数")
        for name, value in self.identity.items():
            if there.get(name) != value and not (spread and name in ("进程数", _FIRST_BATCH)):
                raise ValueError(
                    f"存档 {path} 的{name}是 {there.get(name)}，这次是 {value}；用同样的接着练，或换一个存档路径"
                )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.record = Training(**state["record"])


def _digest(value) -> str:
    """张量、字典、列表合起来的 sha256。"""
    digest = hashlib.sha256()

    def add(each) -> None:
        if isinstance(each, Tensor):
            flat = each.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{each.dtype}{tuple(each.shape)}".encode())
            digest.update(flat.view(torch.uint8).numpy().tobytes())
        elif isinstance(each, dict):
            for key, item in each.items():
                digest.update(repr(key).encode())
                add(item)
        elif isinstance(each, list | tuple):
            for item in each:
                add(item)
        else:
            digest.update(repr(each).encode())

    add(value)
    return digest.hexdigest()


def _optimizer(
    optimizer: str | Callable, network: nn.Module, learning_rate: float
) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("网络里没有可以训练的参数；先 network.requires_grad_(True)")
    known = {
        "adam": torch.optim.Adam,
        "sgd": lambda each, lr: torch.optim.SGD(each, lr=lr, momentum=0.9),
    }
    if not callable(optimizer) and optimizer not in known:
        raise unknown("优化器", optimizer, known, hint="，或函数 (参数, lr=...) → 优化器")
    return (optimizer if callable(optimizer) else known[optimizer])(parameters, lr=learning_rate)


def _read_checkpoint(path) -> dict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        kind = type(error).__name__
        raise ValueError(f"存档 {path} 读不出来，可能损坏了（{kind}）；删掉它重新开始") from None
    parts = ("network", "optimizer", "identity", "record")
    if not isinstance(state, dict) or state.get("kind") != "cnnlab training":
        raise ValueError(f"{path} 不是训练的存档；换一个 checkpoint 路径")
    kept = {part: state.get(part) for part in parts}
    if None in kept.values() or state.get("sha256") != _digest(kept):
        raise ValueError(f"存档 {path} 的校验和不对，可能损坏了；删掉它重新开始")
    return kept


def _check_same_network(network: nn.Module, saved: dict[str, Tensor], path) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    other = {name: tuple(tensor.shape) for name, tensor in saved.items()}
    for name in dict.fromkeys([*own, *other]):
        if own.get(name) != other.get(name):
            here, there = (shapes.get(name, "没有") for shapes in (own, other))
            raise ValueError(
                f"存档 {path} 是另一个网络的：参数 {name} 在网络里是 {here}，在存档里是 {there}；换一个 checkpoint 路径"
            )


@contextmanager
def _training_mode(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.train()
        yield
    finally:
        for module, training in modes:
            module.training = training
