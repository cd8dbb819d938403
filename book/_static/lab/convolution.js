// 一次卷积，一个数一个数地算：照片上 3×3 的一块减去均值，乘上核，27 个积加起来，加偏置，过 ReLU，再看最大池化。
// view 是 {image, options, found}，found 是 {map, height, width, kernel, bias, mean}。
// conv1 的步幅是 2，没有填充：第 row 行第 column 列的输出，从照片的第 2·row 行、第 2·column 列看起。
const labConvolution = (() => {
  const { signedColor, paint, rgb } = labDrawing;
  const element = labElement;
  const COLORS = ["红", "绿", "蓝"];
  const [SCALE, GAP] = [2, 8];
  const total = (values) => values.reduce((a, b) => a + b, 0);
  const strongest = (values) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;

  // 三种颜色各有 9 个像素、9 个权重、9 个积
  function terms({ image, found }, { row, column }) {
    return COLORS.map((_, color) => {
      const places = Array.from({ length: 9 }, (_, i) => [Math.floor(i / 3), i % 3]);
      const pixels = places.map(([v, u]) => {
        const p = (2 * row + v) * image.size + 2 * column + u;
        return 255 * image.data[3 * p + color] - found.mean[color];
      });
      const weights = [...found.kernel.subarray(9 * color, 9 * color + 9)];
      const products = pixels.map((pixel, i) => pixel * weights[i]);
      return { pixels, weights, products, sum: total(products) };
    });
  }

  // 左边照片，右边这个核走出来的图（ReLU 之前）；留一份底，好在上面画框
  function draw(canvas, found, view) {
    const { size, data } = view.image;
    const side = SCALE * size;
    const top = strongest(found.map);
    const photo = paint(document.createElement("canvas"), size, size, (p) => rgb(data, p));
    const map = paint(document.createElement("canvas"), found.width, found.height, (p) =>
      signedColor(found.map[p] / top),
    );
    [canvas.width, canvas.height] = [2 * side + GAP, side];
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(photo, 0, 0, side, side);
    context.drawImage(map, side + GAP, 0, side, side);
    const base = document.createElement("canvas");
    [base.width, base.height] = [canvas.width, canvas.height];
    base.getContext("2d").drawImage(canvas, 0, 0);
    Object.assign(view, { found, base });
    const looks = "左边照片，右边 conv1 的";
    return `${looks} ${view.options.channel} 号核走遍照片的结果：红是正，蓝是负，最深 ±${top.toFixed(0)}；ReLU 把负的变成 0。`;
  }

  // 画布上的一点（宽、高的几成）是哪一个输出
  function placeAt(x, y, { image, found }) {
    const side = SCALE * image.size;
    const across = x * (2 * side + GAP);
    const inside = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value)));
    const onPhoto = across < side + GAP / 2;
    const left = onPhoto ? (across / SCALE - 1) / 2 : ((across - side - GAP) / side) * found.width;
    const down = onPhoto ? (y * image.size - 1) / 2 : y * found.height;
    return { row: inside(down, found.height), column: inside(left, found.width) };
  }

  function strongestPlace({ found: { map, width } }) {
    const best = map.indexOf(map.reduce((a, b) => Math.max(a, b), -Infinity));
    return { row: Math.floor(best / width), column: best % width };
  }

  // 两边各画一个框：左边是看的那一块，右边是算出的那一个数
  function mark(canvas, { image, found, base }, { row, column }) {
    const context = canvas.getContext("2d");
    const side = SCALE * image.size;
    const [wide, high] = [side / found.width, side / found.height];
    context.drawImage(base, 0, 0);
    context.lineWidth = 4;
    context.strokeStyle = "#ff9500";
    context.strokeRect(2 * SCALE * column - 7, 2 * SCALE * row - 7, 3 * SCALE + 14, 3 * SCALE + 14);
    context.strokeRect(side + GAP + wide * column - 7, high * row - 7, wide + 14, high + 14);
  }

  // 3×3 的一张小表：格子的底色由 colorAt 定，字用看得清的黑或白
  function table(caption, values, digits, colorAt) {
    const cell = (value) => {
      const color = colorAt(value).map((each) => Math.round(each));
      const light = (0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]) / 255;
      const made = element("td", {}, value.toFixed(digits));
      made.style.backgroundColor = `rgb(${color})`;
      made.style.color = light > 0.5 ? "#000" : "#fff";
      return made;
    };
    const rows = [0, 3, 6].map((i) => element("tr", {}, ...values.slice(i, i + 3).map(cell)));
    return element("table", {}, element("caption", {}, caption), ...rows);
  }

  // 接下来的最大池化：3×3 的窗，步幅 2；含着这一处的一扇窗，过了 ReLU 的 9 个数和它们的最大
  function pooled({ map, height, width }, place) {
    const row = Math.min(place.row >> 1, (height - 3) >> 1);
    const column = Math.min(place.column >> 1, (width - 3) >> 1);
    const places = Array.from({ length: 9 }, (_, i) => [2 * row + Math.floor(i / 3), 2 * column + (i % 3)]);
    const values = places.map(([i, j]) => Math.max(0, map[i * width + j]));
    return { row, column, values, value: Math.max(...values) };
  }

  function poolingNumbers(found, place) {
    const { row, column, values, value } = pooled(found, place);
    const line =
      `接下来的最大池化看 3×3 个这样的数（步幅 2），只留最大的。橙框是指着的这一处；含着它的一扇窗里，` +
      `最大是 ${value.toFixed(1)}：这就是池化之后第 ${row} 行第 ${column} 列的数。`;
    const window = table("ReLU 之后的 3×3", values, 1, (each) => signedColor(each / (value || 1)));
    window.rows[place.row - 2 * row].cells[place.column - 2 * column].style.outline = "2px solid #ff9500";
    return element("div", { className: "lab-pooling" }, window, element("p", { className: "lab-small" }, line));
  }

  // 指着一处：27 个积怎样加成一个数，池化又留下哪一个
  function numbers(view, place) {
    const { found } = view;
    const all = terms(view, place);
    const [high, most] = ["weights", "products"].map((name) => strongest(all.flatMap((each) => each[name])));
    const grids = all.flatMap(({ pixels, weights, products, sum }, color) => {
      const shade = (value) => [0, 1, 2].map((k) => (k === color ? value + found.mean[color] : 0));
      return [
        table(`${COLORS[color]}：像素 − 均值`, pixels, 0, shade),
        element("span", {}, "×"),
        table("核", weights, 3, (value) => signedColor(value / high)),
        element("span", {}, "="),
        table(`积，和是 ${sum.toFixed(1)}`, products, 1, (value) => signedColor(value / most)),
      ];
    });
    const signed = (each) => (each <= -0.05 ? `(${each.toFixed(1)})` : Math.max(0, each).toFixed(1));
    const sums = [...all.map(({ sum }) => signed(sum)), `偏置 ${signed(found.bias)}`].join(" + ");
    const value = total(all.map(({ sum }) => sum)) + found.bias;
    const line =
      `第 ${place.row} 行第 ${place.column} 列：${sums} ≈ ${value.toFixed(1)}` +
      `，过 ReLU 是 ${Math.max(0, value).toFixed(1)}。`;
    return [
      element("p", { className: "lab-small" }, line),
      element("div", { className: "lab-products" }, ...grids),
      poolingNumbers(found, place),
    ];
  }

  return { draw, placeAt, strongestPlace, mark, numbers, terms };
})();
