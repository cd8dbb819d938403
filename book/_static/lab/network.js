// SqueezeNet 1.1：前向，和一直传回图像的反向。weights 是全部权重，按算的先后排。
function labNetwork(weights, { plain = false } = {}) {
  const FIRES = { 2: [16, 64], 3: [16, 64], 4: [32, 128], 5: [32, 128] };
  Object.assign(FIRES, { 6: [48, 192], 7: [48, 192], 8: [64, 256], 9: [64, 256] });
  const MEAN = [123.68, 116.779, 103.939];
  const kernel = labKernel({ plain, pages: 200 });
  const { tensor, clear, read, write, ...make } = labLayers(kernel);

  let taken = 0;
  function take(count) {
    taken += count;
    return weights.subarray(taken - count, taken);
  }

  function squeezenet() {
    const layers = [
      make.convLayer("conv1", take, 3, 64, 3, { stride: 2 }),
      make.reluLayer("relu1"),
      make.poolLayer("pool1"),
    ];
    let channels = 64;
    for (const [index, [squeezed, expanded]] of Object.entries(FIRES)) {
      const name = `fire${index}`;
      layers.push(
        make.convLayer(`${name}/squeeze1x1`, take, channels, squeezed, 1),
        make.reluLayer(`${name}/squeeze_relu`, 1),
        make.expandLayer(`${name}/expand`, take, squeezed, expanded),
        make.reluLayer(name),
      );
      channels = 2 * expanded;
      if (name === "fire3" || name === "fire5") layers.push(make.poolLayer(`pool${index}`));
    }
    layers.push(make.convLayer("conv10", take, channels, 1000, 1));
    layers.push(make.reluLayer("relu10"), make.meanLayer("pool10"));
    return layers;
  }

  const layers = squeezenet();
  if (taken !== weights.length) {
    throw new Error(`权重有 ${weights.length} 个数，应是 ${taken} 个`);
  }
  const afterWeights = kernel.used;
  let input = null;
  let gradients = null;

  // 换了尺寸，重新安排各层的激活图
  function resize(height, width) {
    if (input && input.height === height && input.width === width) return;
    kernel.rewind(afterWeights);
    input = tensor(height, width, 3);
    let x = input;
    let largest = input.size;
    for (const layer of layers) {
      layer.x = x;
      layer.y = tensor(...layer.shape(x), layer.channels ?? x.channels, layer.pad);
      x = layer.y;
      clear(x);
      largest = Math.max(largest, x.size);
      layer.prepare?.(x);
    }
    gradients = [kernel.reserve(largest), kernel.reserve(largest)];
  }

  function position(name) {
    const found = layers.findIndex((layer) => layer.name === name);
    if (found < 0) throw new Error(`没有 ${name} 这一层`);
    return found;
  }
  const like = (t, offset) => tensor(t.height, t.width, t.channels, t.pad, offset);

  function addTo(t, data) {
    const before = read(t).data;
    write(t, before.map((value, p) => value + data[p]));
  }

  return {
    simd: kernel.simd,
    layers: layers.map((layer) => layer.name),

    // image：[0, 1] 的 Float32Array，按 (行, 列, RGB)；算到 until 这一层，给出它的激活
    forward(image, height, width, until = "pool10") {
      resize(height, width);
      const f = kernel.floats;
      for (let p = 0; p < input.size; p++) f[input.offset + p] = image[p] * 255 - MEAN[p % 3];
      const last = position(until);
      for (let i = 0; i <= last; i++) layers[i].forward(layers[i].x, layers[i].y);
      return read(layers[last].y);
    },

    // 前向之后：从 from 层的 gradient 传回 [0, 1] 的图像；to 给一层的名字就停在那一层的输出；
    // more 是 {层名: 途中在那一层再加上的梯度}
    backward(from, gradient, { rule = "plain", to = null, more = {} } = {}) {
      const first = position(from);
      const last = to === null ? -1 : position(to);
      let gy = like(layers[first].y, gradients[0]);
      clear(gy);
      write(gy, gradient);
      for (let i = first, turn = 1; i > last; i--, turn = 1 - turn) {
        const { name, x, y } = layers[i];
        if (more[name]) addTo(gy, more[name]);
        const gx = like(x, gradients[turn]);
        clear(gx);
        layers[i].backward(gx, gy, x, y, rule);
        gy = gx;
      }
      const result = read(gy);
      if (to === null) result.data = result.data.map((value) => value * 255);
      return result;
    },

    read: (name) => read(layers[position(name)].y),

    // conv1 的一个核：27 个权重按 (入, 行, 列)，偏置，和像素减去的均值；conv1 的权重排在最前
    firstKernel: (channel) => ({
      kernel: weights.slice(27 * channel, 27 * channel + 27),
      bias: weights[27 * 64 + channel],
      mean: MEAN,
    }),
  };
}
