// The connection: comes back by itself, and knows how late what it hears is.

const SILENT_MS = 900; // the server says something every 300 ms
const OPENING_MS = 2000;
const PAUSES_MS = [250, 500, 1000, 2000];
const WINDOW_MS = 30000;

// Clocks of two machines share no zero. The smallest difference ever seen is that of a message that came at once; what
// exceeds it is delay. The two newest windows are kept, because clocks drift.
class Delay {
  constructor() {
    this.windows = [];
  }

  of(sentMs, now) {
    const difference = now - sentMs;
    const newest = this.windows[0];
    if (!newest || now - newest.since > WINDOW_MS) this.windows = [{ since: now, least: difference }, ...this.windows.slice(0, 1)];
    else newest.least = Math.min(newest.least, difference);
    return difference - Math.min(...this.windows.map((window) => window.least));
  }
}

export class Link {
  // onMessage(message, sentAt) and onPicture(header, grid, jpeg, sentAt): sentAt is on the clock of performance.now().
  constructor({ onMessage, onPicture, onChange }) {
    Object.assign(this, { onMessage, onPicture, onChange });
    this.up = false;
    this.why = "connecting";
    this.failures = 0;
    this.heardAt = 0;
    this.open();
    setInterval(() => this.watch(), 50);
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/live`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.startedAt = performance.now();
    this.delay = new Delay();
    socket.onmessage = (event) => socket === this.socket && this.hear(event.data);
    socket.onclose = (event) => socket === this.socket && this.lose(event.code === 1013 ? event.reason : "connection lost");
  }

  hear(data) {
    const now = performance.now();
    this.heardAt = now;
    this.failures = 0;
    if (typeof data === "string") {
      const message = JSON.parse(data);
      const sentAt = now - this.delay.of(message.sent_ms, now);
      this.rise();
      this.onMessage(message, sentAt);
      return;
    }
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const cells = header.heat ? header.heat.rows * header.heat.columns : 0;
    const grid = cells ? new Uint8Array(data, 4 + length, cells) : null;
    const sentAt = now - this.delay.of(header.sent_ms, now);
    this.onPicture(header, grid, new Uint8Array(data, 4 + length + cells), sentAt);
  }

  rise() {
    if (this.up) return;
    this.up = true;
    this.onChange();
  }

  watch() {
    const now = performance.now();
    if (this.up && now - this.heardAt > SILENT_MS) this.lose("connection lost: the server is silent");
    else if (!this.up && this.socket && now - this.startedAt > OPENING_MS) this.lose(this.failures ? this.why : "the server does not answer");
  }

  lose(why) {
    const socket = this.socket;
    this.socket = null;
    socket.onmessage = socket.onclose = null;
    socket.close();
    this.up = false;
    this.why = why;
    this.onChange();
    const pause = PAUSES_MS[Math.min(this.failures, PAUSES_MS.length - 1)];
    this.failures += 1;
    if (this.failures % 4 === 0) this.askForLogin();
    setTimeout(() => this.open(), pause);
  }

  // A server that was started again knows nobody: the page then asks for the token.
  async askForLogin() {
    try {
      if ((await fetch("/page.css")).status === 401) location.reload();
    } catch {
      // not there yet
    }
  }

  say(command) {
    if (!this.up || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(command));
    return true;
  }
}
