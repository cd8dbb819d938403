// 图像由余弦谱来：图像 = sigmoid(颜色矩阵 · 逆余弦变换(谱 / 频率^decay))。
// 同样的步长，低频动得多、高频动得少；颜色的三个轴互不相关。变换是与一个固定矩阵相乘，用的就是卷积的那份矩阵乘法。
function labCosineImage(size, decay) {
  // 照片像素的协方差的主轴乘标准差，同 cnnlab 的 FourierImage；列依次近于亮度、红对蓝、绿对紫
  const COLORS = [
    [0.554, 0.236, 0.052],
    [0.573, 0.013, -0.101],
    [0.604, -0.229, 0.048],
  ];
  const area = size * size;
  const kernel = labKernel();
  const [input, output] = [kernel.reserve(3 * area), kernel.reserve(3 * area)];

  // 第 k 个余弦在第 x 点的值，长度都是 1
  function wave(k, x) {
    const norm = Math.sqrt((k === 0 ? 1 : 2) / size);
    return norm * Math.cos((Math.PI * k * (2 * x + 1)) / (2 * size));
  }
  // multiply 要的排法：每 8 列一叠
  function packed(entry) {
    const offset = kernel.reserve(area);
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const place = (column & ~7) * size + row * 8 + (column & 7);
        kernel.floats[offset + place] = entry(row, column);
      }
    }
    return offset;
  }
  const toPoints = packed((k, x) => wave(k, x));
  const toWaves = packed((x, k) => wave(k, x));

  // 三个平面的每一行都乘 matrix，再转置；做两遍就是二维的变换
  function transformRows(planes, matrix) {
    kernel.floats.set(planes, input);
    kernel.floats.fill(0, output, output + 3 * area);
    kernel.multiply(input, size, matrix, output, size, 3 * size, size, size);
    const result = new Float32Array(3 * area);
    const f = kernel.floats;
    for (let d = 0, p = output; d < 3; d++) {
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++, p++) result[d * area + x * size + y] = f[p];
      }
    }
    return result;
  }
  const transform = (planes, matrix) => transformRows(transformRows(planes, matrix), matrix);

  // 每个频率的权重 1 / max(f, 1/边长)^decay，频率以每像素的周期数计
  const scale = Float32Array.from({ length: area }, (_, p) => {
    const frequency = Math.hypot(Math.floor(p / size), p % size) / (2 * size);
    return Math.max(frequency, 1 / size) ** -decay / 4;
  });
  function weighted(planes) {
    const result = new Float32Array(3 * area);
    for (let d = 0, q = 0; d < 3; d++) {
      for (let p = 0; p < area; p++, q++) result[q] = planes[q] * scale[p];
    }
    return result;
  }

  let pixels = null;
  return {
    // 谱 → [0, 1] 的图像
    draw(spectrum) {
      const planes = transform(weighted(spectrum), toPoints);
      pixels = new Float32Array(3 * area);
      for (let c = 0; c < 3; c++) {
        const [x, y, z] = COLORS[c];
        for (let p = 0; p < area; p++) {
          const logit = x * planes[p] + y * planes[area + p] + z * planes[2 * area + p];
          pixels[3 * p + c] = 1 / (1 + Math.exp(-logit));
        }
      }
      return pixels;
    },
    // 对刚画的图像的梯度 → 对谱的梯度
    back(gradient) {
      const planes = new Float32Array(3 * area);
      for (let c = 0; c < 3; c++) {
        const [x, y, z] = COLORS[c];
        for (let p = 0; p < area; p++) {
          const value = pixels[3 * p + c];
          const slope = gradient[3 * p + c] * value * (1 - value);
          planes[p] += x * slope;
          planes[area + p] += y * slope;
          planes[2 * area + p] += z * slope;
        }
      }
      return weighted(transform(planes, toWaves));
    },
  };
}
