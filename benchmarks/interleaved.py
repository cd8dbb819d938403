"""交错计时：几种做法轮流跑，逐轮求与第一种之比，再取中位数；机器忙闲的影响落在每一种身上。

不管比的是什么；各脚本把做法交给 `compare`。上限是用 `make bench` 量的：它定下一个线程，并让 glibc 留住用过的大块内存
（单独跑一个脚本时，先 export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=268435456）。
"""

import gc
import statistics
import time
from collections.abc import Callable


def compare(
    functions: dict[str, Callable], *, rounds: int = 7, warmup: int = 1, inner: int = 1
) -> dict[str, tuple[float, float]]:
    """轮流运行，打印并返回每种做法与第一种之比的中位数：{名字: (墙钟比, CPU 比)}。

    次序逐轮正反交替（ABBA），计时期间关掉垃圾回收；CPU 时间是全部线程之和。`inner` 是每次计时连跑几遍。
    """
    for function in functions.values():
        for _ in range(warmup):
            function()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for number in range(rounds):
        names = list(functions)
        for name in names if number % 2 == 0 else reversed(names):
            seconds[name].append(_measure(functions[name], inner))
    base = seconds[next(iter(functions))]
    ratios = {}
    for name, measured in seconds.items():
        wall, cpu = (
            [run[i] / reference[i] for run, reference in zip(measured, base, strict=True)]
            for i in (0, 1)
        )
        ratios[name] = statistics.median(wall), statistics.median(cpu)
        milliseconds = 1000 * statistics.median(run[1] for run in measured)
        print(
            f"  {name:<36} CPU {ratios[name][1]:5.2f} [{min(cpu):.2f}–{max(cpu):.2f}]  墙钟 {ratios[name][0]:5.2f}  {milliseconds:9.1f} ms"
        )
    return ratios


def _measure(function: Callable, inner: int) -> tuple[float, float]:
    gc.collect()
    gc.disable()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(inner):
        function()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    gc.enable()
    return wall / inner, cpu / inner
