"""代码画出的彩色纹理，供纹理合成用：TEXTURES 把名字对到 draw(height, width, rng) -> (H, W, 3)。

不管风格画（见 drawn_styles），也不管张量；每种都是处处相似的一片，没有主体。
"""

import numpy as np

from cnnlab.pictures.brushes import (
    canvas,
    cell_values,
    colours,
    fractal,
    gradient,
    mix,
    noise,
    relief,
    shrink,
    smoothstep,
)


def _nearest_cells(x, y, rng, jitter: float = 0.8):
    """抖动格点的沃罗诺伊格：到边界的距离、到中心的 (dx, dy)、每格 4 个随机数。"""
    table = rng.random((256, 256, 6)).astype(np.float32)
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    first, second = np.full(x.shape, 9, np.float32), np.full(x.shape, 9, np.float32)
    code, offset_x, offset_y = np.zeros_like(column), np.zeros_like(x), np.zeros_like(x)
    for dy in (-1, 0, 1, -2, 2):
        for dx in (-1, 0, 1, -2, 2):
            if abs(dx) + abs(dy) > 3:
                continue
            index = (row + dy) % 256 * 256 + (column + dx) % 256
            values = table.reshape(-1, 6)[index]
            ox = x - column - dx - 0.5 - jitter * (values[..., 0] - 0.5)
            oy = y - row - dy - 0.5 - jitter * (values[..., 1] - 0.5)
            distance = np.hypot(ox, oy)
            second = np.minimum(second, np.maximum(first, distance))
            closer = distance < first
            for target, value in ((first, distance), (code, index), (offset_x, ox), (offset_y, oy)):
                np.copyto(target, value, where=closer)
    return second - first, offset_x, offset_y, table.reshape(-1, 6)[code][..., 2:]


def pebbles(height: int, width: int, rng) -> np.ndarray:
    """卵石滩：大小相近的彩色石子，湿润有光。"""
    x, y, factor = canvas(height, width)
    px, py = x * 9 + 0.18 * noise(x * 8, y * 8, rng), y * 11 + 0.18 * noise(x * 8, y * 8, rng)
    border, dx, dy, value = _nearest_cells(px, py, rng)
    stone = smoothstep(0.04, 0.16, border)
    dome = np.sqrt(np.clip(border, 0, 1))
    tone = colours("8c8f96 c9b79c 5b6470 a8674a e4dccb 3d4650 b98d5e 6f7f72 d9a98a 9aa7b0")
    body = tone[(value[..., 0] * 9.99).astype(int)] * (0.75 + 0.5 * value[..., 1:2])
    turn = value[..., 2] * 6.3
    vein = noise((np.cos(turn) * px + np.sin(turn) * py) * 5, value[..., 3] * 50 + px, rng)
    body = body * (1 + 0.16 * vein + 0.16 * fractal(x * 60, y * 60, rng, 3))[..., None]
    light = np.clip(0.62 + 0.62 * dome - 0.38 * (dx + dy), 0.2, 1.5)
    shine = smoothstep(0.80, 1.0, 1 - np.hypot(dx + 0.17, dy + 0.19) * 1.1) * 0.35
    body = body * light[..., None] + shine[..., None]
    sand = gradient(0.4 + 0.4 * noise(x * 110, y * 110, rng), colours("1c1712 4a3c2c 8a7350"))
    return shrink(np.clip(mix(sand * 0.7, body, stone), 0, 1), factor)


