"""代码画出的图案：波纹、彩窗、同心圆、金色螺旋；每个函数是 draw(height, width, rng) -> (H, W, 3)。

不管绘画（见 paintings）；风格的名册在 drawn_styles。
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


def waves(height: int, width: int, rng) -> np.ndarray:
    """青海波：一排排同心圆弧像浪一样前后相叠。"""
    x, y, factor = canvas(height, width)
    x, y = x + 0.008 * noise(x * 7, y * 7, rng), y + 0.008 * noise(x * 7 + 5, y * 7, rng)
    radius = 0.128
    place = rng.random((256, 256, 5)).astype(np.float32)
    middle = np.floor(y / radius * 2)
    distance, angle, pick = np.ones_like(x), np.zeros_like(x), np.zeros((*x.shape, 5), np.float32)
    depth = np.zeros_like(x)
    for step in range(-1, 4):  # 从后排画到前排
        row = middle + step
        column = np.round((x / radius - row % 2) / 2)
        dx, dy = x / radius - 2 * column - row % 2, y / radius - row / 2
        near = np.hypot(dx, dy)
        hit = near < 1
        values = place[row.astype(int) % 256, column.astype(int) % 256]
        distance[hit], angle[hit], pick[hit] = near[hit], np.arctan2(dy, dx)[hit], values[hit]
        depth[hit] = (row * radius / 2)[hit]
    bands = 5.0
    ring = np.floor(distance * bands)
    inside = distance * bands - ring
    sea = colours("f6ead0 9fd0cf 3f9db0 1f6a94 153f73 0d2350")
    warm = colours("fdf0cf f6c65b ec8b3a d8452f 8f1f35 4d1130")
    jade = colours("f4f0d2 bfdc9a 5fb08a 23807c 0f5266 0c2c4c")
    tone = ((ring * 2 + np.floor(pick[..., 0] * 4)) % 5) / 5 + 0.1
    tone = tone + 0.10 * noise(
        angle * 9 + pick[..., 1] * 50, distance * 22 + pick[..., 2] * 60, rng
    )
    tone += 0.10 * (inside - 0.5) + 0.12 * noise(x * 2, y * 2, rng)
    picture = gradient(tone, sea)
    picture = mix(picture, gradient(tone, jade), (pick[..., 3] > 0.66).astype(np.float32))
    picture = mix(picture, gradient(tone, warm), (pick[..., 4] > 0.86).astype(np.float32))
    bristle = noise(distance * 60 + pick[..., 1] * 90, angle * 4 + pick[..., 2] * 40, rng)
    picture = (
        picture * (1 + 0.10 * bristle[..., None])
        - 0.16 * smoothstep(0.55, 1.0, distance)[..., None] * 0.4
    )
    edge = np.minimum(inside, 1 - inside) / bands
    wobble = 0.012 + 0.006 * noise(x * 30, y * 30, rng)
    foam = colours("fbf3dc")[0]
    picture = mix(picture, foam, smoothstep(wobble + 0.012, wobble, edge))
    picture = mix(picture, colours("0a1a3c")[0], smoothstep(0.955, 0.975, distance))
    return shrink(np.clip(picture + 0.02 * noise(x * 180, y * 180, rng)[..., None], 0, 1), factor)


def stained_glass(height: int, width: int, rng) -> np.ndarray:
    """彩绘玻璃：沃罗诺伊格，铅条之间是透光的有色玻璃。"""
    from scipy.spatial import cKDTree

    x, y, factor = canvas(height, width)
    wide, tall = float(x.max()), float(y.max())
    sun = np.array([wide * rng.uniform(0.4, 0.6), tall * rng.uniform(0.38, 0.5)])
    points = [sun]
    for ring, count in enumerate((7, 12, 17, 22, 26, 30, 34, 38, 42, 46)):
        spread = 0.075 * (ring + 1) * (1 + 0.07 * ring)
        angles = np.arange(count) / count * 2 * np.pi + ring * 0.4 + rng.normal(0, 0.06, count)
        reach = spread * (1 + rng.normal(0, 0.05, count))
        points += [
            sun + r * np.array([np.cos(a), np.sin(a)]) for a, r in zip(angles, reach, strict=True)
        ]
    points = np.array(points)
    warped = np.stack(
        [x + 0.012 * noise(x * 5, y * 5, rng), y + 0.012 * noise(x * 5, y * 5 + 7, rng)], -1
    )
    near, index = cKDTree(points).query(warped, k=2)
    gap = np.linalg.norm(points[index[..., 0]] - points[index[..., 1]], axis=-1)
    border = ((near[..., 1] ** 2 - near[..., 0] ** 2) / (2 * gap)).astype(np.float32)
    offset = np.linalg.norm(points - sun, axis=1) / 0.8
    turn = np.arctan2(*(points - sun).T[::-1])
    tone = np.clip(offset + 0.10 * np.sin(turn * 6) + rng.normal(0, 0.10, len(points)), 0, 1)
    glass = gradient(
        tone.astype(np.float32),
        colours("fff2b0 ffd23c ff9a1f f0502a c81e4a 7a1f8f 2f3fc0 1278c8 12a8a0 1e8a4a 123c8c"),
    )
    accents = colours("ffe9a0 e0213a 18a0d8 1fb070 f07a1a 6a2fb0")
    glass = np.where(
        rng.random((len(points), 1)) < 0.22, accents[rng.integers(0, 6, len(points))], glass
    )
    pane, cell = glass[index[..., 0]].astype(np.float32), index[..., 0]
    tilt = rng.random(len(points)).astype(np.float32)[cell] * 6.3
    streak = fractal(
        (np.cos(tilt) * x + np.sin(tilt) * y) * 30,
        (np.cos(tilt) * y - np.sin(tilt) * x) * 7 + tilt * 9,
        rng,
        3,
    )
    light = 0.78 + 0.22 * streak + 0.35 * smoothstep(0, 0.035, border) - 0.1
    light = light * (1.1 - 0.35 * np.hypot(x - sun[0], y - sun[1]))
    pane = pane * light[..., None] + 0.25 * np.maximum(light - 1, 0)[..., None]
    lead_width = 0.0085 + 0.002 * noise(x * 14, y * 14, rng)
    metal = 0.10 + 0.22 * smoothstep(lead_width * 0.75, 0, border) * (
        0.6 + 0.4 * noise(x * 40, y * 40, rng)
    )
    lead = metal[..., None] * colours("b8bcc8")[0]
    return shrink(
        np.clip(mix(lead, pane, smoothstep(lead_width - 0.001, lead_width + 0.0015, border)), 0, 1),
        factor,
    )


def circles(height: int, width: int, rng) -> np.ndarray:
    """方格里的同心圆：每格几圈手画的色环，水彩的边与笔纹。"""
    x, y, factor = canvas(height, width)
    size = 0.25
    column, row = np.floor(x / size), np.floor(y / size)
    dx, dy = x / size - column - 0.5, y / size - row - 0.5
    values = cell_values(column, row, rng, 4)
    shift = (values[..., :2] - 0.5) * 0.10
    dx, dy = dx - shift[..., 0], dy - shift[..., 1]
    angle = np.arctan2(dy, dx)
    wobble = 0.05 * noise(x * 9, y * 9, rng) + 0.022 * noise(x * 26, y * 26, rng)
    distance = np.hypot(dx, dy) + wobble * (0.4 + np.hypot(dx, dy))
    rings = 5 + np.floor(values[..., 2] * 2)
    position = distance * rings / 0.52
    ring = np.minimum(np.floor(position), rings)
    inks = colours(
        "d8322c f2a32b f6d24a 2d6fb7 123a7a 2f9a76 e8e0c8 8a2f6b f07f6e 73b7d6 1b2a3a c2d05a"
    )
    order = np.stack([rng.permutation(12) for _ in range(4096)]).astype(np.int32)
    code = (row.astype(np.int32) * 64 + column.astype(np.int32)) % 4096
    picture = inks[order[code, ring.astype(np.int32)]]
    inside = position - ring
    edge = np.where(ring >= rings, 1, np.minimum(inside, 1 - inside))
    brush = noise(position * 7 + values[..., 3] * 40, angle * 3 + ring * 17, rng)
    field = noise((dx + dy) * 5, (dx - dy) * 42 + values[..., 3] * 80, rng)
    texture = np.where(ring >= rings, field, brush)
    wash = 1 + 0.13 * texture + 0.16 * fractal(x * 8, y * 8, rng, 3)
    pool = 0.80 + 0.20 * smoothstep(0.02, 0.22, edge)  # 颜料积在边上
    picture = picture * (wash * pool)[..., None] + 0.06 * np.maximum(texture, 0)[..., None]
    dry = smoothstep(0.10, 0.03, edge + 0.05 * noise(x * 60, y * 60, rng)) * 0.75
    picture = mix(picture, colours("f5ead2")[0], np.where(ring >= rings, 0, dry))
    frame = np.minimum(
        np.minimum(x / size - column, column + 1 - x / size),
        np.minimum(y / size - row, row + 1 - y / size),
    )
    picture = mix(
        picture,
        colours("1a1f2c")[0],
        0.85 * smoothstep(0.022, 0.008, frame + 0.012 * noise(x * 30, y * 30, rng)),
    )
    return shrink(np.clip(picture + 0.025 * noise(x * 150, y * 150, rng)[..., None], 0, 1), factor)


def _nearest_discs(px, py, rng, limit):
    """每格至多一个圆盘：像素到最近圆盘的距离（半径为 1），以及方位角与该盘的 6 个随机数。"""
    spots = rng.random((256, 256, 6)).astype(np.float32)
    best, found = (
        np.full(px.shape, 9, np.float32),
        [np.zeros_like(px), np.zeros((*px.shape, 6), np.float32)],
    )
    for oy in (-1, 0, 1):
        for ox in (-1, 0, 1):
            column, row = np.floor(px) + ox, np.floor(py) + oy
            value = spots[row.astype(int) % 256, column.astype(int) % 256]
            cx, cy = column + 0.3 + 0.4 * value[..., 0], row + 0.3 + 0.4 * value[..., 1]
            near = np.hypot(px - cx, py - cy) / (0.40 + 0.14 * value[..., 2])
            hit = (near < best) & (value[..., 3] < limit)
            best[hit], found[1][hit] = near[hit], value[hit]
            found[0][hit] = np.arctan2(py - cy, px - cx)[hit]
    return best, found


def golden_spirals(height: int, width: int, rng) -> np.ndarray:
    """金色的螺旋：金箔底上一层层大小涡卷，间以方片与眼形。"""
    x, y, factor = canvas(height, width)
    leaf = fractal(x * 6, y * 6, rng, 4)
    mosaic = 0.028
    cell = cell_values(np.floor(x / mosaic), np.floor(y / mosaic), rng, 3)
    gold = gradient(
        0.45 + 0.22 * leaf + 0.35 * (cell[..., 0] - 0.5),
        colours("5a3a12 96651c c8922c e6b948 f6dc86 fff3c4"),
    )
    inset = np.minimum(
        np.abs(x / mosaic - np.round(x / mosaic)), np.abs(y / mosaic - np.round(y / mosaic))
    )
    picture = gold * (0.72 + 0.28 * smoothstep(0.03, 0.12, inset))[..., None]
    tiles = colours("1d3f6e 7a1f2b 1f6b5a e8e0c8 20202c")
    tile = tiles[(cell[..., 1] * 4.99).astype(int)]
    picture = mix(picture, tile, (cell[..., 2] > 0.86) * smoothstep(0.10, 0.18, inset) * 0.9)
    inks = colours("3a2410 5a1a22 123a4a 2a2a3a")
    fills = colours("f4d27a e9b04a d98a3a c9463a 2f7f86 6f4a8a f2ead0 3f9a6a")
    for size, limit, turns in ((0.30, 1.0, 4.2), (0.17, 0.75, 3.2), (0.095, 0.6, 2.4)):
        best, found = _nearest_discs(x / size, y / size, rng, limit)
        value = found[1]
        best = best + 0.02 * noise(x * 20, y * 20, rng)
        hand = np.where(value[..., 4] > 0.5, 1, -1)
        phase = best * turns - hand * found[0] / (2 * np.pi) + value[..., 5]
        inside = phase - np.floor(phase)
        paint = fills[(np.floor(value[..., 4] * 83 + 0 * phase) % 8).astype(int)]
        second = fills[(np.floor(value[..., 5] * 71) % 8).astype(int)]
        body = (
            mix(paint, second, smoothstep(0.2, 0.9, best))
            * (1 + 0.16 * leaf + 0.10 * noise(phase * 9, found[0] * 5, rng))[..., None]
        )
        dots = smoothstep(
            0.30, 0.22, np.abs(found[0] * 14 / np.pi * 1.0 % 1 - 0.5) + np.abs(inside - 0.62) * 1.2
        )
        body = mix(
            body,
            colours("fff0c0")[0],
            dots * (value[..., 3] < limit * 0.6) * smoothstep(0.25, 0.4, best) * 0.9,
        )
        line = smoothstep(0.17, 0.12, np.abs(inside - 0.14) + 0.05 * noise(x * 40, y * 40, rng))
        body = mix(body, inks[(value[..., 0] * 3.99).astype(int)], line)
        body = mix(body, inks[0], smoothstep(0.90, 0.94, best))
        picture = mix(picture, body, smoothstep(1.0, 0.985, best))
    shine = relief(leaf, 14, min(height, width) * factor / 512)
    return shrink(np.clip(picture * (1 + 0.18 * shine[..., None]), 0, 1), factor)
