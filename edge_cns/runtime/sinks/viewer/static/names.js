// Discreet, or with names. Names need a second's hold or a confirmed press, and go by themselves.

const HOLD_MS = 1000;
const IDLE_MS = 120000;
const RENEW_MS = 20000;

export class Names {
  // say(command) sends; confirm() asks and resolves to true or false; onHide() wipes names from the page.
  constructor({ say, confirm, onHide, button, marker }) {
    Object.assign(this, { say, confirm, onHide, button, marker });
    this.wanted = false; // somebody asked here
    this.shown = false; // and the server sends them
    this.holding = null;
    button.addEventListener("pointerdown", (event) => event.button === 0 && this.press());
    for (const ending of ["pointerup", "pointercancel", "pointerleave"]) button.addEventListener(ending, (event) => this.release(event.type === "pointerup"));
    button.addEventListener("click", (event) => event.detail === 0 && this.click());
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (!event.repeat) this.press();
    });
    button.addEventListener("keyup", (event) => (event.key === " " || event.key === "Enter") && this.release(true));
    for (const sign of ["pointerdown", "pointermove", "wheel", "keydown"]) addEventListener(sign, () => this.active(), { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => document.hidden && this.hide());
    this.activeAt = this.renewedAt = performance.now();
  }

  press() {
    if (this.wanted) {
      this.hide();
      return;
    }
    if (this.button.disabled) return;
    this.button.classList.add("holding");
    this.holding = setTimeout(() => {
      this.stopHolding();
      this.ask();
    }, HOLD_MS);
  }

  // A screen reader presses without pointer or key.
  async click() {
    if (this.wanted) this.hide();
    else if (await this.confirm()) this.ask();
  }

  async release(pressed) {
    if (this.holding === null) return;
    this.stopHolding();
    if (pressed && (await this.confirm())) this.ask();
  }

  stopHolding() {
    clearTimeout(this.holding);
    this.holding = null;
    this.button.classList.remove("holding");
  }

  ask() {
    this.wanted = this.say({ do: "names", show: true });
    this.activeAt = this.renewedAt = performance.now();
  }

  hide() {
    if (!this.wanted && !this.shown) return;
    this.say({ do: "names", show: false });
    this.forget();
  }

  forget() {
    this.wanted = this.shown = false;
    this.stopHolding();
    this.render(0);
    this.onHide();
  }

  // The server has said which kind of messages follow.
  follow(mode) {
    if (mode === "open" && this.wanted) this.shown = true;
    else if (mode === "open") this.say({ do: "names", show: false });
    else if (this.shown) this.forget();
    this.render(IDLE_MS);
  }

  active() {
    const now = performance.now();
    this.activeAt = now;
    if (this.shown && now - this.renewedAt > RENEW_MS) {
      this.renewedAt = now;
      this.say({ do: "names", show: true });
    }
  }

  tick(now) {
    const left = IDLE_MS - (now - this.activeAt);
    if (this.wanted && left <= 0) this.hide();
    else this.render(left);
  }

  render(left) {
    const whole = Math.max(0, Math.ceil(left / 1000));
    const words = this.shown ? `Names shown \u00b7 ${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}` : "Discreet";
    if (this.marker.textContent !== words) this.marker.textContent = words;
    document.body.dataset.mode = this.shown ? "open" : "discreet";
    this.button.setAttribute("aria-pressed", String(this.shown));
    const label = this.shown ? "Hide names" : "Show names";
    if (this.button.firstElementChild.textContent !== label) this.button.firstElementChild.textContent = label;
  }
}
