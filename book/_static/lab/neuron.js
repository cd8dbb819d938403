// 一个通道的三张小图：放大的激活图、最强的神经元看的那一块、它在意的像素。
// view 是画激活图时的 {image, options, found}；neuron 是这个神经元的 {value, gradient, row, column}。
function labNeuronFigures({ image, options, found }, channel, { value, gradient, row, column }) {
  const { paint, rgb } = labDrawing;
  const { largest } = labNumbers();

  function channelPicture() {
    const { data, height, width, channels } = found;
    const map = Float32Array.from({ length: height * width }, (_, p) => data[p * channels + channel]);
    const top = largest(map);
    return paint(document.createElement("canvas"), width, height, (p) => {
      return Array(3).fill(top > 0 ? (255 * map[p]) / top : 0);
    });
  }

  // 梯度不为 0 的范围：[上, 左, 下, 右]；处处是 0 就没有
  function seenBox() {
    const box = [Infinity, Infinity, 0, 0];
    for (let p = 0; p < gradient.length; p++) {
      if (gradient[p] === 0) continue;
      const [y, x] = [Math.floor(p / 3 / image.size), Math.floor(p / 3) % image.size];
      box[0] = Math.min(box[0], y);
      box[1] = Math.min(box[1], x);
      box[2] = Math.max(box[2], y + 1);
      box[3] = Math.max(box[3], x + 1);
    }
    return box[2] > 0 ? box : null;
  }

  function cut(data, [top, left, bottom, right]) {
    const width = right - left;
    return paint(document.createElement("canvas"), width, bottom - top, (p) => {
      return rgb(data, (top + Math.floor(p / width)) * image.size + left + (p % width));
    });
  }

  const pictures = [[channelPicture(), `${options.layer} 的 ${channel} 号通道，最大 ${value.toFixed(2)}`]];
  const box = value > 0 ? seenBox() : null;
  if (box) {
    const top = largest(gradient.map(Math.abs));
    const slope = gradient.map((each) => 0.5 + each / top / 2);
    const place = `第 ${row} 行第 ${column} 列`;
    pictures.push([cut(image.data, box), `最强的神经元（${place}）看的这一块`]);
    pictures.push([cut(slope, box), "它在意的像素（引导式梯度，灰是 0）"]);
  }
  return pictures.map(([picture, text]) => {
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", text);
    return labElement("figure", {}, picture, labElement("figcaption", {}, text));
  });
}
