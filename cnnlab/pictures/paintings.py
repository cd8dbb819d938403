"""代码画出的绘画：夜空、山水、木刻、池塘；每个函数是 draw(height, width, rng) -> (H, W, 3)。

不管图案（见 ornaments）；风格的名册在 drawn_styles。
"""

import numpy as np

from cnnlab.pictures.brushes import (
    Dabs,
    canvas,
    colours,
    fractal,
    gradient,
    line_integral,
    mix,
    noise,
    relief,
    shrink,
    smoothstep,
)

# 星的位置（占宽、占高），画时再随机移动一点
STAR_PLACES = (
    (0.07, 0.14),
    (0.22, 0.3),
    (0.38, 0.07),
    (0.56, 0.16),
    (0.64, 0.33),
    (0.93, 0.47),
    (0.12, 0.52),
    (0.3, 0.6),
    (0.86, 0.64),
)


def _night_flow(x, y, rng):
    """夜空的流场与星光：底流之上，每颗星、每个旋涡把流线卷成圈。"""
    wide, tall = x.max(), y.max()
    flow_x = 1 + 0.5 * noise(x * 1.5, y * 1.5, rng)
    flow_y = 0.8 * noise(x * 1.8 + 9, y * 1.8, rng)
    glow, ring = np.zeros_like(x), np.zeros_like(x)
    swirls = [(0.42, 0.36, 0.30, 0.25), (0.66, 0.50, 0.2, 0.1)]
    stars = [(0.84, 0.16, 0.15, 1.0)] + [
        (cx, cy, rng.uniform(0.045, 0.085), rng.uniform(0.8, 1)) for cx, cy in STAR_PLACES
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
    return flow_x, flow_y, glow, ring


def starry_night(height: int, width: int, rng) -> np.ndarray:
    """旋涡状的夜空：颜色噪声沿流线积分成笔触，再按厚涂打光。"""
    from scipy.ndimage import gaussian_filter

    x, y, factor = canvas(height, width)
    tall = y.max()
    flow_x, flow_y, glow, ring = _night_flow(x, y, rng)
    ridge = tall * (0.80 + 0.07 * noise(x * 2.2, 0 * x + 5.5, rng) - 0.06 * np.sin(x * 3 + 1))
    land = y > ridge
    slope = np.gradient(ridge, axis=1) * min(height, width) * factor
    flow_x = np.where(land, 1, flow_x)
    flow_y = np.where(land, slope + 0.9 * noise(x * 5, y * 5, rng), flow_y)
    grain = noise(x * 62, y * 62, rng)
    tone = 0.36 + 0.22 * fractal(x * 3, y * 3, rng, 3) + ring + 0.34 * grain
    night = colours("0b1437 14275f 1d4a94 2f74b5 5ea6cf a5d3dc e9ecd0")
    fire = colours("c77a1a eaa92a f7cf4b fdeb9a fffbe0")
    sky = mix(
        gradient(tone, night),
        gradient(glow + 0.25 * grain, fire),
        smoothstep(0.3, 0.62, glow + 0.16 * grain + ring),
    )
    hills = gradient(
        0.42 + 0.3 * noise(x * 6, y * 9, rng) + 0.45 * grain - (y - ridge),
        colours("071a2b 0e3440 1c5a57 3c8067 8fae62 d8c86a"),
    )
    bristle = noise(x * 130, y * 130, rng)
    layers = np.concatenate([mix(sky, hills, land.astype(np.float32)), bristle[..., None]], -1)
    stride = min(height, width) * factor / 512
    layers = line_integral(layers, flow_x, flow_y, 20, stride)
    painted, bristle = layers[..., :3], layers[..., 3]
    painted = painted + 1.1 * (painted - gaussian_filter(painted, (9 * stride, 9 * stride, 0)))
    light = relief(painted.mean(-1) + 0.25 * bristle, 7, stride)
    return shrink(
        np.clip(painted * (1 + 0.35 * bristle[..., None]) + 0.11 * light[..., None], 0, 1), factor
    )


def ink_landscape(height: int, width: int, rng) -> np.ndarray:
    """青绿山水：远山层层隐入雾里，石青、石绿设色，皴笔与苔点。"""
    x, y, factor = canvas(height, width)
    wide, tall = x.max(), y.max()
    silk = gradient(0.5 + 0.5 * fractal(x * 2.5, y * 2.5, rng, 3), colours("cf9f5c dcb576 ecd3a0"))
    picture = (
        silk
        * (1 + 0.05 * noise(x * 160, y * 12, rng) + 0.05 * noise(x * 12, y * 160, rng))[..., None]
    )
    centre_x, centre_y = wide * rng.uniform(0.68, 0.82), tall * 0.15
    halo = np.hypot(x - centre_x, y - centre_y) + 0.004 * noise(x * 30, y * 30, rng)
    picture = mix(
        picture,
        colours("c8361f")[0] * (1 + 0.10 * noise(x * 40, y * 40, rng))[..., None],
        smoothstep(0.072, 0.066, halo) * 0.92,
    )
    along, fine, cloud, broken = (
        x[:1],
        noise(x * 70, y * 70, rng),
        fractal(x * 4, y * 9, rng, 3),
        fractal(x * 6, y * 6, rng, 3),
    )
    mineral = colours("0d2f4f 14568a 1f86a8 2c9c8c 6fb28a c2b478 dcb576")
    warp_x, warp_y = x + 0.05 * noise(x * 6, y * 6, rng), y + 0.05 * noise(x * 6, y * 6, rng)
    for layer in range(6):
        base = tall * (0.30 + 0.145 * layer)
        profile = noise(along * (2.6 - 0.1 * layer) + 17 * layer, 0 * along + 0.5, rng)
        peaks = 0.62 * np.abs(profile) ** 1.4 * (0.42 - 0.035 * layer) + 0.03 * fractal(
            along * 9, 0 * along + layer, rng, 4
        )
        top = base - peaks * tall - 0.02
        below = y - top
        inside = smoothstep(0, 0.004, below)
        slope = np.gradient(top, axis=1) * min(height, width) * factor
        across = warp_x * 26 + below * 30 * np.tanh(1.5 * slope)
        strokes = noise(across, warp_y * 10 + layer * 9, rng) + 0.7 * noise(
            across * 2.1, warp_y * 26 + layer * 9, rng
        )
        tone = below * (3.1 - 0.1 * layer) + 0.20 * strokes + 0.14 * broken + 0.05
        rock = gradient(tone, mineral) * (1 - 0.42 * smoothstep(0.10, 0.75, strokes))[..., None]
        rock = mix(
            rock,
            colours("f3dfae")[0],
            0.45 * smoothstep(0.35, 0.9, -strokes) * smoothstep(0, 0.1, below),
        )
        rock = mix(rock, colours("14202c")[0], 0.8 * smoothstep(0.010, 0.003, below + 0.004 * fine))
        crease = np.abs(
            noise(warp_x * 13 + below * 16 * np.tanh(1.5 * slope), warp_y * 8 + layer * 5, rng)
        )
        rock = mix(
            rock,
            colours("0c2036")[0],
            0.55 * smoothstep(0.09, 0.02, crease) * smoothstep(0.01, 0.05, below),
        )
        moss = Dabs(
            x,
            y,
            rng,
            cell=0.020,
            direction=lambda a, b: 0.4 * np.sin(a * 90),
            length=0.46,
            width=0.26,
        )
        value = moss.values[moss.stroke]
        dot = moss.hit & (value[..., 0] < 1.1 - np.abs(below - 0.03) * 14) & (value[..., 1] < 0.5)
        rock = mix(rock, colours("123628")[0] + 0.12 * value[..., 2:3], 0.85 * dot)
        mist = smoothstep(0.12, 0.26, below + 0.05 * cloud) * (0.93 if layer < 5 else 0.35)
        faint = 0.30 - 0.06 * layer
        picture = mix(picture, mix(mix(rock, silk, max(faint, 0)), silk, mist), inside)
    ripple = noise(x * 9, y * 70 + 2 * noise(x * 5, y * 9, rng), rng)
    picture = (
        picture
        * (1 - 0.12 * smoothstep(0.2, 0.6, ripple) * smoothstep(0.5, 1.0, y / tall))[..., None]
    )
    return shrink(np.clip(picture + 0.025 * noise(x * 170, y * 170, rng)[..., None], 0, 1), factor)


def _engraved_sky(x, y, distance, angle, carve, rng):
    """木刻的天空：横向的刻线，在太阳的光芒里变细；返回底色与墨线。"""
    rays = np.sin(angle * 24 + 0.6 * noise(x * 3, y * 3, rng))
    phase = y * 330 + 6 * fractal(x * 1.6, y * 5, rng, 3)
    tone = (
        -0.30
        + 0.95 * distance
        - 0.32 * np.tanh(3 * rays)
        + 0.8 * carve
        + 0.35 * noise(x * 2, y * 7, rng)
    )
    ink = smoothstep(-0.15, 0.15, tone + 0.25 - 0.5 - 0.5 * np.sin(phase))
    picture = gradient(
        distance * 0.95 - 0.07 * np.tanh(3 * rays),
        colours("fff0bc fbd06a f39a44 de6a3c b0483f 6a2c4c"),
    )
    return picture, ink


def woodcut(height: int, width: int, rng) -> np.ndarray:
    """套色木刻：旭日、群山与海，明暗全由刻线的粗细给出。"""
    x, y, factor = canvas(height, width)
    wide, tall = x.max(), y.max()
    sun_x, sun_y = wide * rng.uniform(0.38, 0.62), tall * 0.34
    dx, dy = x - sun_x, y - sun_y
    distance, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    carve = 0.25 * noise(x * 9, y * 9, rng) + 0.22 * noise(x * 40, y * 40, rng)
    picture, ink = _engraved_sky(x, y, distance, angle, carve, rng)
    disc = smoothstep(0.122, 0.118, distance + 0.003 * noise(x * 30, y * 30, rng))
    ring = smoothstep(0.7, 0.85, 0.5 + 0.5 * np.sin(distance * 330)) * smoothstep(
        -0.02, 0.10, dy + 0.04 * carve
    )
    picture, ink = mix(picture, colours("d92b1f")[0], disc), np.where(disc > 0.5, ring * 0.9, ink)
    down, rough, sway = y[:, :1], noise(x * 12, y * 12, rng), noise(x * 5, y * 5, rng)
    blocks = colours("6f9a98 3f7f86 24586c")
    for layer, (base, rise, count) in enumerate(
        ((0.64, 0.30, 5), (0.71, 0.24, 6), (0.785, 0.17, 8))
    ):
        for peak in rng.permutation(count):
            px = wide * (peak + 0.5 + rng.uniform(-0.3, 0.3)) / count
            py, steep = tall * (base - rise * rng.uniform(0.45, 1)), rng.uniform(0.8, 1.5)
            side = x - px - 0.05 * noise(down * 9 + 13 * peak, 0 * down + layer, rng)
            below = y - py - steep * np.abs(x - px) - 0.02 * rough
            lit = np.where(side * (sun_x - px) > 0, 1, -1)
            lines = np.sin((y + np.where(side > 0, -0.75, 0.75) * x) * 300 + 5 * sway)
            shade = 0.30 - 0.62 * lit + 1.1 * carve + 1.6 * (below - 0.12)
            hatch = np.maximum(
                smoothstep(-0.2, 0.2, shade - lines),
                smoothstep(0.007, 0.003, below + 0.008 * carve),
            )
            hatch = np.maximum(hatch, smoothstep(0.005, 0.002, np.abs(side) + 0.008 * carve))
            body = mix(blocks[layer], colours("f6dfa6")[0], np.where(lit > 0, 0.75, 0.0))
            inside = smoothstep(0, 0.002, below)
            picture, ink = mix(picture, body, inside), ink + (hatch - ink) * inside
    shore = smoothstep(0, 0.004, y - tall * 0.775 - 0.006 * noise(x[:1] * 8, 0 * x[:1] + 3.5, rng))
    near = (y / tall - 0.775) / 0.225
    depth = np.log1p(np.maximum(near, 0) * 5)
    crest = 0.5 + 0.5 * np.sin(
        depth * 42
        + (0.4 + near) * (2.4 * noise(x * 6, depth * 5, rng) + np.sin(x * 40 + depth * 9))
    )
    path = np.exp(-((dx / (0.10 + 0.25 * np.clip(near, 0, 1))) ** 2))
    sea = gradient(near + 0.2 * crest, colours("2f8c96 1f6f8a 154a70 10355a"))
    water = mix(sea, colours("f9a24a")[0], path * smoothstep(0.45, 0.6, crest + 0.4 * carve))
    waves_ink = smoothstep(-0.08, 0.08, 0.50 + 0.9 * carve - 0.36 * path - crest)
    picture, ink = mix(picture, water, shore), ink + (waves_ink - ink) * shore
    grain = 0.5 + 0.5 * noise(x * 9 + 2 * noise(x * 3, y * 3, rng), y * 150, rng)
    black = ink * (0.97 - 0.22 * smoothstep(0.72, 0.9, grain))
    picture = mix(picture * (0.95 + 0.09 * grain)[..., None], colours("1a1420")[0], black)
    return shrink(np.clip(picture, 0, 1), factor)


def garden(height: int, width: int, rng) -> np.ndarray:
    """印象派的池塘：几层由大到小的短笔触，睡莲、倒影与柳影。"""
    x, y, factor = canvas(height, width)
    seeds = [np.random.default_rng(s) for s in rng.integers(0, 2**31, 8)]
    frozen = seeds[0].integers(0, 2**31, 6)

    def field(k, a, b):
        return fractal(a, b, np.random.default_rng(frozen[k]), 2)

    def direction(a, b):
        return 0.35 * field(0, a * 3, b * 3) + np.where(
            field(1, a * 2.2, b * 1.1) > 0.12, 1.45, 0.0
        )

    water = colours("1b2a5a 2b4f8f 3f7fb0 6fb0c0 a9b8dc c9a8d0 f0d0c8")
    green = colours("12352f 1f5f45 3f8a50 7fb25a bfd27a f2e8a0")
    picture = gradient(0.4 + 0.4 * field(2, x * 2, y * 4), water)
    for layer, (cell, share) in enumerate(
        ((0.066, 1.1), (0.042, 0.85), (0.027, 0.75), (0.017, 0.55))
    ):
        dabs = Dabs(x, y, seeds[layer + 1], cell=cell, direction=direction, length=1.1, width=0.36)
        cx, cy, value = dabs.x, dabs.y, dabs.values
        willow = smoothstep(0.0, 0.25, field(1, cx * 2.2, cy * 1.1))
        tone = 0.42 + 0.34 * field(2, cx * 2, cy * 4) + 0.42 * (value[..., 0] - 0.5)
        ink = mix(gradient(tone, water), gradient(tone * 0.9, green), willow)
        pads = smoothstep(0.20, 0.28, field(3, cx * 4.5, cy * 9))
        ink = mix(ink, gradient(tone + 0.25, green), pads)
        bloom = (pads > 0.4) & (value[..., 1] > 0.72) & (layer > 0)
        ink = mix(
            ink,
            gradient(value[..., 2], colours("fff4e8 ffd0dc f58ab0 e0466f ffd86a")),
            bloom.astype(np.float32),
        )
        which = dabs.stroke
        bristle = noise(
            dabs.across * 3.2 + which * 7.31 % 200, dabs.along * 1.1 + which * 3.77 % 200, seeds[5]
        )
        painted = ink[which] * (1 + 0.15 * bristle - 0.12 * dabs.across)[..., None]
        keep = (
            dabs.hit
            & (value[which, 3] < share)
            & (bristle > -0.75 + 0.5 * (np.abs(dabs.along) - 0.6))
        )
        picture = np.where(keep[..., None], painted, picture)
    light = relief(picture.mean(-1), 3, min(height, width) * factor / 512)
    return shrink(np.clip(picture + 0.05 * light[..., None], 0, 1), factor)
