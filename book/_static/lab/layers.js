// 激活图和各种层：卷积、ReLU、最大池化、平均；前向，和传回输入的反向。
//
// 激活图按 (行, 列, 通道) 排，四周可以带 pad 圈。这样排，卷积就是矩阵乘法，什么也不用搬：
// 一行输出 = 各行输入 × 核。相邻两个输出看的那几个像素在内存里挨着，矩阵的相邻两行因此互相重叠，只差步幅 × 通道。
// 每一层：shape 说输出多大，forward(x, y) 由 x 填好 y，backward(gx, gy, x, y, rule) 由 gy 填好 gx（已清零）。
function labLayers(kernel) {
  const { reserve, multiply } = kernel;

  function tensor(height, width, channels, pad = 0, offset = null) {
    const row = (width + 2 * pad) * channels;
    const size = (height + 2 * pad) * row;
    return { height, width, channels, pad, row, size, offset: offset ?? reserve(size) };
  }

  // 第 y 行的开头
  const at = (t, y) => t.offset + (y + t.pad) * t.row + t.pad * t.channels;
  const clear = (t) => kernel.floats.fill(0, t.offset, t.offset + t.size);

  // 拷出一张激活图，去掉边
  function read(t) {
    const step = t.width * t.channels;
    const data = new Float32Array(t.height * step);
    for (let y = 0; y < t.height; y++) {
      data.set(kernel.floats.subarray(at(t, y), at(t, y) + step), y * step);
    }
    return { data, height: t.height, width: t.width, channels: t.channels };
  }

  function write(t, data) {
    const step = t.width * t.channels;
    for (let y = 0; y < t.height; y++) {
      kernel.floats.set(data.subarray(y * step, (y + 1) * step), at(t, y));
    }
  }

  // take(n) 依次取出 n 个权重：先核 (出, 入, 行, 列)，后偏置。出的通道补到 8 的倍数。
  function convolution(take, channels, outputs, size, { stride = 1, pad = 0, trained = true } = {}) {
    const across = size * channels; // 一个输出在一行里看几个数
    const columns = (outputs + 7) & ~7;
    const wide = (size * across + 7) & ~7;
    // 前向用 size 个矩阵 (size·入 × 出)，反向用一个 (出 × size²·入)
    const forwards = reserve(size * across * columns);
    const backwards = trained ? reserve(columns * wide) : 0;
    const f = kernel.floats;
    const values = take(outputs * channels * size * size);
    let next = 0;
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < channels; i++) {
        for (let v = 0; v < size; v++) {
          for (let u = 0; u < size; u++) {
            const value = values[next++];
            const r = u * channels + i;
            const s = v * across + r;
            f[forwards + (v * columns + (o & ~7)) * across + r * 8 + (o & 7)] = value;
            if (trained) f[backwards + (s & ~7) * columns + o * 8 + (s & 7)] = value;
          }
        }
      }
    }
    const bias = new Float32Array(columns);
    bias.set(take(outputs));
    let scratch = 0;

    return {
      outputs,
      columns,
      shape: ({ height, width }) =>
        [height, width].map((side) => Math.floor((side + 2 * pad - size) / stride) + 1),
      prepare(y) {
        if (trained && size > 1) scratch = reserve(y.width * wide);
      },
      forward(x, y, channel = 0) {
        for (let i = 0; i < y.height; i++) {
          const to = at(y, i) + channel;
          for (let j = 0; j < y.width; j++) kernel.floats.set(bias, to + j * y.channels);
          for (let v = 0; v < size; v++) {
            const from = at(x, i * stride + v - pad) - pad * channels;
            const weights = forwards + v * across * columns;
            multiply(from, stride * channels, weights, to, y.channels, y.width, across, columns);
          }
        }
      },
      // 加到 gx 上
      backward(gx, gy, channel = 0) {
        for (let i = 0; i < gy.height; i++) {
          const from = at(gy, i) + channel;
          if (size === 1) {
            multiply(from, gy.channels, backwards, at(gx, i), channels, gy.width, columns, channels);
            continue;
          }
          const g = kernel.floats.fill(0, scratch, scratch + gy.width * wide);
          multiply(from, gy.channels, backwards, scratch, wide, gy.width, columns, wide);
          for (let v = 0; v < size; v++) {
            let to = at(gx, i * stride + v - pad) - pad * channels;
            for (let j = 0; j < gy.width; j++, to += stride * channels) {
              const s = scratch + j * wide + v * across;
              for (let r = 0; r < across; r++) g[to + r] += g[s + r];
            }
          }
        }
      },
    };
  }

  function convLayer(name, take, channels, outputs, size, options) {
    const conv = convolution(take, channels, outputs, size, options);
    return { ...conv, name, channels: outputs, backward: (gx, gy) => conv.backward(gx, gy) };
  }

  // Fire 模块里的两路：1×1 与 3×3，按通道接起来
  function expandLayer(name, take, channels, outputs) {
    const narrow = convolution(take, channels, outputs, 1);
    const wide = convolution(take, channels, outputs, 3, { pad: 1 });
    return {
      name,
      channels: 2 * outputs,
      shape: narrow.shape,
      prepare: wide.prepare,
      forward(x, y) {
        narrow.forward(x, y, 0);
        wide.forward(x, y, outputs);
      },
      backward(gx, gy) {
        narrow.backward(gx, gy, 0);
        wide.backward(gx, gy, outputs);
      },
    };
  }

  // ReLU 的三种回传：plain 看前向是否大于 0，deconvnet 看传回的是否大于 0，guided 两样都看
  function reluLayer(name, pad = 0) {
    return {
      name,
      pad,
      shape: ({ height, width }) => [height, width],
      forward(x, y) {
        const f = kernel.floats;
        for (let i = 0; i < x.height; i++) {
          const end = at(x, i) + x.width * x.channels;
          for (let p = at(x, i), q = at(y, i); p < end; p++, q++) f[q] = f[p] > 0 ? f[p] : 0;
        }
      },
      backward(gx, gy, x, y, rule) {
        const f = kernel.floats;
        const seesForward = rule !== "deconvnet";
        const seesBackward = rule !== "plain";
        for (let i = 0; i < gx.height; i++) {
          const end = at(gx, i) + gx.width * gx.channels;
          for (let p = at(gx, i), q = at(gy, i), r = at(y, i); p < end; p++, q++, r++) {
            const blocked = (seesForward && !(f[r] > 0)) || (seesBackward && !(f[q] > 0));
            f[p] = blocked ? 0 : f[q];
          }
        }
      },
    };
  }

  // 3×3、步幅 2 的最大池化，边上不满一窗也算；记下最大的在哪里
  function poolLayer(name) {
    let places;
    return {
      name,
      shape: ({ height, width }) => [height, width].map((side) => Math.ceil((side - 3) / 2) + 1),
      prepare(y) {
        places = new Int32Array(y.size);
      },
      forward(x, y) {
        const f = kernel.floats;
        const n = x.channels;
        for (let i = 0, o = 0; i < y.height; i++) {
          const bottom = Math.min(3, x.height - 2 * i);
          for (let j = 0; j < y.width; j++, o += n) {
            const right = Math.min(3, x.width - 2 * j);
            const corner = at(x, 2 * i) + 2 * j * n;
            for (let c = 0; c < n; c++) {
              let best = corner + c;
              for (let v = 0; v < bottom; v++) {
                for (let u = 0, p = corner + v * x.row + c; u < right; u++, p += n) {
                  if (f[p] > f[best]) best = p;
                }
              }
              f[y.offset + o + c] = f[best];
              places[o + c] = best - x.offset;
            }
          }
        }
      },
      backward(gx, gy) {
        const f = kernel.floats;
        for (let o = 0; o < gy.size; o++) f[gx.offset + places[o]] += f[gy.offset + o];
      },
    };
  }

  function meanLayer(name) {
    return {
      name,
      shape: () => [1, 1],
      forward(x, y) {
        clear(y);
        const f = kernel.floats;
        const area = x.height * x.width;
        for (let p = 0; p < x.size; p++) f[y.offset + (p % x.channels)] += f[x.offset + p] / area;
      },
      backward(gx, gy) {
        const f = kernel.floats;
        const area = gx.height * gx.width;
        for (let p = 0; p < gx.size; p++) f[gx.offset + p] = f[gy.offset + (p % gx.channels)] / area;
      },
    };
  }

  return {
    tensor,
    at,
    clear,
    read,
    write,
    convolution,
    convLayer,
    expandLayer,
    reluLayer,
    poolLayer,
    meanLayer,
  };
}
