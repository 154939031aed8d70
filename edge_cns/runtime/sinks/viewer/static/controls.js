// Buttons and keys: the same actions by both.

import { ask, showKeys, tell } from "/dialogs.js";
import { save, snapshot } from "/snapshot.js";

const get = (id) => document.getElementById(id);
const DONE = { freeze: "", reset: "A new exam has begun", judge: "Logged" };
let context = null;
let frozen = false;

export const act = {
  freeze: () => send({ do: "freeze", on: !frozen }),

  async snapshot() {
    const { picture, known, state, age } = context;
    save(await snapshot(picture, state(), { remarks: known.remarks, open: known.open, age: age() }));
    tell("Snapshot saved by the browser");
  },

  heat() {
    context.picture.heat = !context.picture.heat;
    get("heat").setAttribute("aria-pressed", String(context.picture.heat));
    context.redraw();
  },

  opacity(step) {
    get("opacity").value = Number(get("opacity").value) + step;
    get("opacity").dispatchEvent(new Event("input"));
  },

  room() {
    const on = document.body.toggleAttribute("data-room");
    get("room").setAttribute("aria-pressed", String(on));
    context.redraw();
  },

  async reset() {
    const text = "The evidence so far is forgotten. Do this for another patient or fetus, or to start over.";
    if ((await ask({ title: "Begin a new exam?", text, yes: "New exam" })) !== null) send({ do: "reset" });
  },

  async judge(accepted) {
    const { exam } = context.known;
    if (!exam?.finding) return;
    const text = `${get("statement").textContent}. Your answer is written to the log.`;
    const note = await ask({ title: accepted ? "Accept this?" : "Reject this?", text, yes: accepted ? "Accept" : "Reject", note: true });
    if (note !== null) send({ do: "judge", accepted, note, finding: exam.finding });
  },

  answered({ do: what, ok, text }) {
    if (!ok) tell(`Not done: ${text}`);
    else if (DONE[what]) tell(DONE[what]);
  },

  // What can be done now.
  follow(known, shown) {
    frozen = shown.kind === "frozen" && known.verdict?.frozen === "announced";
    const label = frozen ? "Unfreeze" : "Freeze";
    const button = get("freeze");
    if (button.firstElementChild.textContent !== label) button.firstElementChild.textContent = label;
    button.setAttribute("aria-pressed", String(frozen));
    for (const id of ["freeze", "reset", "names", "accept", "reject"]) get(id).disabled = !known.up;
  },
};

function send(command) {
  if (!context.link.say(command)) tell("Not done: there is no connection");
}

const KEYS = {
  f: () => act.freeze(),
  s: () => act.snapshot(),
  h: () => act.heat(),
  "+": () => act.opacity(5),
  "=": () => act.opacity(5),
  "-": () => act.opacity(-5),
  l: () => act.room(),
  r: () => act.reset(),
  a: () => act.judge(true),
  x: () => act.judge(false),
  "?": showKeys,
};

export function bindControls(given) {
  context = given;
  for (const id of ["freeze", "snapshot", "heat", "room", "reset"]) get(id).addEventListener("click", () => act[id]());
  get("accept").addEventListener("click", () => act.judge(true));
  get("reject").addEventListener("click", () => act.judge(false));
  get("help").addEventListener("click", showKeys);
  get("opacity").addEventListener("input", () => {
    context.picture.opacity = Number(get("opacity").value) / 100;
    context.redraw();
  });
  addEventListener("keydown", onKey);
  addEventListener("keyup", (event) => event.key.toLowerCase() === "d" && context.names.release(!typing(event)));
  addEventListener("blur", () => context.names.release(false));
}

const typing = (event) => event.target.matches?.('input[type="text"]') || document.querySelector("dialog[open]") !== null;

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event)) return;
  const key = event.key.toLowerCase();
  if (key === "d") context.names.press();
  else if (KEYS[key]) {
    event.preventDefault();
    KEYS[key]();
  }
}
