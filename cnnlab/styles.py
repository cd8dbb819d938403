"""代码画出的风格画，供风格迁移用：STYLES 把名字对到 draw(height, width, rng) -> (H, W, 3)。

不管纹理（见 textures.py），也不管缓存与张量；同一个 rng 起点画出同一幅画。
"""

import numpy as np

from cnnlab.drawing import (
    canvas, cell_values, colours, dabs, fractal, gradient, line_integral, mix, noise, relief, shrink, smoothstep,
)


def starry_night(height: int, width: int, rng) -> np.ndarray:
    """旋涡状的夜空：颜色噪声沿流线积分成笔触，再按厚涂打光。"""
    x, y, factor = canvas(height, width)
    wide, tall = x.max(), y.max()
    flow_x = 1 + 0.5 * noise(x * 1.5, y * 1.5, rng)
    flow_y = 0.8 * noise(x * 1.8 + 9, y * 1.8, rng)
    glow, ring = np.zeros_like(x), np.zeros_like(x)
    swirls = [(0.42, 0.36, 0.30, 0.25), (0.66, 0.50, 0.2, 0.1)]
    stars = [(0.84, 0.16, 0.15, 1.0)] + [
        (cx, cy, rng.uniform(0.045, 0.085), rng.uniform(0.8, 1))
        for cx, cy in zip((0.07, 0.22, 0.38, 0.56, 0.64, 0.93, 0.12, 0.3, 0.86), (0.14, 0.3, 0.07, 0.16, 0.33, 0.47, 0.52, 0.6, 0.64))
    ]
    for cx, cy, radius, power in swirls + stars:
        cx, cy = (cx + rng.normal() * 0.025) * wide, (cy + rng.normal() * 0.02) * tall
        dx, dy = x - cx, y - cy
        distance = np.hypot(dx, dy)
        pull = 4 * np.exp(-((distance / radius) ** 2))
        flow_x += pull * (-dy / (distance + 1e-3) - 0.25 * dx / (distance + 1e-3))
        flow_y += pull * (dx / (distance + 1e-3) - 0.25 * dy / (distance + 1e-3))
        glow = np.maximum(glow, power * np.exp(-((distance / (0.62 * radius)) ** 2)))
        ring += 0.14 * np.sin(distance / radius * 14) * np.exp(-((distance / radius / 1.2) ** 2))
    ridge = tall * (0.80 + 0.07 * noise(x * 2.2, 0 * x + 5.5, rng) - 0.06 * np.sin(x * 3 + 1))
    land = y > ridge
    slope = np.gradient(ridge, axis=1) * min(height, width) * factor
    flow_x = np.where(land, 1, flow_x)
    flow_y = np.where(land, slope + 0.9 * noise(x * 5, y * 5, rng), flow_y)
    grain = noise(x * 62, y * 62, rng)
    tone = 0.36 + 0.22 * fractal(x * 3, y * 3, rng, 3) + ring + 0.34 * grain
    night = colours("0b1437 14275f 1d4a94 2f74b5 5ea6cf a5d3dc e9ecd0")
    fire = colours("c77a1a eaa92a f7cf4b fdeb9a fffbe0")
    sky = mix(gradient(tone, night), gradient(glow + 0.25 * grain, fire), smoothstep(0.3, 0.62, glow + 0.16 * grain + ring))
    hills = gradient(0.42 + 0.3 * noise(x * 6, y * 9, rng) + 0.45 * grain - (y - ridge), colours("071a2b 0e3440 1c5a57 3c8067 8fae62 d8c86a"))
    painted = line_integral(mix(sky, hills, land.astype(np.float32)), flow_x, flow_y, 11 * factor, 1.0 * min(height, width) / 256)
    painted = (painted - painted.mean((0, 1))) * 1.25 + painted.mean((0, 1))
    light = relief(painted.mean(-1), 9, min(height, width) * factor / 768)
    return shrink(np.clip(painted + 0.12 * light[..., None], 0, 1), factor)


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
    tone = tone + 0.10 * noise(angle * 9 + pick[..., 1] * 50, distance * 22 + pick[..., 2] * 60, rng)
    tone += 0.10 * (inside - 0.5) + 0.12 * noise(x * 2, y * 2, rng)
    picture = gradient(tone, sea)
    picture = mix(picture, gradient(tone, jade), (pick[..., 3] > 0.66).astype(np.float32))
    picture = mix(picture, gradient(tone, warm), (pick[..., 4] > 0.86).astype(np.float32))
    bristle = noise(distance * 60 + pick[..., 1] * 90, angle * 4 + pick[..., 2] * 40, rng)
    picture = picture * (1 + 0.10 * bristle[..., None]) - 0.16 * smoothstep(0.55, 1.0, distance)[..., None] * 0.4
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
        points += [sun + r * np.array([np.cos(a), np.sin(a)]) for a, r in zip(angles, reach)]
    points = np.array(points)
    warped = np.stack([x + 0.012 * noise(x * 5, y * 5, rng), y + 0.012 * noise(x * 5, y * 5 + 7, rng)], -1)
    near, index = cKDTree(points).query(warped, k=2)
    gap = np.linalg.norm(points[index[..., 0]] - points[index[..., 1]], axis=-1)
    border = ((near[..., 1] ** 2 - near[..., 0] ** 2) / (2 * gap)).astype(np.float32)
    offset = np.linalg.norm(points - sun, axis=1) / 0.8
    turn = np.arctan2(*(points - sun).T[::-1])
    tone = np.clip(offset + 0.10 * np.sin(turn * 6) + rng.normal(0, 0.10, len(points)), 0, 1)
    glass = gradient(tone.astype(np.float32), colours("fff2b0 ffd23c ff9a1f f0502a c81e4a 7a1f8f 2f3fc0 1278c8 12a8a0 1e8a4a 123c8c"))
    accents = colours("ffe9a0 e0213a 18a0d8 1fb070 f07a1a 6a2fb0")
    glass = np.where(rng.random((len(points), 1)) < 0.22, accents[rng.integers(0, 6, len(points))], glass)
    pane, cell = glass[index[..., 0]].astype(np.float32), index[..., 0]
    tilt = rng.random(len(points)).astype(np.float32)[cell] * 6.3
    streak = fractal((np.cos(tilt) * x + np.sin(tilt) * y) * 30, (np.cos(tilt) * y - np.sin(tilt) * x) * 7 + tilt * 9, rng, 3)
    light = 0.78 + 0.22 * streak + 0.35 * smoothstep(0, 0.035, border) - 0.1
    light = light * (1.1 - 0.35 * np.hypot(x - sun[0], y - sun[1]))
    pane = pane * light[..., None] + 0.25 * np.maximum(light - 1, 0)[..., None]
    lead_width = 0.0085 + 0.002 * noise(x * 14, y * 14, rng)
    metal = 0.10 + 0.22 * smoothstep(lead_width * 0.75, 0, border) * (0.6 + 0.4 * noise(x * 40, y * 40, rng))
    lead = metal[..., None] * colours("b8bcc8")[0]
    return shrink(np.clip(mix(lead, pane, smoothstep(lead_width - 0.001, lead_width + 0.0015, border)), 0, 1), factor)


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
    inks = colours("d8322c f2a32b f6d24a 2d6fb7 123a7a 2f9a76 e8e0c8 8a2f6b f07f6e 73b7d6 1b2a3a c2d05a")
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
    frame = np.minimum(np.minimum(x / size - column, column + 1 - x / size), np.minimum(y / size - row, row + 1 - y / size))
    picture = mix(picture, colours("1a1f2c")[0], 0.85 * smoothstep(0.022, 0.008, frame + 0.012 * noise(x * 30, y * 30, rng)))
    return shrink(np.clip(picture + 0.025 * noise(x * 150, y * 150, rng)[..., None], 0, 1), factor)


STYLES = {
    "starry_night": starry_night,
    "waves": waves,
    "stained_glass": stained_glass,
    "circles": circles,
}