def scales(height: int, width: int, rng) -> np.ndarray:
    """鱼鳞：一排压一排，色泽由青到金流转。"""
    x, y, factor = canvas(height, width)
    size = 0.105
    px, py = (
        x / size + 0.05 * noise(x * 9, y * 9, rng),
        y / size * 1.5 + 0.05 * noise(x * 9, y * 9, rng),
    )
    shape, local_x, local_y = np.full(x.shape, 9, np.float32), np.zeros_like(x), np.zeros_like(x)
    rank = np.zeros((*x.shape, 3), np.float32)
    table = rng.random((256, 256, 3)).astype(np.float32)
    for step in (1, 0, -1, -2):  # 下排先画，上排盖住它
        row = np.floor(py) + step
        column = np.floor(px - (row % 2) / 2)
        dx, dy = px - (row % 2) / 2 - column - 0.5, py - row - 0.3
        reach = np.where(dy < 0, np.abs(dx) * 2, np.hypot(dx * 2, dy / 1.35))
        hit = (reach < 1) & (dy > -1.2)
        shape[hit], local_x[hit], local_y[hit] = reach[hit], dx[hit], dy[hit]
        rank[hit] = table[row.astype(int) % 256, column.astype(int) % 256][hit]
    hue = 0.45 + 0.40 * fractal(x * 3.6, y * 3.6, rng, 2) + 0.40 * (rank[..., 0] - 0.5)
    body = gradient(hue, colours("12324a 12607a 1c9a8f 6fc48a d8d070 f0a24a d2553f"))
    fan = np.cos(np.arctan2(local_x, local_y + 0.9) * 46)
    body = body * (0.80 + 0.10 * fan + 0.30 * smoothstep(0.2, 1, local_y))[..., None]
    rim = smoothstep(0.78, 0.93, shape) * (1 - smoothstep(0.955, 1.0, shape))
    body = mix(body, colours("fff3cf")[0], 0.55 * rim)
    body = (
        body
        * (1 - 0.75 * smoothstep(0.96, 1.0, shape))[..., None]
        * (1 - 0.5 * smoothstep(0.35, -0.5, local_y))[..., None]
    )
    gloss = np.exp(-(((local_x + 0.12) / 0.13) ** 2) - ((local_y - 0.55) / 0.3) ** 2)
    return shrink(
        np.clip(
            body * (1 + 0.06 * noise(x * 120, y * 120, rng))[..., None] + 0.22 * gloss[..., None],
            0,
            1,
        ),
        factor,
    )


def weave(height: int, width: int, rng) -> np.ndarray:
    """粗织布：彩色经纬线上下交错，有捻纹与毛边。"""
    x, y, factor = canvas(height, width)
    px, py = x * 26 + 0.20 * noise(x * 12, y * 12, rng), y * 26 + 0.20 * noise(x * 12, y * 12, rng)
    column, row = np.floor(px), np.floor(py)
    u, v = px - column - 0.5, py - row - 0.5
    over = (column + row) % 2 == 0
    yarns = colours("f2e6cf c23b33 e8a33a 1f5f7a f2e6cf 2f8f7a 7a2f4a e8d6b0")
    warp = rng.permutation(np.repeat(np.arange(8), 3))[column.astype(int) % 24]
    weft = rng.permutation(np.repeat(np.arange(8), 3))[row.astype(int) % 24]
    body = yarns[np.where(over, warp, weft)]
    along, across = np.where(over, v, u), np.where(over, u, v)
    twist = np.sin(
        along * 22 + np.where(over, 1, -1) * across * 17 + 1.5 * noise(x * 50, y * 50, rng)
    )
    bulge = np.sqrt(np.clip(1 - (across / 0.52) ** 2, 0, 1)) * (0.55 + 0.45 * np.cos(along * 2.8))
    shade = 0.38 + 0.66 * bulge + 0.10 * twist * bulge - 0.18 * (u + v) * 0.6
    body = body * shade[..., None] * (1 + 0.10 * noise(x * 90, y * 90, rng))[..., None]
    gap = smoothstep(0.40, 0.50, np.abs(across))
    return shrink(np.clip(mix(body, colours("1a120c")[0], 0.75 * gap), 0, 1), factor)


def wood(height: int, width: int, rng) -> np.ndarray:
    """木纹：年轮被纵剖成流动的线，带木节与毛孔。"""
    x, y, factor = canvas(height, width)
    field = x * 7 + 1.1 * noise(x * 1.6, y * 0.6, rng) + 0.25 * noise(x * 5, y * 1.6, rng)
    for _ in range(4):
        cx, cy = rng.uniform(0, float(x.max())), rng.uniform(0, float(y.max()))
        dx, dy = (x - cx) / 0.06, (y - cy) / 0.16
        field = field + rng.choice([-1, 1]) * 1.3 * np.exp(-(dx**2 + dy**2) * 0.6)
    ring = field * 2.3 + 0.10 * noise(x * 40, y * 5, rng)
    saw = ring - np.floor(ring)
    tone = smoothstep(0, 0.75, saw) * (1 - smoothstep(0.86, 1.0, saw))
    tone = (
        0.15
        + 0.62 * tone
        + 0.22 * (cell_values(np.floor(ring), 0 * ring, rng)[..., 0] - 0.5)
        + 0.10 * noise(x * 2, y * 2, rng)
    )
    fibre = noise(x * 120 + 2 * field, y * 7, rng) + 0.6 * noise(x * 240, y * 14, rng)
    picture = gradient(
        1 - tone + 0.10 * fibre, colours("f4d6a0 e0ae6a c4813f 9a5526 64321a 331a10")
    )
    pores = smoothstep(0.45, 0.75, noise(x * 150, y * 10, rng)) * smoothstep(0.2, 0.8, tone)
    return shrink(np.clip(mix(picture, colours("2a140c")[0], 0.45 * pores), 0, 1), factor)


