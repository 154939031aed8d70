// The image, with its evidence over it.

const GLOW = new Uint8ClampedArray(256 * 3);
const FALL = 1.3; // weak evidence tints less than its share: it covers most of the image
for (let i = 0; i < 256; i += 1) GLOW.set([255, 60 + i * 0.5, 15 + i * 0.2], i * 3);

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.bitmap = null;
    this.header = null;
    this.glow = null;
    this.heat = true;
    this.opacity = 0.55;
    this.asked = 0; // pictures that were given, and the last of them that may still be drawn over
    this.drawn = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // Decodes and shows one; resolves when it is drawn.
  async show(header, grid, jpeg) {
    this.asked += 1;
    const number = this.asked;
    const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    if (number <= this.drawn) {
      bitmap.close();
      return;
    }
    this.drawn = number;
    this.bitmap?.close();
    this.bitmap = bitmap;
    this.header = header;
    this.glow = grid && glowOf(grid, header.heat);
    this.draw();
  }

  // Evidence may name nothing, and still tell: it goes when the page becomes discreet.
  hideEvidence() {
    this.drawn = this.asked; // what is being decoded was sent before
    this.glow = null;
    if (this.header) this.header.outline = null;
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (!this.bitmap || !width || !height) return;
    const scale = Math.min(width / this.header.width, height / this.header.height);
    const x = (width - this.header.width * scale) / 2;
    const y = (height - this.header.height * scale) / 2;
    this.paint(context, x, y, scale, ratio);
  }

  // The image at a place of any canvas; scale is canvas px per px of the frame.
  paint(context, x, y, scale, ratio) {
    const { bitmap, header } = this;
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, x, y, header.width * scale, header.height * scale);
    if (!this.heat || !header.region) return;
    if (this.glow) {
      const [rx, ry, rw, rh] = header.region;
      context.globalAlpha = this.opacity;
      context.drawImage(this.glow, x + rx * scale, y + ry * scale, rw * scale, rh * scale);
      context.globalAlpha = 1;
    }
    if (header.outline) outline(context, header.outline.map((v, i) => v * scale + (i === 0 ? x : i === 1 ? y : 0)), ratio);
  }
}

function glowOf(grid, { rows, columns }) {
  const canvas = new OffscreenCanvas(columns, rows);
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let i = 0; i < grid.length; i += 1) {
    image.data.set(GLOW.subarray(grid[i] * 3, grid[i] * 3 + 3), i * 4);
    image.data[i * 4 + 3] = 255 * (grid[i] / 255) ** FALL;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// Corners round the region, and a dashed line between them: seen on bright and on dark tissue.
function outline(context, [x, y, w, h], ratio) {
  const corner = Math.min(w, h) * 0.25;
  const path = new Path2D();
  for (const [cx, cy, dx, dy] of [[x, y, 1, 1], [x + w, y, -1, 1], [x + w, y + h, -1, -1], [x, y + h, 1, -1]]) {
    path.moveTo(cx + dx * corner, cy);
    path.lineTo(cx, cy);
    path.lineTo(cx, cy + dy * corner);
  }
  for (const [colour, wide] of [["#000", 5], ["#f0c37e", 2.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = wide * ratio;
    context.stroke(path);
  }
  context.lineWidth = ratio;
  context.setLineDash([4 * ratio, 5 * ratio]);
  context.strokeRect(x, y, w, h);
  context.setLineDash([]);
}
