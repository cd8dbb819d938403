// 改图像，让网络里的一个数变大：DeepDream 和梯度上升。都是生成器，每走一步给出到此为止的图像。
// statistics 是照片在几层上每个通道的均值、标准差：自然先验要图像的统计量离它们近。
function labSynthesis(net, statistics) {
  const { random } = labNumbers();
  const { resample, resampleBack, crop, cropBack, roll, flip } = labPictures();

  const clampUnit = (value) => Math.min(1, Math.max(0, value));
  const meanSize = (g) => g.reduce((sum, value) => sum + Math.abs(value), 0) / g.length || 1;

  // DeepDream：最大化 ½‖a‖²，对激活的梯度就是激活自己。从小到大走几个尺度，
  // 每个尺度从原图的缩小版加上已有的增量出发；每步随机移位，梯度按平均大小归一后走 stepSize。
  function* dream(image, { layer, octaves, steps, stepSize, octaveScale = 1.4, jitter = 16, seed = 0 }) {
    const { data, size } = image;
    const dice = random(seed);
    const sizes = Array.from({ length: octaves }, (_, k) => {
      return Math.round(size / octaveScale ** (octaves - 1 - k));
    }).filter((side) => side >= 32);
    let detail = new Float32Array(data.length);
    let before = size;
    let taken = 0;
    for (const side of sizes) {
      const base = resample(data, size, size, 3, side, side);
      const grown = resample(detail, before, before, 3, side, side);
      const pixels = base.map((value, p) => value + grown[p]);
      const reach = Math.min(jitter, side >> 2);
      for (let i = 0; i < steps; i++) {
        const [down, right] = [dice.integer(-reach, reach), dice.integer(-reach, reach)];
        const seen = net.forward(roll(pixels, side, down, right), side, side, layer).data;
        const slope = roll(net.backward(layer, seen).data, side, -down, -right);
        const pace = stepSize / meanSize(slope);
        for (let p = 0; p < pixels.length; p++) pixels[p] = clampUnit(pixels[p] + pace * slope[p]);
        taken += 1;
        const value = seen.reduce((sum, a) => sum + a * a, 0) / 2;
        yield { pixels, side, value, done: taken / (steps * sizes.length) };
      }
      detail = pixels.map((value, p) => value - base[p]);
      before = side;
    }
    return { pixels: data.map((value, p) => clampUnit(value + detail[p])), side: size, done: 1 };
  }

  // 随机取景：边长 smallest 到 1 倍的方块，放大到原来的尺寸，一半的时候左右翻转。
  // look 给要看的图，back 把它的梯度送回原处
  function randomView(size, smallest, dice) {
    const side = Math.round(size * (smallest + (1 - smallest) * dice.uniform()));
    const [top, left] = [dice.integer(0, size - side), dice.integer(0, size - side)];
    const turn = dice.uniform() < 0.5 ? flip : (pixels) => pixels;
    return {
      look(pixels) {
        const part = crop(pixels, size, top, left, side);
        return turn(resample(part, side, side, 3, size, size), size);
      },
      back(gradient) {
        const part = resampleBack(turn(gradient, size), side, side, 3, size, size);
        return cropBack(part, size, top, left, side);
      },
    };
  }

  // 自然先验：一层每个通道的均值、标准差离照片的有多远（以照片之间的标准差为单位），对激活的梯度
  function naturalGradient({ data, height, width, channels }, { center, spread }, weight) {
    const area = height * width;
    const mean = new Float32Array(channels);
    const variance = new Float32Array(channels);
    for (let p = 0; p < data.length; ) {
      for (let c = 0; c < channels; c++, p++) mean[c] += data[p] / area;
    }
    for (let p = 0; p < data.length; ) {
      for (let c = 0; c < channels; c++, p++) variance[c] += (data[p] - mean[c]) ** 2 / (area - 1);
    }
    const pull = new Float32Array(channels);
    const stretch = new Float32Array(channels);
    const slope = (value, i) => (weight * (value - center[i])) / (channels * spread[i] ** 2);
    for (let c = 0; c < channels; c++) {
      const deviation = Math.sqrt(variance[c]);
      pull[c] = slope(mean[c], c) / area;
      if (deviation > 0) stretch[c] = slope(deviation, channels + c) / (deviation * (area - 1));
    }
    const result = new Float32Array(data.length);
    for (let p = 0; p < data.length; ) {
      for (let c = 0; c < channels; c++, p++) result[p] = pull[c] + stretch[c] * (data[p] - mean[c]);
    }
    return result;
  }

  // Adam：每个数各按自己梯度的大小走
  function adam(length, rate) {
    const [first, second] = [new Float32Array(length), new Float32Array(length)];
    let step = 0;
    return function move(values, gradient) {
      step += 1;
      const [fix1, fix2] = [1 - 0.9 ** step, 1 - 0.999 ** step];
      for (let p = 0; p < length; p++) {
        first[p] += 0.1 * (gradient[p] - first[p]);
        second[p] += 0.001 * (gradient[p] ** 2 - second[p]);
        values[p] -= (rate * first[p]) / fix1 / (Math.sqrt(second[p] / fix2) + 1e-8);
      }
    };
  }

  // 梯度上升：让一类在 ReLU 之前的类别图的平均最大，减去自然先验。参数是余弦谱，颜色走三个互不相关的轴；
  // 最后几步看整张图，不再取景。
  function* ascend({ size }, { target, steps, smallest, natural, decay = 1.2, seed = 0 }) {
    const dice = random(seed + 1);
    const picture = labCosineImage(size, decay);
    const spectrum = Float32Array.from({ length: size * size * 3 }, () => 0.01 * dice.normal());
    const move = adam(spectrum.length, 0.05);
    for (let i = 0; i < steps; i++) {
      const pixels = picture.draw(spectrum);
      const view = randomView(size, i < 0.85 * steps ? smallest : 1, dice);
      const found = net.forward(view.look(pixels), size, size, "conv10");
      const area = found.height * found.width;
      const wanted = new Float32Array(found.data.length);
      let value = 0;
      for (let p = target; p < wanted.length; p += found.channels) {
        wanted[p] = -1 / area;
        value += found.data[p] / area;
      }
      const more = {};
      for (const [layer, measured] of Object.entries(natural > 0 ? statistics : {})) {
        more[layer] = naturalGradient(net.read(layer), measured, natural * measured.weight);
      }
      const slope = view.back(net.backward("conv10", wanted, { more }).data);
      move(spectrum, picture.back(slope));
      yield { pixels, side: size, value, done: (i + 1) / steps };
    }
    return { pixels: picture.draw(spectrum), side: size, done: 1 };
  }

  return { dream, ascend, naturalGradient };
}
