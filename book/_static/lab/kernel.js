// 一块内存，和在它上面做的矩阵乘法：两份写法，一份 WebAssembly（一条指令算四个数），一份普通的 JavaScript。
//
// multiply 算 C (m×n) += A (m×k) · B (k×n)：a、b、c 是它们在内存里的开头；A、C 相邻两行隔 lda、ldc 个数；
// B 每 8 列一叠，一叠里一行一行地排；n 是 8 的倍数。
function labKernel({ plain = false, pages = 16 } = {}) {
  const PAGE = 16384; // 一页内存有多少个 float32
  const memory = new WebAssembly.Memory({ initial: pages });
  let floats = new Float32Array(memory.buffer);
  let used = 0;

  function reserve(count) {
    const offset = used;
    used += (count + 7) & ~7;
    if (used > floats.length) {
      memory.grow(Math.ceil((used - floats.length) / PAGE));
      floats = new Float32Array(memory.buffer);
    }
    return offset;
  }

  // 一次算 2 行 × 4 列，八个和都留在局部变量里
  function multiplyPlainly(a, lda, b, c, ldc, m, k, n) {
    const f = floats;
    for (let j = 0; j < n; j += 4) {
      const column = b + (j >> 3) * 8 * k + (j & 4);
      for (let i = 0; i < m; i += 2) {
        const below = i + 1 < m ? lda : 0;
        let x0 = 0, x1 = 0, x2 = 0, x3 = 0;
        let y0 = 0, y1 = 0, y2 = 0, y3 = 0;
        const end = a + i * lda + k;
        for (let p = a + i * lda, q = column; p < end; p++, q += 8) {
          const x = f[p];
          const y = f[p + below];
          x0 += x * f[q];
          x1 += x * f[q + 1];
          x2 += x * f[q + 2];
          x3 += x * f[q + 3];
          y0 += y * f[q];
          y1 += y * f[q + 1];
          y2 += y * f[q + 2];
          y3 += y * f[q + 3];
        }
        const upper = c + i * ldc + j;
        f[upper] += x0;
        f[upper + 1] += x1;
        f[upper + 2] += x2;
        f[upper + 3] += x3;
        if (below === 0) continue;
        const lower = upper + ldc;
        f[lower] += y0;
        f[lower + 1] += y1;
        f[lower + 2] += y2;
        f[lower + 3] += y3;
      }
    }
  }

  // WebAssembly 的一份：一次算 4 行 × 8 列。字节在这里现写，不用编译器；下面每个小函数写出一小段指令。
  function assembleMultiply() {
    const integer = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...integer(n >>> 7)]);
    const list = (...items) => [...integer(items.length), ...items.flat(Infinity)];
    const section = (id, ...body) => {
      const bytes = body.flat(Infinity);
      return [id, ...integer(bytes.length), ...bytes];
    };
    const get = (local) => [0x20, local];
    const set = (local, ...value) => [value, 0x21, local];
    const constant = (n) => [0x41, n & 127];
    const add = (x, y) => [x, y, 0x6a];
    const subtract = (x, y) => [x, y, 0x6b];
    const less = (x, y) => [x, y, 0x48];
    const load = (address, offset) => [address, 0xfd, 0x00, 2, offset];
    const spread = (address) => [address, 0xfd, 0x09, 2, 0];
    const store = (address, value, offset) => [address, value, 0xfd, 0x0b, 2, offset];
    const addFour = (x, y) => [x, y, 0xfd, 0xe4, 1];
    const timesFour = (x, y) => [x, y, 0xfd, 0xe6, 1];
    const block = (...body) => [0x02, 0x40, body, 0x0b];
    const loop = (...body) => [0x03, 0x40, body, 0x0b];
    const again = [0x0c, 0];
    const againIf = (condition) => [condition, 0x0d, 0];
    const leaveIf = (condition) => [condition, 0x0d, 1];

    // 局部变量：八个参数，五个计数，各行的输入和输出地址，八个和，B 的两列，一个摊开的数
    const [a, lda, b, c, ldc, m, k, n, rows, count, q, from, to] = Array(13).keys();
    const input = (row) => 13 + row;
    const output = (row) => 17 + row;
    const sum = (row, half) => 21 + 2 * row + half;
    const column = (half) => 29 + half;
    const element = 31;

    // 还剩至少 height 行时，一次算 height 行
    function tile(height) {
      const each = (make) => [...Array(height).keys()].map(make);
      const both = (make) => each((row) => [0, 1].map((half) => make(row, half)));
      const firstAddress = (row) => [
        set(input(row), row ? add(get(input(row - 1)), get(lda)) : get(from)),
        set(output(row), row ? add(get(output(row - 1)), get(ldc)) : get(to)),
      ];
      const accumulate = (row, half) =>
        set(sum(row, half), addFour(get(sum(row, half)), timesFour(get(element), get(column(half)))));
      const oneColumn = loop(
        [0, 1].map((half) => set(column(half), load(get(q), 16 * half))),
        each((row) => [
          set(element, spread(get(input(row)))),
          set(input(row), add(get(input(row)), constant(4))),
          [0, 1].map((half) => accumulate(row, half)),
        ]),
        set(q, add(get(q), constant(32))),
        set(count, subtract(get(count), constant(1))),
        againIf(get(count)),
      );
      return block(
        loop(
          leaveIf(less(get(rows), constant(height))),
          each(firstAddress),
          set(from, add(get(input(height - 1)), get(lda))),
          set(to, add(get(output(height - 1)), get(ldc))),
          both((row, half) => set(sum(row, half), load(get(output(row)), 16 * half))),
          set(q, get(b)),
          set(count, get(k)),
          oneColumn,
          both((row, half) => store(get(output(row)), get(sum(row, half)), 16 * half)),
          set(rows, subtract(get(rows), constant(height))),
          again,
        ),
      );
    }

    const everyEightColumns = loop(
      set(rows, get(m)),
      set(from, get(a)),
      set(to, get(c)),
      tile(4),
      tile(1),
      set(b, get(q)),
      set(c, add(get(c), constant(32))),
      set(n, subtract(get(n), constant(8))),
      againIf(get(n)),
    );
    const locals = list([13, 0x7f], [11, 0x7b]);
    const code = [...locals, ...everyEightColumns.flat(Infinity), 0x0b];
    const name = (text) => list(...[...text].map((letter) => letter.charCodeAt(0)));
    const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    return new Uint8Array([
      ...header,
      ...section(1, list([0x60, list(...Array(8).fill(0x7f)), list()])),
      ...section(2, list([name("e"), name("m"), 2, 0, 1])),
      ...section(3, list(0)),
      ...section(7, list([name("multiply"), 0, 0])),
      ...section(10, list([integer(code.length), code])),
    ]);
  }

  function compiledMultiply() {
    const bytes = assembleMultiply();
    if (plain || !WebAssembly.validate(bytes)) return null;
    const module = new WebAssembly.Module(bytes);
    const compiled = new WebAssembly.Instance(module, { e: { m: memory } }).exports.multiply;
    return (a, lda, b, c, ldc, m, k, n) =>
      compiled(4 * a, 4 * lda, 4 * b, 4 * c, 4 * ldc, m, k, n);
  }

  const compiled = compiledMultiply();
  return {
    simd: compiled !== null,
    multiply: compiled ?? multiplyPlainly,
    reserve,
    get floats() {
      return floats;
    },
    get used() {
      return used;
    },
    // 之后占的都还回去
    rewind(mark) {
      used = mark;
    },
  };
}
