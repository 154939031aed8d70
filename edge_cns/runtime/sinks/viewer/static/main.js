// Puts the page together: what is known, what is shown of it, and what may be done.

import { act, bindControls } from "/controls.js";
import { ask, withdraw } from "/dialogs.js";
import { Link } from "/link.js";
import { Names } from "/names.js";
import { put, renderEvents, renderEvidence, renderExam, renderHealth } from "/panels.js";
import { Picture } from "/picture.js";
import { Timeline } from "/timeline.js";
import { display, plain, seconds } from "/words.js";

const STATUS_MS = 3000; // the runtime says once a second how it is doing
const BARS_MS = 100; // bars that change faster cannot be read
const get = (id) => document.getElementById(id);
const known = { up: false, lostWhy: "connecting", remarks: "", ended: "", verdict: null, exam: null, status: null, hello: null, recordsMs: 0, open: false };
const picture = new Picture(get("picture"));
const timeline = new Timeline(get("strip"), get("timeline-text"), get("elapsed"));
let shown = { kind: "", title: "", why: "" };
let barsAt = 0;
let statusAt = -Infinity;
let shownSince = performance.now();
let pictureAt = null; // when the frame on the canvas was captured, on this page's clock

const link = new Link({ onMessage, onPicture, onChange });
const names = new Names({
  say: (command) => link.say(command),
  confirm: async () => (await ask({ title: "Show names on this screen?", text: "The patient may see it. They hide after two minutes without touch or key.", yes: "Show names" })) !== null,
  onHide: forgetNames,
  button: get("names"),
  marker: get("marker"),
});

const take = {
  hello(message) {
    known.hello = message;
    known.remarks = message.remarks;
    known.ended = message.ended;
    names.follow(message.mode);
    known.open = names.shown;
    put("bundle", message.bundle.replace(/\.cns$/, ""));
    const remarks = ["", "not a medical device", ...message.remarks.split(", ").filter(Boolean)];
    put("remarks", remarks.join("\u00a0\u00b7 "));
    renderAll();
  },
  verdict(message, sentAt) {
    known.verdict = { ...message, sentAt };
    if (sentAt - barsAt < BARS_MS) return;
    barsAt = sentAt;
    renderEvidence(known.verdict, known.exam, known.open);
    caption();
  },
  exam(message) {
    known.exam = message;
    renderExam(message, known.open);
    renderEvidence(known.verdict, message, known.open);
  },
  timeline(message, sentAt) {
    timeline.take(message, sentAt);
    timeline.draw(performance.now());
  },
  status(message, sentAt) {
    known.status = message;
    statusAt = sentAt;
    renderHealth(message, known.hello);
  },
  events: (message, sentAt) => renderEvents(message.items, sentAt),
  answer: (message) => act.answered(message),
  beat() {},
};

// What was sent with names before the server heard that they are to go.
const tellsTooMuch = () => known.hello?.mode === "open" && !names.shown;
const ALWAYS = ["hello", "answer", "beat"];

function onMessage(message, sentAt) {
  known.up = true;
  known.recordsMs = message.records_ms ?? 0;
  if (ALWAYS.includes(message.type) || !tellsTooMuch()) take[message.type]?.(message, sentAt);
  update();
}

async function onPicture(header, grid, jpeg, sentAt) {
  try {
    if (tellsTooMuch()) header.outline = header.heat = null;
    await picture.show(header, header.heat && grid, jpeg);
    pictureAt = sentAt - header.age_ms;
    caption();
  } finally {
    link.say({ do: "seen" });
  }
}

function onChange() {
  known.up = link.up;
  known.lostWhy = link.why;
  if (!link.up) {
    known.verdict = null;
    if (names.wanted || names.shown) names.forget();
  }
  update();
}