def leopard(height: int, width: int, rng) -> np.ndarray:
    """豹斑：反应扩散长出的环斑，铺在有毛的底色上。

    出处：Turing，1952；Gray 与 Scott，1984。
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    x, y, factor = canvas(height, width)
    rows, columns = int(np.ceil(float(y.max()) * 128)) + 1, int(np.ceil(float(x.max()) * 128)) + 1
    food = np.ones((rows, columns), np.float32)
    seed_y, seed_x = np.mgrid[0:rows, 0:columns].astype(np.float32) / 9
    spots = noise(seed_x, seed_y, rng) > 0.35
    predator = np.where(spots, 0.3, 0).astype(np.float32)
    for _ in range(900):
        blend = [
            0.25 * (np.roll(f, 1, 0) + np.roll(f, -1, 0) + np.roll(f, 1, 1) + np.roll(f, -1, 1)) - f
            for f in (food, predator)
        ]
        eaten = food * predator * predator
        food += 0.64 * blend[0] - eaten + 0.034 * (1 - food)
        predator += 0.32 * blend[1] + eaten - (0.034 + 0.062) * predator
    fur_x, fur_y = x + 0.006 * noise(x * 60, y * 20, rng), y + 0.012 * noise(x * 90, y * 25, rng)
    field = map_coordinates(
        gaussian_filter(predator, 0.6), [fur_y * 128, fur_x * 128], order=1, mode="nearest"
    )
    level = field / np.quantile(predator, 0.98)
    hair = noise(x * 150 + 3 * noise(x * 6, y * 6, rng), y * 26, rng) + 0.6 * noise(
        x * 260, y * 50, rng
    )
    base = gradient(
        0.5 + 0.3 * fractal(x * 2.5, y * 2.5, rng, 2) + 0.12 * hair,
        colours("8f5420 c98a3c e6b565 f3d69a fbeccb"),
    )
    core = gradient(0.5 + 0.25 * hair, colours("6a3a16 a86428 c9853f"))
    picture = mix(
        base, colours("1d120d")[0] + 0.05 * hair[..., None], smoothstep(0.30, 0.46, level)
    )
    picture = mix(picture, core, smoothstep(0.74, 0.90, level))
    return shrink(np.clip(picture * (1 + 0.10 * hair)[..., None], 0, 1), factor)


def bricks(height: int, width: int, rng) -> np.ndarray:
    """砖墙：错缝砌的红砖，深浅不一，灰缝粗糙。"""
    x, y, factor = canvas(height, width)
    bent_x, bent_y = x + 0.004 * noise(x * 25, y * 25, rng), y + 0.004 * noise(x * 25, y * 25, rng)
    row = np.floor(bent_y * 12)
    column = np.floor(bent_x * 5 + (row % 2) / 2)
    u, v = bent_x * 5 + (row % 2) / 2 - column, bent_y * 12 - row
    value = cell_values(column, row, rng, 3)
    edge = np.minimum(np.minimum(u, 1 - u) / 5, np.minimum(v, 1 - v) / 12) + 0.0022 * noise(
        x * 90, y * 90, rng
    )
    grit = fractal(x * 45, y * 45, rng, 4)
    clay = gradient(
        0.1 + 0.8 * value[..., 0] + 0.11 * grit,
        colours("4a201c 7d2f25 a8432f c25a3a d07b50 b96a55 8a4a52"),
    )
    clay = clay * (0.85 + 0.25 * value[..., 1:2] + 0.12 * grit[..., None])
    mortar = gradient(0.5 + 0.35 * fractal(x * 60, y * 60, rng, 3), colours("8f8678 bdb2a0 ddd3c0"))
    inside = smoothstep(0.0055, 0.0085, edge)
    height_map = smoothstep(0.003, 0.014, edge) + 0.10 * grit
    picture = mix(mortar, clay, inside)
    return shrink(
        np.clip(
            picture
            * (1 + 0.38 * relief(height_map, 3, min(height, width) * factor / 512))[..., None],
            0,
            1,
        ),
        factor,
    )


def marble(height: int, width: int, rng) -> np.ndarray:
    """大理石：扭曲的脉络，孔雀石绿与金线。"""
    x, y, factor = canvas(height, width)
    warp_x, warp_y = fractal(x * 2.2, y * 2.2, rng, 3), fractal(x * 2.2 + 30, y * 2.2, rng, 3)
    second_x = fractal(x * 2.0 + 0.55 * warp_x, y * 2.0 + 0.55 * warp_y, rng, 2)
    band = 0.5 + 0.5 * np.sin(15 * second_x + 4 * warp_x + 0.5 * noise(x * 22, y * 22, rng)) * (
        0.7 + 0.3 * warp_y
    )
    picture = gradient(
        band + 0.12 * noise(x * 40, y * 40, rng),
        colours("06231f 0c4a40 12806a 4ab890 a8dcc0 eef4e4"),
    )
    thin = np.abs(fractal(x * 2.6 + 0.6 * warp_y, y * 2.6 + 0.6 * second_x, rng, 4))
    gold = smoothstep(0.045, 0.015, thin)
    picture = mix(
        picture,
        gradient(0.5 + 0.4 * noise(x * 70, y * 70, rng), colours("8a5a18 d8a63c fbe6a0")),
        gold * 0.95,
    )
    vein = np.abs(fractal(x * 6 + warp_x, y * 6 + warp_y, rng, 4))
    return shrink(
        np.clip(mix(picture, colours("f8fbf2")[0], 0.5 * smoothstep(0.03, 0.0, vein)), 0, 1), factor
    )


def tiles(height: int, width: int, rng) -> np.ndarray:
    """花砖：规则的方砖，每块同一幅八瓣花，釉色略有不同。"""
    x, y, factor = canvas(height, width)
    count = 6
    column, row = np.floor(x * count), np.floor(y * count)
    u, v = x * count - column - 0.5, y * count - row - 0.5
    value = cell_values(column, row, rng, 3)
    radius, angle = np.hypot(u, v) + 0.006 * noise(x * 40, y * 40, rng), np.arctan2(v, u)
    petal = 0.30 + 0.09 * np.cos(8 * angle)
    corner = np.hypot(np.abs(u) - 0.5, np.abs(v) - 0.5)
    checker = ((column + row) % 2)[..., None]
    ground = np.where(checker > 0, colours("f3ead6"), colours("e9d9b4"))
    blue, rust, teal, sun = colours("1e4a8c c4502e 1f8a86 efb23c")
    picture = mix(ground, blue, smoothstep(0.008, -0.004, radius - petal))
    picture = mix(
        picture, ground, smoothstep(0.008, -0.004, np.abs(radius - petal + 0.045) - 0.010)
    )
    picture = mix(
        picture,
        np.where(checker > 0, sun, teal),
        smoothstep(0.008, -0.004, radius - 0.5 * petal - 0.02 * np.cos(8 * angle + np.pi)),
    )
    picture = mix(picture, rust, smoothstep(0.006, -0.004, radius - 0.055))
    picture = mix(picture, teal, smoothstep(0.008, -0.004, corner - 0.23))
    picture = mix(picture, ground, smoothstep(0.006, -0.004, np.abs(corner - 0.185) - 0.010))
    picture = mix(
        picture, rust, smoothstep(0.006, -0.004, corner - 0.11 - 0.02 * np.cos(8 * angle))
    )
    glaze = (
        0.92
        + 0.14 * (value[..., 0] - 0.5)
        + 0.07 * fractal(x * 14, y * 14, rng, 4)
        + 0.05 * noise(x * 90, y * 90, rng)
    )
    edge = 0.5 - np.maximum(np.abs(u), np.abs(v))
    bevel = relief(smoothstep(0.012, 0.045, edge), 1.2, min(height, width) * factor / 512)
    picture = picture * (glaze + 0.18 * bevel)[..., None]
    grout = gradient(0.5 + 0.4 * noise(x * 80, y * 80, rng), colours("6d655a a59a88"))
    return shrink(np.clip(mix(grout, picture, smoothstep(0.012, 0.020, edge)), 0, 1), factor)


TEXTURES = {
    "pebbles": pebbles,
    "scales": scales,
    "weave": weave,
    "wood": wood,
    "leopard": leopard,
    "bricks": bricks,
    "marble": marble,
    "tiles": tiles,
}
