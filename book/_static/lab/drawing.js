// 画：把数变成画布上的像素。每张图怎样由数变成颜色，都写在图下的说明里。
const labDrawing = (() => {
  const HEAT = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
  const SIGNED = [[33, 80, 170], [120, 165, 215], [247, 247, 247], [230, 130, 105], [165, 15, 30]];

  // t 在 [0, 1]：在五种颜色之间取
  function ramp(colors, t) {
    const x = Math.min(0.9999, Math.max(0, t)) * 4;
    const i = Math.floor(x);
    return colors[i].map((low, k) => low + (x - i) * (colors[i + 1][k] - low));
  }
  const heatColor = (t) => ramp(HEAT, t);
  const signedColor = (t) => ramp(SIGNED, 0.5 + t / 2);

  // 画布变成 width × height，第 p 个像素是 colorAt(p)
  function paint(canvas, width, height, colorAt) {
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let p = 0; p < width * height; p++) {
      const [red, green, blue] = colorAt(p);
      pixels.data[4 * p] = red;
      pixels.data[4 * p + 1] = green;
      pixels.data[4 * p + 2] = blue;
      pixels.data[4 * p + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  const rgb = (data, p, gain = 255) => [gain * data[3 * p], gain * data[3 * p + 1], gain * data[3 * p + 2]];
  const picture = (canvas, data, size) => paint(canvas, size, size, (p) => rgb(data, p));

  // 带符号的三通道：0 是中灰，±top 是最亮、最暗
  function signedPicture(canvas, data, size, top) {
    const shown = data.map((value) => 0.5 + value / top / 2);
    return picture(canvas, shown, size);
  }

  // 灰度的照片上盖一张热图：heat 有 width × height 格，占照片的 box（左、上、宽、高）
  function overlay(canvas, { data, size }, heat, { width, height, colorAt, box, smooth }) {
    paint(canvas, size, size, (p) => {
      const [red, green, blue] = rgb(data, p, 1);
      return Array(3).fill(80 + 120 * (0.3 * red + 0.59 * green + 0.11 * blue));
    });
    const small = paint(document.createElement("canvas"), width, height, (p) => colorAt(heat[p]));
    const context = canvas.getContext("2d");
    context.globalAlpha = 0.65;
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(small, ...(box ?? [0, 0, size, size]));
    context.globalAlpha = 1;
  }

  // 全部通道排成一张，每格隔 1 个灰像素；返回排法，好由坐标找回通道
  function channelSheet(canvas, { data, height, width, channels }, common) {
    const tops = new Float32Array(channels);
    for (let p = 0; p < data.length; p++) tops[p % channels] = Math.max(tops[p % channels], data[p]);
    const all = tops.reduce((a, b) => Math.max(a, b), 0);
    const columns = Math.ceil(Math.sqrt((channels * (height + 1)) / (width + 1)));
    const rows = Math.ceil(channels / columns);
    const across = columns * (width + 1);
    paint(canvas, across, rows * (height + 1), (p) => {
      const [y, x] = [Math.floor(p / across), p % across];
      const [top, left] = [y % (height + 1), x % (width + 1)];
      const channel = Math.floor(y / (height + 1)) * columns + Math.floor(x / (width + 1));
      if (channel >= channels || top === height || left === width) return [128, 128, 128];
      const value = data[(top * width + left) * channels + channel];
      return Array(3).fill((255 * value) / ((common ? all : tops[channel]) || 1));
    });
    return { columns, rows, channels, tops, height, width };
  }

  // 在那一张里圈出一个通道
  function outlineChannel(canvas, { columns, height, width }, channel) {
    const context = canvas.getContext("2d");
    context.strokeStyle = "#ff9500";
    context.lineWidth = Math.max(1, canvas.width / 160);
    const [row, column] = [Math.floor(channel / columns), channel % columns];
    context.strokeRect(column * (width + 1), row * (height + 1), width, height);
  }

  const strength = (gradient) =>
    Float32Array.from({ length: gradient.length / 3 }, (_, p) =>
      Math.max(...rgb(gradient, p, 1).map(Math.abs)),
    );
  function quantile(values, q) {
    const sorted = Float32Array.from(values).sort();
    return sorted[Math.floor(q * (sorted.length - 1))] || 1;
  }

  return {
    heatColor,
    signedColor,
    paint,
    rgb,
    picture,
    signedPicture,
    overlay,
    channelSheet,
    outlineChannel,
    strength,
    quantile,
  };
})();
