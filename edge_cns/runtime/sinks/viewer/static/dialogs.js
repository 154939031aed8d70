// Questions that need an answer before something is done, the list of keys, and short notices.

const get = (id) => document.getElementById(id);

// Resolves to null if it was not confirmed, else to the note.
export function ask({ title, text, yes, note = false }) {
  const dialog = get("ask");
  if (dialog.open) return Promise.resolve(null);
  get("ask-title").textContent = title;
  get("ask-text").textContent = text;
  get("ask-yes").textContent = yes;
  get("ask-note").hidden = !note;
  get("note").value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  (note ? get("note") : get("ask-yes")).focus();
  return new Promise((resolve) => {
    const closed = () => {
      get("ask-text").textContent = "";
      resolve(dialog.returnValue === "yes" ? get("note").value : null);
    };
    dialog.addEventListener("close", closed, { once: true });
  });
}

// Enter in the note means what the dialog asks, not its first button, which is Cancel.
get("note").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  get("ask").close("yes");
});

// Takes the question back, and its words out of the document.
export function withdraw() {
  if (get("ask").open) get("ask").close("no");
  get("ask-text").textContent = "";
}

export function showKeys() {
  const dialog = get("keys");
  if (!dialog.open) dialog.showModal();
}

let fading = 0;
export function tell(text) {
  const toast = get("toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => {
    toast.hidden = true;
  }, 4000);
}
