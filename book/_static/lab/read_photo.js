// 读出一张图，短边缩到 size 再取中央的方块，同 cnnlab.load_image。source 是 data: 或 blob: 网址；
// 浏览器读不出时抛错。
async function labReadPhoto(source, size) {
  const { fitSquare } = labPictures();
  const image = Object.assign(new Image(), { src: source });
  await image.decode();
  const shortest = Math.min(image.naturalWidth, image.naturalHeight);
  if (!shortest) throw new Error("没有像素");

  // 很大的照片先由浏览器缩一道；随书的照片不缩，与 Python 里读到的相同
  const scale = Math.min(1, (3 * size) / shortest);
  const width = Math.round(image.naturalWidth * scale);
  const height = Math.round(image.naturalHeight * scale);
  const draft = Object.assign(document.createElement("canvas"), { width, height });
  const context = draft.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // 透明的地方垫白色
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);

  const bytes = context.getImageData(0, 0, width, height).data;
  const pixels = Float32Array.from({ length: width * height * 3 }, (_, p) => {
    return bytes[Math.floor(p / 3) * 4 + (p % 3)] / 255;
  });
  return { data: fitSquare(pixels, height, width, size), size };
}
