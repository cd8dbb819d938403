"""读者的习惯换了样，公开函数照样算、答案照旧：python tests/slow/reader_habits.py default_device

习惯有：torch.set_default_device、set_default_dtype(float64)、autocast、确定性算法、inference_mode、no_grad；图在加速器而
网络在 CPU；网络造好之后才移到加速器；几个网络各在一处；numpy 来的 float64 图；半精度的网络。accelerator_calls 里的
用法各算一次，与平常的结果比；低精度的只看算不算得出、够不够近。打印不对的，有一个就以 1 退出。
"""

import contextlib
import os
import sys
import warnings

import accelerator_calls as table
import simulated_accelerator
import torch

NETWORKS = ("model", "lite", "classifier", "generator", "stylizer", "shortcut", "decoder")
ON_SIM = {"default_device", "image_on_sim", "moved_networks", "two_devices"}
HABITS = ON_SIM | {"float64", "autocast", "deterministic", "inference_mode", "no_grad"}
HABITS |= {"double_images", "half_networks", "bfloat16_networks"}
# 半精度的乘法、梯度和几步合成差得多，只看算得出
TOLERANCES = dict.fromkeys(("autocast", "half_networks", "bfloat16_networks"), float("inf"))
TOLERANCES["double_images"] = 1e-3
# 用法里自己求梯度、自己造网络的，本来就不能这样用
ITS_OWN = {
    "default_device": ["to_pil"],
    # 还不行：优化代码时，生成网络要与分类网络在一处
    "two_devices": ["code_image"],
    "no_grad": ["override_relu_gradient"],
    "inference_mode": ["override_relu_gradient", "fit"],
    "double_images": [
        "fit",
        "fit_generator",
        "accentuate",
        "tsne",
        "finite_difference",
        "smooth_grad",
    ],
    # 半精度的反传会溢出：说了是哪里、怎么办
    "half_networks": ["reproduce", "fit_generator", "dream", "dream guide", "dream_zoom"],
    "bfloat16_networks": ["reproduce", "fit_generator"],
}


def pictures(world) -> dict:
    """一组数据里的图、特征、标签。"""
    return {name: each for name, each in vars(world).items() if isinstance(each, torch.Tensor)}


def arranged(habit: str):
    """照这个习惯摆好的一组数据和网络。"""
    world = table.world("cpu", "sim" if habit == "image_on_sim" else "cpu")
    if habit == "default_device":
        torch.set_default_device("sim")
    if habit == "float64":
        torch.set_default_dtype(torch.float64)
    if habit == "deterministic":
        torch.use_deterministic_algorithms(True)
    if habit in ("default_device", "float64"):
        loaded = vars(table.world("cpu", "cpu"))
        vars(world).update({name: loaded[name] for name in NETWORKS})
    if habit == "double_images":
        found = pictures(world).items()
        vars(world).update({name: x.double() for name, x in found if x.is_floating_point()})
    for name in NETWORKS if habit == "moved_networks" else ("model", "classifier"):
        if habit in ("moved_networks", "two_devices"):
            getattr(world, name).to("sim")
    for name in NETWORKS if habit.endswith("_networks") and habit != "moved_networks" else ():
        getattr(world, name).to(torch.half if habit.startswith("half") else torch.bfloat16)
    return world


def around(habit: str):
    """这个习惯里，每次调用外面的 with。"""
    if habit == "autocast":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    known = {"inference_mode": torch.inference_mode, "no_grad": torch.no_grad}
    return known.get(habit, contextlib.nullcontext)()


def main(habit: str) -> int:
    warnings.simplefilter("ignore")
    if habit in ON_SIM:
        simulated_accelerator.start()
    usual = {name: call() for name, call in table.calls(table.world("cpu", "cpu")).items()}
    table.TOLERANCE = TOLERANCES.get(habit, 1e-4)
    home, wrong = "cpu" if habit == "default_device" else "", []
    for name, call in table.calls(arranged(habit)).items():
        if name in ITS_OWN.get(habit, ()):
            continue
        try:
            with around(habit):
                fault = table.difference(usual[name], call(), home)
        except Exception as error:
            fault = f"{type(error).__name__}: {str(error)[:300]}"
            if "--trace" in sys.argv:
                raise
        wrong += [f"{name}：{fault}"] if fault else []
    print(*wrong, sep="\n")
    print(f"{habit}：{len(usual)} 种用法，{len(wrong)} 处不对", flush=True)
    return int(bool(wrong))


if __name__ == "__main__":
    code = main(sys.argv[1])
    # 改过默认的设备、精度：不收拾，直接走
    os._exit(code)
