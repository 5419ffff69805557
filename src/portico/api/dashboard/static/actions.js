// Changes, each confirmed first and followed to its end.

import { get, post } from "./client.js";
import { h, setText } from "./dom.js";
import { status } from "./state.js";

const SHOWN = 15_000; // milliseconds
const PAUSE = 500; // milliseconds between two looks at a change

let closing = 0;

// A problem stays until it is closed.
export function notice(text, isProblem = false) {
  const place = document.getElementById("notice");
  clearTimeout(closing);
  if (!isProblem) closing = setTimeout(() => place.replaceChildren(), SHOWN);
  place.replaceChildren(
    h("span", {}, text),
    h("button", { type: "button", "aria-label": "Close", onclick: () => place.replaceChildren() }, "×"),
  );
  place.classList.toggle("problem", isProblem);
}

function confirmed(question) {
  const dialog = document.getElementById("confirm");
  setText(document.getElementById("question"), `${question}?`);
  return new Promise((answer) => {
    const yes = document.getElementById("yes");
    let agreed = false;
    yes.onclick = () => {
      agreed = true;
      dialog.close();
    };
    document.getElementById("no").onclick = () => dialog.close();
    dialog.onclose = () => answer(agreed);
    dialog.showModal();
    yes.focus();
  });
}

// Where a change is made in a cluster.
function place() {
  if (!status?.machine) return "";
  return status.shared ? " on all machines" : ` on ${status.machine}`;
}

// `act` is the sentence that is confirmed: `reload shop/web`.
export async function change(act, path, body) {
  const what = `${act}${place()}`;
  if (!(await confirmed(what))) return;
  try {
    notice(`${what}: started`);
    let now = await post(path, body);
    while (now.state === "doing") {
      await new Promise((done) => setTimeout(done, PAUSE));
      now = await get(`/v1/changes/${encodeURIComponent(now.id)}`);
      const last = now.lines[now.lines.length - 1];
      if (last) notice(`${what}: ${last}`);
    }
    if (now.state === "failed") notice(`${what}: ${now.error ?? "failed"}`, true);
    else notice(`${what}: done`);
  } catch (error) {
    notice(`${what}: ${error.message}`, true);
  }
}

export const button = (text, act, more = {}) =>
  h("button", { type: "button", onclick: act, ...more }, text);
