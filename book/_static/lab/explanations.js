// 一类的证据在照片的哪里：遮挡、三种回传规则的梯度、SmoothGrad、类激活图、Grad-CAM、激活图。
// image 是 {data, size}。要走很多步的是生成器：每走一步 yield 到此为止的结果，最后 return 全部；
// 谁来跑、何时停、画成什么样，由调用的人定。能分给几个 Worker 的带 part（[第几份, 共几份]），各份的 sum 相加就是全部。
function labExplanations(net) {
  const { random, largest, softmax, oneHot } = labNumbers();
  const { fillColor, cover } = labPictures();

  const scores = ({ data, size }) => net.forward(data, size, size).data;

  // 一个方向上各扇窗的起点；最后一扇的末端正好齐边
  function windowStarts(length, window, stride) {
    const starts = [];
    for (let start = 0; start < length - window; start += stride) starts.push(start);
    return [...starts, length - window];
  }

  // 每一扇窗盖住时量一个数；part 是几个人分着算时自己的那一份，more 是一并交出去的
  function* overWindows({ data, size }, { window, stride, fill, part = [0, 1] }, measure, more) {
    const color = fillColor(data, fill);
    const starts = windowStarts(size, window, stride);
    const n = starts.length;
    const now = { sum: new Float32Array(n * n), count: 0, total: n * n, starts, ...more };
    for (let i = part[0]; i < n * n; i += part[1]) {
      const [top, left] = [starts[Math.floor(i / n)], starts[i % n]];
      now.sum[i] = measure({ data: cover(data, size, top, left, window, color), size });
      now.count += 1;
      yield { ...now };
    }
    return now;
  }

  // 遮挡图：每一扇窗盖住时，目标类的得分（或概率）掉了多少
  function* occlusion(image, options) {
    const { target, output = "score" } = options;
    function measure(seen) {
      const found = scores(seen);
      return output === "score" ? found[target] : softmax(found)[target];
    }
    const before = measure(image);
    return yield* overWindows(image, options, (seen) => before - measure(seen), { before });
  }

  // 盖住每一扇窗，第一名还是不是 target：换了的记 1
  function* flips(image, options) {
    return yield* overWindows(image, options, (seen) => {
      const found = scores(seen);
      return Number(found[options.target] < largest(found));
    });
  }

  // 一类的得分对像素的梯度，带符号；rule 是 ReLU 的回传规则
  function scoreGradient(image, { target, rule = "plain" }) {
    scores(image);
    return net.backward("pool10", oneHot(1000, target), { rule }).data;
  }

  function gradient(image, { target, rule = "plain", timesInput = false }) {
    const found = scoreGradient(image, { target, rule });
    return { gradient: timesInput ? found.map((g, p) => g * image.data[p]) : found };
  }

  // SmoothGrad：加 samples 次噪声，带符号的梯度求和；第几次用什么噪声只由种子定，与分给谁无关
  function* smoothGradient(image, { target, samples, noise, seed = 0, part = [0, 1] }) {
    const { data, size } = image;
    const sigma = noise * (largest(data) + largest(data.map((value) => -value)));
    const sum = new Float32Array(data.length);
    let count = 0;
    for (let i = part[0]; i < samples; i += part[1]) {
      const { normal } = random(1000 * seed + i + 1);
      const noisy = data.map((value) => value + sigma * normal());
      const found = scoreGradient({ data: noisy, size }, { target });
      for (let p = 0; p < sum.length; p++) sum[p] += found[p];
      count += 1;
      yield { sum, count, total: samples };
    }
    return { sum, count, total: samples };
  }

  function channelMap({ data, height, width, channels }, channel) {
    return Float32Array.from({ length: height * width }, (_, p) => data[p * channels + channel]);
  }

  // 类激活图：SqueezeNet 的分类卷积（ReLU 之后）本身就是
  function classActivation({ data, size }, { target }) {
    const found = net.forward(data, size, size, "relu10");
    return { heat: channelMap(found, target), height: found.height, width: found.width };
  }

  // Grad-CAM：layer 的激活图按得分对它的平均梯度加权相加，只留正的
  function gradCam(image, { target, layer }) {
    scores(image);
    const slope = net.backward("pool10", oneHot(1000, target), { to: layer }).data;
    const { data, height, width, channels } = net.read(layer);
    const area = height * width;
    const weights = new Float32Array(channels);
    for (let p = 0; p < slope.length; p++) weights[p % channels] += slope[p] / area;
    const heat = new Float32Array(area);
    for (let p = 0; p < data.length; p++) {
      heat[Math.floor(p / channels)] += weights[p % channels] * data[p];
    }
    return { heat: heat.map((value) => Math.max(0, value)), height, width };
  }

  const activations = ({ data, size }, { layer }) => net.forward(data, size, size, layer);

  // 第一个卷积的一个核走遍照片（ReLU 之前），和这个核
  function firstMap({ data, size }, { channel }) {
    const found = net.forward(data, size, size, "conv1");
    const { height, width } = found;
    return { map: channelMap(found, channel), height, width, ...net.firstKernel(channel) };
  }

  // 一个通道里激活最大的那个神经元，和它对像素的梯度
  function neuron({ data, size }, { layer, channel, rule = "guided" }) {
    const found = net.forward(data, size, size, layer);
    const map = channelMap(found, channel);
    const best = map.indexOf(largest(map));
    const wanted = oneHot(found.data.length, best * found.channels + channel);
    const slope = net.backward(layer, wanted, { rule }).data;
    const { height, width } = found;
    const place = { row: Math.floor(best / width), column: best % width, height, width };
    return { gradient: slope, value: map[best], ...place };
  }

  // 换一类，图变不变：同一种规则下两类梯度的余弦
  function likeness(image, { target, other, rule }) {
    const a = scoreGradient(image, { target, rule });
    const b = scoreGradient(image, { target: other, rule });
    const dot = (x, y) => x.reduce((sum, value, p) => sum + value * y[p], 0);
    return { cosine: dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)) };
  }

  return {
    scores,
    occlusion,
    flips,
    gradient,
    smoothGradient,
    channelMap,
    classActivation,
    gradCam,
    activations,
    firstMap,
    neuron,
    likeness,
  };
}
