// 随书的风格化网络，只有前向：镜像填充、卷积、实例归一化；隔点取之前、放大之后先抹平。
// about 是 {widths, blocks, styles, photoGain}；weights 按算的先后排，每层是核、偏置、各风格的 γ、各风格的 β。
function labStylizer(weights, about, { plain = false } = {}) {
  const kernel = labKernel({ plain, pages: 64 });
  const { tensor, at, read, convolution } = labLayers(kernel);
  const { resample } = labPictures();
  const count = about.styles.length;
  const [fine, middle, coarse] = about.widths;

  let taken = 0;
  function take(size) {
    taken += size;
    return weights.subarray(taken - size, taken);
  }
  function layer(channels, outputs, size, stride = 1) {
    const pad = size >> 1;
    const conv = convolution(take, channels, outputs, size, { stride, pad, trained: false });
    const [scale, shift] = [take(count * outputs), take(count * outputs)];
    return { conv, pad, stride, outputs, scale, shift };
  }

  const encoder = [layer(3, fine, 9), layer(fine, middle, 3, 2), layer(middle, coarse, 3, 2)];
  const blocks = Array.from({ length: about.blocks }, () => [
    layer(coarse, coarse, 3),
    layer(coarse, coarse, 3),
  ]);
  const decoder = [layer(coarse, middle, 3), layer(middle, fine, 3)];
  const last = layer(fine, 3, 9);
  if (taken !== weights.length) {
    throw new Error(`风格化网络的权重有 ${weights.length} 个数，应是 ${taken} 个`);
  }
  const afterWeights = kernel.used;

  // 四周的 pad 圈照镜子填：边上的一行不重复
  function reflect(t) {
    const f = kernel.floats;
    const { pad, width, height, channels } = t;
    for (let y = 0; y < height; y++) {
      const start = at(t, y);
      for (let k = 1; k <= pad; k++) {
        f.copyWithin(start - k * channels, start + k * channels, start + (k + 1) * channels);
        const end = start + (width - 1) * channels;
        f.copyWithin(end + k * channels, end - k * channels, end - (k - 1) * channels);
      }
    }
    const edge = pad * channels;
    for (let k = 1; k <= pad; k++) {
      f.copyWithin(at(t, -k) - edge, at(t, k) - edge, at(t, k) - edge + t.row);
      const [to, from] = [at(t, height - 1 + k) - edge, at(t, height - 1 - k) - edge];
      f.copyWithin(to, from, from + t.row);
    }
  }

  // x 放进带边的激活图里，再卷积；x 是 {data, height, width, channels}
  function convolve({ conv, pad }, x) {
    kernel.rewind(afterWeights);
    const padded = tensor(x.height, x.width, x.channels, pad);
    const step = x.width * x.channels;
    const result = tensor(...conv.shape(x), conv.columns);
    for (let y = 0; y < x.height; y++) {
      kernel.floats.set(x.data.subarray(y * step, (y + 1) * step), at(padded, y));
    }
    reflect(padded);
    conv.forward(padded, result);
    return read(result);
  }

  // 每个通道减均值、除以标准差，再乘 γ 加 β；γ、β 按 mix 混合各风格
  function normalize({ outputs, scale, shift }, x, mix) {
    const { data, channels } = x;
    const area = x.height * x.width;
    const result = new Float32Array(area * outputs);
    const blend = (table, c) => mix.reduce((sum, share, s) => sum + share * table[s * outputs + c], 0);
    for (let c = 0; c < outputs; c++) {
      let mean = 0;
      for (let p = c; p < data.length; p += channels) mean += data[p];
      mean /= area;
      let variance = 0;
      for (let p = c; p < data.length; p += channels) variance += (data[p] - mean) ** 2;
      const gain = blend(scale, c) / Math.sqrt(variance / area + 1e-5);
      const offset = blend(shift, c) - gain * mean;
      for (let p = c, q = c; p < data.length; p += channels, q += outputs) {
        result[q] = gain * data[p] + offset;
      }
    }
    return { ...x, data: result, channels: outputs };
  }

  // 沿一个方向与 [1, 2, 1] / 4 卷积，两端照镜子：一条有 length 项，相邻两项隔 step 个数
  function spread(data, length, step) {
    const result = new Float32Array(data.length);
    for (let start = 0; start < data.length; start += length * step) {
      for (let k = 0; k < length; k++) {
        const here = start + k * step;
        const before = start + Math.abs(k - 1) * step;
        const after = start + (k + 1 < length ? k + 1 : length - 2) * step;
        for (let c = 0; c < step; c++) {
          result[here + c] = (data[before + c] + 2 * data[here + c] + data[after + c]) / 4;
        }
      }
    }
    return result;
  }

  function smooth(x) {
    const across = spread(x.data, x.width, x.channels);
    return { ...x, data: spread(across, x.height, x.width * x.channels) };
  }

  function apply(each, x, mix) {
    return normalize(each, convolve(each, each.stride > 1 ? smooth(x) : x), mix);
  }
  const relu = (x) => ({ ...x, data: x.data.map((value) => (value > 0 ? value : 0)) });

  // 双线性放大到 newHeight × newWidth
  function enlarge({ data, height, width, channels }, newHeight, newWidth) {
    const larger = resample(data, height, width, channels, newHeight, newWidth);
    return { data: larger, height: newHeight, width: newWidth, channels };
  }

  // 逐层走的生成器：mix 是各风格的份量；每层让出一次，最后给出 [0, 1] 的图像
  function* stylize(image, size, mix) {
    let x = { data: image.map((value) => value - 0.5), height: size, width: size, channels: 3 };
    const sizes = [];
    for (const each of encoder) {
      sizes.push([x.height, x.width]);
      x = relu(apply(each, x, mix));
      yield;
    }
    for (const [first, second] of blocks) {
      const change = apply(second, relu(apply(first, x, mix)), mix);
      x = { ...x, data: x.data.map((value, p) => value + change.data[p]) };
      yield;
    }
    for (const each of decoder) {
      x = relu(apply(each, smooth(enlarge(x, ...sizes.pop())), mix));
      yield;
    }
    const change = apply(last, x, mix).data;
    return image.map((value, p) => {
      const logit = about.photoGain * (value - 0.5) + change[p];
      return 1 / (1 + Math.exp(-logit));
    });
  }

  const steps = encoder.length + blocks.length + decoder.length + 1;
  return { stylize, steps };
}
