"""假想的加速器：没有 GPU 的机器上，一个叫 sim 的设备。

`start()` 用 torch 的 Python 后端登记它。sim 上的张量其实在 CPU 上算，但像 GPU 一样讲规矩：不与 CPU 张量混算
（零维的除外），不直接变成 numpy，不用来索引 CPU 的张量；`torch.accelerator` 认得它。`float64=False` 时像苹果的
GPU，不收 float64。要在单独的进程里、第一次反向传播之前登记：autograd 只数一次设备。
没有模拟的：流、显存、速度、舍入、设备自己的随机数发生器。
"""

import torch
import torch._dynamo
import torch.distributed.fsdp
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

CROSSING = {"aten::copy_", "aten::_to_copy", "aten::to", "aten::_copy_from"}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
SETTINGS = {"float64": True}
# 在 sim 和 CPU 上各算过多少次卷积和矩阵乘法；随包的网络又各有几次（见 count_networks）
COUNTS = {"heavy": 0, "heavy on the CPU": 0, "networks": 0, "networks on the CPU": 0}
HEAVY = {"aten::convolution", "aten::mm", "aten::addmm", "aten::bmm"}


class SimulatedTensor(torch.Tensor):
    """一个 CPU 张量，外面套一层，说自己在 sim 上。"""

    @staticmethod
    def __new__(cls, inside):
        options = {"dtype": inside.dtype, "requires_grad": inside.requires_grad}
        options |= {"strides": inside.stride(), "storage_offset": inside.storage_offset()}
        device = torch.device("sim", 0)
        return torch.Tensor._make_wrapper_subclass(cls, inside.shape, device=device, **options)

    def __init__(self, inside):
        self.inside = inside

    def __repr__(self):
        return f"sim({self.inside!r})"

    def tolist(self):
        return self.inside.tolist()

    def numpy(self, *arguments, **options):
        raise TypeError("can't convert sim:0 device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *arguments, **options):
        return self.numpy()

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        return run(function, arguments, options or {})


def unwrap(value):
    return value.inside if isinstance(value, SimulatedTensor) else value


def wrap(value):
    if not isinstance(value, torch.Tensor) or isinstance(value, SimulatedTensor):
        return value
    if value.dtype == torch.float64 and not SETTINGS["float64"]:
        raise TypeError("Cannot convert a sim Tensor to float64: the device has no float64")
    return SimulatedTensor(value)


def is_here(value) -> bool:
    return isinstance(value, SimulatedTensor)


def check_devices(function, arguments, options) -> bool:
    """张量都在一处吗；得到结果该不该在 sim 上。"""
    name = function._schema.name
    tensors = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, torch.Tensor)]
    here = any(map(is_here, tensors))
    there = any(tensor.dim() and not is_here(tensor) for tensor in tensors)
    # sim 上的张量可以用 CPU 的下标来取
    values = [each for each in arguments[2:] if isinstance(each, torch.Tensor) and each.dim()]
    indexed = name in INDEXING and is_here(arguments[0]) and all(map(is_here, values))
    if here and there and name not in CROSSING and not indexed:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found sim:0 and cpu in {function}"
        )
    if name in HEAVY:
        COUNTS["heavy" if here else "heavy on the CPU"] += 1
    return here


def run(function, arguments, options):
    """查过设备，在 CPU 上算，该在 sim 上的套上一层。"""
    on_sim = check_devices(function, arguments, options)
    options = {key: value for key, value in options.items() if key != "pin_memory"}
    if options.get("device") is not None:
        on_sim = torch.device(options["device"]).type == "sim"
        options["device"] = torch.device("cpu")
    output = function(*tree_map(unwrap, arguments), **tree_map(unwrap, options))
    written = [
        argument
        for argument, slot in zip(arguments, function._schema.arguments, strict=False)
        if slot.alias_info is not None and slot.alias_info.is_write
    ]
    returns = function._schema.returns
    alias = returns[0].alias_info if len(returns) == 1 else None
    if written and alias is not None and alias.is_write:
        return written[0]
    return tree_map(wrap, output) if on_sim else output


class SimulatedDevice(TorchDispatchMode):
    """在 with 之内，`device="sim"` 在一切新建张量的函数和 `.to()` 里都认得。"""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        return run(function, arguments, options or {})


def copy_from(source, target, non_blocking=False):
    unwrap(target).copy_(unwrap(source))
    return target


class AnyGenerator(type):
    def __instancecheck__(cls, other):
        return isinstance(other, CPU_GENERATOR)


CPU_GENERATOR = torch.Generator


class Generator(metaclass=AnyGenerator):
    """torch.Generator("sim") 给出一个 CPU 的发生器。"""

    def __new__(cls, device="cpu"):
        return CPU_GENERATOR("cpu")


def start(*, float64: bool = True) -> SimulatedDevice:
    """登记 sim，从此处处认得它。"""
    SETTINGS["float64"] = float64
    _setup_privateuseone_for_python_backend("sim")
    # torch.tensor(…, device="sim") 之类绕过 Python 的派发，在这里接住
    library = torch.library.Library("aten", "IMPL")
    aten = torch.ops.aten

    def made_by(operator):
        return lambda *arguments, **options: run(
            operator, arguments, {**options, "device": torch.device("sim", 0)}
        )

    library.impl("empty_strided", made_by(aten.empty_strided.default), "PrivateUse1")
    library.impl("empty.memory_format", made_by(aten.empty.memory_format), "PrivateUse1")
    library.impl("_copy_from", copy_from, "PrivateUse1")
    torch.Generator = Generator
    # 它没有自己的随机数，给一个空的状态
    torch.sim.get_rng_state = lambda device=None: torch.empty(0, dtype=torch.uint8)
    torch.sim.set_rng_state = lambda state, device=None: None
    torch.sim.manual_seed_all = lambda seed: None
    mode = SimulatedDevice()
    mode.library = library  # 留着：被回收时登记就撤销了
    mode.__enter__()
    return mode


def count_networks() -> None:
    """从此数着：随包的网络（`cnnlab.networks` 里的类）在 sim、在 CPU 上各算了几次。

    float64 的不算：有的加速器没有它，它们按规矩在 CPU 上算。没有卷积和全连接的单独一层也不算。
    """
    heavy = torch.nn.Conv2d | torch.nn.Linear

    def count(network, inputs):
        # 读者自己的网络包一下，在哪里由读者
        ours = type(network).__module__.startswith("cnnlab.networks")
        if not ours or not getattr(network, "from_zoo", True):
            return
        found = (each.weight for each in network.modules() if isinstance(each, heavy))
        weight = next(found, None)
        if weight is not None and weight.dtype != torch.float64:
            COUNTS["networks" if weight.device.type == "sim" else "networks on the CPU"] += 1

    torch.nn.modules.module.register_module_forward_pre_hook(count)
