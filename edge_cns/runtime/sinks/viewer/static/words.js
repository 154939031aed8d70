// What is shown of what is known, in words. Nothing here decides; it says what holds at a moment.

export const plain = (name) => String(name).replaceAll("_", " ");
export const percent = (share) => (share == null ? "" : `${Math.round(share * 100)} %`);

export function seconds(ms) {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.round(ms / 1000);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const lost = (why) => ({ kind: "no_signal", title: "NO SIGNAL", why });

// known: {up, lostWhy, ended, verdict, remarks, recordsMs, open, outlined}; verdict has sentAt and the message's fields.
export function display(known, now) {
  const verdict = known.verdict;
  if (known.ended) return lost(`the session has ended: ${known.ended}`);
  if (!known.up) return lost(known.lostWhy);
  if (!verdict) return lost("waiting for the first result");
  if (now - verdict.sentAt >= verdict.expires_in_ms) {
    const silent = known.recordsMs > 1000 ? "the runtime gives no results" : "no new result";
    return { kind: "stale", title: "NO SIGNAL (STALE)", why: `${silent}: the last one is out of date` };
  }
  return stated(verdict, withoutRemarks(verdict.reason, known.remarks), known);
}

function stated(verdict, reason, { open, outlined }) {
  if (verdict.frozen === "cine" && verdict.state !== "no_signal") return held("PLAYED FROM MEMORY, NOT LIVE", "", verdict, open);
  switch (verdict.state) {
    case "class":
      return { kind: verdict.review ? "review" : "clear", title: classWords(verdict, open), why: classWhy(verdict, reason, open, outlined) };
    case "indeterminate":
      return { kind: "indeterminate", title: "Indeterminate", why: reason || "this image allows no clear statement" };
    case "not_supported_view":
      return { kind: "not_supported_view", title: "Not a supported view", why: reason || "nothing can be said of this image" };
    case "frozen":
      if (verdict.frozen === "announced") return held("FROZEN IMAGE, NOT LIVE", "held: ", verdict, open);
      return { kind: "frozen", title: "FROZEN OR STALLED", why: reason || "the image does not change" };
    default:
      return lost(reason || "no frames come");
  }
}

// What is stated of an image that is not of now.
function held(title, before, verdict, open) {
  const why = verdict.review == null ? "no new evidence" : before + classWords(verdict, open).toLowerCase();
  return { kind: "frozen", title, why };
}

function classWords(verdict, open) {
  if (!open) return verdict.review ? "Review suggested" : "No review suggested so far";
  return verdict.negative ? "No listed finding in this image" : plain(verdict.label);
}

function classWhy(verdict, reason, open, outlined) {
  if (open) return [verdict.probability == null ? "" : `probability ${percent(verdict.probability)}`, reason].filter(Boolean).join(" · ");
  if (!verdict.review) return reason || "in the images so far";
  return outlined ? "look at the outlined region" : reason;
}

// A reason ends with what every verdict of the bundle has to say, and that is in view already.
function withoutRemarks(reason, remarks) {
  if (!remarks || !reason.endsWith(remarks)) return reason;
  return reason.slice(0, -remarks.length).replace(/[,\s]+$/, "");
}

export function examWords(exam, open) {
  const reason = exam.reason;
  if (exam.outcome === "finding" && exam.review) {
    const behind = exam.n_behind ? `rests on ${exam.n_behind} images${open && exam.score != null ? `, score ${exam.score.toFixed(2)}` : ""}` : "";
    return { title: open ? `Finding: ${plain(exam.label)}` : "Review suggested", why: behind };
  }
  if (exam.outcome === "finding" && open && !exam.negative) return { title: plain(exam.label), why: reason };
  if (exam.outcome === "no_listed_finding" && open) return { title: "None of the listed findings in the views analysed", why: "" };
  if (exam.outcome === "no_listed_finding" || exam.outcome === "finding") return { title: "No review suggested so far", why: "in the views analysed" };
  if (exam.outcome === "not_supported_view") return { title: "Not a supported view so far", why: reason };
  return { title: "No statement yet", why: reason === "no statement yet" ? "" : reason || "the images so far allow none" };
}
