"""两组数的相关：按数值，或成对地比大小；供练习的参考与错法用。"""

import torch


def pearson(a, b):
    """相关系数；有一边处处相同时是 0。"""
    a, b = (x.flatten().double() - x.double().mean() for x in (a, b))
    length = a.norm() * b.norm()
    return (a @ b) / length if length > 0 else torch.zeros_like(length)


def kendall(a, b):
    """成对比较的一致程度（肯德尔系数）。"""
    signs = [(x.flatten()[:, None] - x.flatten()).sign() for x in (a, b)]
    return (signs[0] * signs[1]).sum() / (signs[0].norm() * signs[1].norm())


def first_come(values):
    """名次，并列的先来后到。"""
    return values.flatten().argsort(stable=True).argsort().double()
