// The exam as a strip: what was stated when. Height and texture tell the kinds apart, not colour alone.

import { plain, seconds } from "/words.js";

const KINDS = {
  review: { words: "review suggested", height: 1, colour: "--review" },
  clear: { words: "no review suggested", height: 0.25, colour: "--clear" },
  class: { words: "stated", height: 0.6, colour: "--clear" },
  indeterminate: { words: "indeterminate", height: 0.5, colour: "--indeterminate", hatch: 5 },
  not_supported_view: { words: "not a supported view", height: 0.5, colour: "--unsupported", hatch: 9 },
  frozen: { words: "frozen", height: 0.12, colour: "--frozen" },
  no_signal: { words: "no signal", height: 1, colour: "--lost", hatch: 7 },
};
const LEAST_MS = 60000;

export class Timeline {
  constructor(canvas, text, elapsed) {
    Object.assign(this, { canvas, text, elapsedText: elapsed });
    this.runs = [];
    this.beganAt = null;
    new ResizeObserver(() => this.draw(performance.now())).observe(canvas);
  }

  take(message, sentAt) {
    this.runs = [...(message.from ? this.runs.slice(0, message.from) : []), ...message.runs];
    this.beganAt = sentAt - message.elapsed_ms;
  }

  hideNames() {
    for (const run of this.runs) run[2] = null;
  }

  draw(now, running = true) {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const context = canvas.getContext("2d");
    const elapsed = this.elapsed(now, running);
    const colours = getComputedStyle(document.body);
    const span = Math.max(LEAST_MS, elapsed);
    this.runs.forEach(([start, kind], i) => {
      const end = i + 1 < this.runs.length ? this.runs[i + 1][0] : elapsed;
      paintRun(context, colours, KINDS[kind] ?? KINDS.no_signal, start / span, Math.max(end, start) / span, ratio);
    });
    this.elapsedText.textContent = seconds(elapsed);
    const summary = this.summary(elapsed).join(" \u00b7 ") || "nothing stated yet";
    if (this.text.textContent !== summary) this.text.textContent = summary;
  }

  elapsed(now, running) {
    if (this.beganAt === null) return 0;
    if (running || this.stoppedAt === undefined) this.stoppedAt = now;
    return Math.max(0, this.stoppedAt - this.beganAt);
  }

  // For who cannot see the strip, and for who can: how long each kind was shown.
  summary(elapsed) {
    const sums = new Map();
    this.runs.forEach(([start, kind, label], i) => {
      const end = i + 1 < this.runs.length ? this.runs[i + 1][0] : elapsed;
      const words = label ? plain(label) : (KINDS[kind] ?? KINDS.no_signal).words;
      sums.set(words, (sums.get(words) ?? 0) + Math.max(0, end - start));
    });
    return [...sums].sort((a, b) => b[1] - a[1]).map(([words, ms]) => `${words} ${seconds(ms)}`);
  }
}

function paintRun(context, colours, kind, from, to, ratio) {
  const { canvas } = context;
  const x = from * canvas.width;
  const width = Math.max(1.5 * ratio, (to - from) * canvas.width);
  const height = kind.height * (canvas.height - 6 * ratio);
  const y = canvas.height - 2 * ratio - height;
  const colour = colours.getPropertyValue(kind.colour);
  context.save();
  context.fillStyle = context.strokeStyle = colour;
  if (!kind.hatch) context.fillRect(x, y, width, height);
  else {
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.globalAlpha = 0.25;
    context.fillRect(x, y, width, height);
    context.globalAlpha = 1;
    context.lineWidth = 1.5 * ratio;
    const step = kind.hatch * ratio;
    context.beginPath();
    for (let at = Math.floor((x - height) / step) * step; at < x + width; at += step) {
      context.moveTo(at, y + height);
      context.lineTo(at + height, y);
    }
    context.stroke();
  }
  context.restore();
}
