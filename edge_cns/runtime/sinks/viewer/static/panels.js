// Exam, evidence, health and events: rewritten when what they show has changed.

import { examWords, percent, plain } from "/words.js";

const get = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text != null) element.textContent = text;
  return element;
};
export const put = (id, text) => {
  const element = get(id);
  if (element.textContent !== text) element.textContent = text; // an unchanged text is not written: it would be read out
};

export function renderExam(exam, open) {
  const words = examWords(exam, open);
  put("statement", words.title);
  put("exam-why", words.why);
  put("exam-number", [exam.number, exam.fetus && `fetus ${exam.fetus}`].filter(Boolean).join(" · "));
  get("judge").hidden = !exam.finding;
  put("judged", exam.judged ? `${exam.judged}, and logged` : "");
  get("accept").setAttribute("aria-pressed", String(exam.judged === "accepted"));
  get("reject").setAttribute("aria-pressed", String(exam.judged === "rejected"));
  const view = (name, seen) => {
    const item = make("li", seen ? "seen" : "missing");
    item.append(make("span", "", seen ? "\u2713" : "\u25cb"), make("span", "", plain(name)));
    item.firstChild.setAttribute("aria-hidden", "true");
    item.append(make("span", "unseen", seen ? "seen" : "missing"));
    return item;
  };
  get("views").replaceChildren(...exam.views_seen.map((n) => view(n, true)), ...exam.views_missing.map((n) => view(n, false)));
}

export function renderEvidence(verdict, exam, open) {
  get("evidence").hidden = !open;
  const probabilities = (open && verdict?.probabilities) || {};
  const marks = (open && exam?.evidence) || {};
  const names = Object.keys({ ...probabilities, ...marks });
  const top = Math.max(...Object.values(probabilities));
  get("bars").replaceChildren(...names.map((name) => bar(name, probabilities[name], marks[name], probabilities[name] === top)));
}

function bar(name, share, mark, top) {
  const item = make("li", top ? "top" : "");
  const track = make("span", "track");
  const fill = make("span", "fill");
  fill.style.width = `${100 * (share ?? 0)}%`;
  track.append(fill);
  if (mark != null) {
    const line = make("span", "mark");
    line.style.left = `${100 * mark}%`;
    track.append(line);
  }
  const shown = make("span", "value", share == null ? "\u2013" : percent(share));
  if (mark != null) shown.append(make("span", "unseen", `, exam ${percent(mark)}`));
  item.append(make("span", "name", plain(name)), track, shown);
  return item;
}

const one = (value, digits = 1) => (value == null ? "\u2013" : value.toFixed(digits));

export function renderHealth(status, hello) {
  if (!status) return;
  const rows = [
    ["Source", hello?.source, !status.connected && (status.source_detail || "disconnected")],
    ["Frames in, out", `${one(status.fps_in)} \u2192 ${one(status.fps_out)} /s`],
    ["Dropped", `${status.dropped} of ${status.seen ?? 0}`],
    ["Engine", status.backend || hello?.backend, (status.engine !== "up" || status.slow) && [status.backend, status.engine !== "up" && status.engine, status.slow && "slow"].filter(Boolean).join(", ")],
    ["Signature", hello?.signature, hello?.signature?.startsWith("not verified") && hello.signature],
    ["Restarts", one(status.restarts, 0), status.restarts > 0 && `${status.restarts}`],
    ["Latency p50, p99", `${one(status.latency_ms[0])}, ${one(status.latency_ms[1])} ms`],
    ["of it the network", `${one(status.invoke_ms[0])}, ${one(status.invoke_ms[1])} ms`],
    ["Rate", status.rate || "full", status.rate === "reduced" && `reduced: ${status.rate_reason || "policy"}`],
    ["Drift", status.drift == null ? "not watched" : "none", status.drift && "frames differ"],
    ["Recording", status.recording ?? "off", status.recording === "stopped" && "stopped"],
  ];
  if (status.temperature_c != null) rows.push(["Temperature", `${one(status.temperature_c, 0)} \u00b0C`]);
  if (status.battery) rows.push(["Battery", `${one(status.battery.percent, 0)} %${status.battery.charging ? ", charging" : ""}`]);
  if (status.failed_sinks) rows.push(["Outputs", "", `${status.failed_sinks} failed`]);
  const odd = rows.filter((row) => row[2]).length;
  get("health").replaceChildren(...rows.map(([name, good, wrong]) => {
    const row = make("div", wrong ? "odd" : "");
    const said = make("dd", "", wrong || good || "\u2013");
    if (name === "Dropped") said.title = Object.entries(status.dropped_by).filter(([, n]) => n).map(([cause, n]) => `${cause} ${n}`).join(", ");
    row.append(make("dt", "", name), said);
    return row;
  }));
  put("health-word", odd ? `! look at ${odd}` : "all well");
  get("health-word").className = odd ? "odd" : "";
}

export function renderEvents(items, sentAt) {
  const now = Date.now() - (performance.now() - sentAt);
  get("events").replaceChildren(...items.slice(-4).reverse().map((item) => {
    const row = make("li");
    const at = new Date(now - item.ago_ms).toLocaleTimeString([], { hour12: false });
    row.append(`${at} `, make("b", "", plain(item.event)), item.detail ? ` ${item.detail}` : "");
    row.title = row.textContent;
    return row;
  }));
}
