// A picture to keep: image, evidence, and the words that belong to it.

const WIDTH = 1280;

export function snapshot(picture, shown, { remarks, open, age }) {
  const header = picture.header;
  const scale = header ? WIDTH / header.width : 1;
  const height = header ? Math.round(header.height * scale) : 480;
  const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: height + 132 });
  const context = canvas.getContext("2d");
  context.fillStyle = "#07090b";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const lost = shown.kind === "no_signal" || shown.kind === "stale";
  if (picture.bitmap) {
    context.filter = lost ? "grayscale(1) brightness(.3)" : "none";
    picture.paint(context, 0, 0, scale, 1);
    context.filter = "none";
  }
  if (lost || shown.kind === "frozen") write(context, shown.title, WIDTH / 2, lost ? height / 2 : 60, 56, "#ee9a5e", "center");
  write(context, shown.title, 20, height + 42, 30, "#dfe5e8");
  write(context, [shown.why, `image age ${age}`].filter(Boolean).join(" · "), 20, height + 74, 18, "#b7c1c8");
  const notice = ["Research use only, not a medical device", remarks, open ? "" : "discreet"].filter(Boolean).join(" · ");
  write(context, notice, 20, height + 108, 18, "#dba552");
  write(context, new Date().toLocaleString([], { hour12: false }), WIDTH - 20, height + 42, 18, "#b7c1c8", "right");
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function write(context, text, x, y, size, colour, align = "left") {
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = align;
  context.fillStyle = colour;
  context.fillText(text, x, y, WIDTH - 40);
}

export function save(blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `snapshot-${new Date().toISOString().replace(/[:.]/g, "-")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
