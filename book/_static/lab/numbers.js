// 小工具：解码随页的权重、可重复的随机数、softmax。网页和 Worker 里都用，不引用外面的名字。
function labNumbers() {
  // Python 的 base64.b85encode 用的 85 个字符：五个字符是四个字节
  const DIGITS =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

  function decodeBytes(text) {
    const values = new Uint8Array(128);
    for (let i = 0; i < DIGITS.length; i++) values[DIGITS.charCodeAt(i)] = i;
    const words = Math.ceil(text.length / 5);
    const whole = text.padEnd(5 * words, "~"); // 末尾不满五个字符的，补满再丢掉多出的字节
    const view = new DataView(new ArrayBuffer(4 * words));
    for (let w = 0; w < words; w++) {
      let word = 0;
      for (let j = 0; j < 5; j++) word = word * 85 + values[whole.charCodeAt(5 * w + j)];
      view.setUint32(4 * w, word);
    }
    return new Uint8Array(view.buffer, 0, Math.floor((text.length * 4) / 5));
  }

  // 半精度：1 位符号、5 位指数、10 位尾数；指数为 0 时没有隐含的那个 1
  function decodeHalves(text) {
    const bytes = decodeBytes(text);
    const values = new Float32Array(bytes.length / 2);
    const powers = Float64Array.from({ length: 32 }, (_, e) => 2 ** (Math.max(e, 1) - 25));
    for (let i = 0; i < values.length; i++) {
      const bits = bytes[2 * i] | (bytes[2 * i + 1] << 8);
      const exponent = (bits >> 10) & 31;
      const fraction = (exponent ? 1024 : 0) + (bits & 1023);
      values[i] = (bits & 0x8000 ? -1 : 1) * powers[exponent] * fraction;
    }
    return values;
  }

  // 同一个种子给同样的数：均匀、正态、整数（含两端）
  function random(seed) {
    let state = (Math.imul(seed, 2654435761) + 1) | 0;
    function uniform() {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    }
    const normal = () =>
      Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    const integer = (low, high) => low + Math.floor(uniform() * (high - low + 1));
    return { uniform, normal, integer };
  }

  const largest = (values) => values.reduce((a, b) => (b > a ? b : a), -Infinity);

  function softmax(scores) {
    const top = largest(scores);
    const powers = scores.map((score) => Math.exp(score - top));
    const total = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / total);
  }

  function oneHot(length, index, value = 1) {
    const vector = new Float32Array(length);
    vector[index] = value;
    return vector;
  }

  return { decodeHalves, random, largest, softmax, oneHot };
}