// Nothing that could hold a name stays in the document, read out or not.
function forgetNames() {
  known.open = false;
  const { verdict, exam } = known;
  if (verdict) known.verdict = { ...verdict, label: null, probabilities: null, probability: null, view: null, reason: "" };
  if (exam) known.exam = { ...exam, label: null, evidence: null, score: null, reason: "" };
  picture.hideEvidence();
  timeline.hideNames();
  renderEvents([], performance.now());
  for (const id of ["polite", "alert"]) put(id, "");
  withdraw();
  renderAll();
  update();
}

function renderAll() {
  if (known.exam) renderExam(known.exam, known.open);
  renderEvidence(known.verdict, known.exam, known.open);
  renderHealth(known.status, known.hello);
  timeline.draw(performance.now(), known.up);
  caption();
}

function caption() {
  const { verdict } = known;
  const named = known.open && (verdict?.label ?? leading(verdict?.probabilities));
  get("caption").hidden = !(named && picture.glow && picture.heat);
  put("caption", named ? `Heat map: evidence for ${plain(named)}` : "");
}

const leading = (probabilities) => probabilities && Object.entries(probabilities).sort((a, b) => b[1] - a[1])[0]?.[0];

// What holds now; called often, and changes the page only where that changed.
function update() {
  const now = performance.now();
  known.outlined = picture.heat && Boolean(picture.header?.outline);
  const next = display(known, now);
  if (next.kind !== shown.kind || next.title !== shown.title) {
    shownSince = now;
    document.body.dataset.kind = next.kind;
    get("icon").setAttribute("href", `#i-${next.kind}`);
    const veiled = ["no_signal", "stale", "frozen"].includes(next.kind);
    get("veil").hidden = !veiled;
    get("veil-icon").setAttribute("href", `#i-${next.kind}`);
    announce(next);
  }
  put("words", next.title);
  put("why", next.why);
  put("veil-words", next.title);
  put("veil-why", next.why);
  shown = next;
  showFallback();
  act.follow(known, shown);
}

let announcing = 0;
function announce(next) {
  clearTimeout(announcing);
  const urgent = next.kind === "no_signal" || next.kind === "stale";
  const say = () => put(urgent ? "alert" : "polite", `${next.title}. ${next.why}`);
  if (urgent) say();
  else announcing = setTimeout(say, 700); // a state that lasts; flicker is not read out
}

function showFallback() {
  const { verdict } = known;
  get("fallback").hidden = !verdict?.fallback;
  put("fallback", verdict?.fallback ? `\u26a0 Fallback engine${verdict.engine ? ` (${verdict.engine})` : ""} in use${verdict.fallback_reason ? `: ${verdict.fallback_reason}` : ""}` : "");
}

function ages() {
  const now = performance.now();
  const { verdict } = known;
  const lost = shown.kind === "no_signal" || shown.kind === "stale";
  const age = verdict && !lost ? now - verdict.sentAt + verdict.age_ms : pictureAt === null ? null : now - pictureAt;
  put("age-of", lost ? "Last image" : "Image age");
  put("age", age === null ? "\u2013" : `${seconds(age)}${lost ? " ago" : ""}`);
  put("behind", lost || !verdict?.frames_behind ? "\u2013" : `${verdict.frames_behind} images`);
  put("since", seconds(now - shownSince));
  const old = !known.up || now - statusAt > STATUS_MS;
  document.body.toggleAttribute("data-old-status", old);
  if (old) put("health-word", "not known now");
  else if (lost && get("health-word").textContent === "all well") put("health-word", "no signal");
}

bindControls({ link, names, picture, known, state: () => shown, age: () => get("age").textContent, redraw: () => (picture.draw(), caption()) });
new ResizeObserver(([entry]) => document.body.style.setProperty("--top", `${entry.target.offsetHeight}px`)).observe(get("top"));
setInterval(update, 50);
setInterval(ages, 100);
setInterval(() => names.tick(performance.now()), 500);
setInterval(() => timeline.draw(performance.now(), known.up), 1000);
update();
