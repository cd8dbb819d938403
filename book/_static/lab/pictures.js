// 图像的变换：缩放、剪下一块、循环移位、左右翻转、盖上一块。
// 图像是 [0, 1] 的 Float32Array，按 (行, 列, RGB) 排；网页和 Worker 里都用。
function labPictures() {
  // 一个方向上，新的每一点是旧的哪几点的加权和：双线性，缩小时窗随之变宽（抗锯齿），与 torch 的 interpolate 相同
  function taps(length, target) {
    const scale = length / target;
    const reach = Math.max(scale, 1);
    return Array.from({ length: target }, (_, t) => {
      const center = scale * (t + 0.5);
      const low = Math.max(Math.trunc(center - reach + 0.5), 0);
      const high = Math.min(Math.trunc(center + reach + 0.5), length);
      const weights = [];
      for (let p = low; p < high; p++) {
        weights.push(Math.max(0, 1 - Math.abs((p - center + 0.5) / reach)));
      }
      const total = weights.reduce((a, b) => a + b, 0);
      return { low, weights: weights.map((weight) => weight / total) };
    });
  }

  // 把 data 看成 (outer, length, inner)，中间一维缩放到 target；adjoint 是它的反向：data 是新尺寸的梯度
  function along(data, outer, length, inner, target, adjoint) {
    if (length === target) return data;
    const result = new Float32Array(outer * (adjoint ? length : target) * inner);
    const list = taps(length, target);
    for (let o = 0; o < outer; o++) {
      for (let t = 0; t < target; t++) {
        const { low, weights } = list[t];
        const q = (o * target + t) * inner;
        for (let j = 0; j < weights.length; j++) {
          const weight = weights[j];
          const p = (o * length + low + j) * inner;
          if (adjoint) for (let i = 0; i < inner; i++) result[p + i] += weight * data[q + i];
          else for (let i = 0; i < inner; i++) result[q + i] += weight * data[p + i];
        }
      }
    }
    return result;
  }

  function resample(data, height, width, channels, newHeight, newWidth) {
    const wide = along(data, height, width, channels, newWidth, false);
    return along(wide, 1, height, newWidth * channels, newHeight, false);
  }

  // resample 的反向：新尺寸的梯度送回旧尺寸
  function resampleBack(gradient, height, width, channels, newHeight, newWidth) {
    const tall = along(gradient, 1, height, newWidth * channels, newHeight, true);
    return along(tall, height, width, channels, newWidth, true);
  }

  // 短边缩到 size，再取中央的方块
  function fitSquare(data, height, width, size) {
    const scale = size / Math.min(height, width);
    const newHeight = Math.max(size, Math.round(height * scale));
    const newWidth = Math.max(size, Math.round(width * scale));
    const scaled = resample(data, height, width, 3, newHeight, newWidth);
    const [top, left] = [(newHeight - size) >> 1, (newWidth - size) >> 1];
    const square = new Float32Array(size * size * 3);
    for (let y = 0; y < size; y++) {
      const from = ((y + top) * newWidth + left) * 3;
      square.set(scaled.subarray(from, from + size * 3), y * size * 3);
    }
    return square;
  }

  // 方图里的一个方块，与它的反向（别处的梯度是 0）
  function crop(data, size, top, left, side) {
    const part = new Float32Array(side * side * 3);
    for (let y = 0; y < side; y++) {
      const from = ((y + top) * size + left) * 3;
      part.set(data.subarray(from, from + side * 3), y * side * 3);
    }
    return part;
  }
  function cropBack(part, size, top, left, side) {
    const whole = new Float32Array(size * size * 3);
    for (let y = 0; y < side; y++) {
      whole.set(part.subarray(y * side * 3, (y + 1) * side * 3), ((y + top) * size + left) * 3);
    }
    return whole;
  }

  // 新图的第 (y, x) 点取自旧图的 place(y, x)，place 给 [行, 列]
  function rearrange(data, size, place) {
    const result = new Float32Array(data.length);
    for (let y = 0, q = 0; y < size; y++) {
      for (let x = 0; x < size; x++, q += 3) {
        const [row, column] = place(y, x);
        const p = (row * size + column) * 3;
        result[q] = data[p];
        result[q + 1] = data[p + 1];
        result[q + 2] = data[p + 2];
      }
    }
    return result;
  }
  // 循环移位：移出去的从另一边回来
  function roll(data, size, down, right) {
    const wrap = (i) => ((i % size) + size) % size;
    return rearrange(data, size, (y, x) => [wrap(y - down), wrap(x - right)]);
  }
  const flip = (data, size) => rearrange(data, size, (y, x) => [y, size - 1 - x]);

  // 盖的颜色：照片的平均色，或灰、黑、白
  function fillColor(data, fill) {
    if (fill !== "mean") return Array(3).fill({ grey: 0.5, black: 0, white: 1 }[fill]);
    const sum = [0, 0, 0];
    for (let p = 0; p < data.length; p++) sum[p % 3] += data[p];
    return sum.map((value) => (value * 3) / data.length);
  }

  // 左上角在 (top, left) 的一扇方窗盖上一种颜色
  function cover(data, size, top, left, window, color) {
    const copy = data.slice();
    for (let y = top; y < top + window; y++) {
      for (let x = left; x < left + window; x++) copy.set(color, (y * size + x) * 3);
    }
    return copy;
  }

  return { resample, resampleBack, fitSquare, crop, cropBack, roll, flip, fillColor, cover };
}
