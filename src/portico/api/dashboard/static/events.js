// What was done, why, and who asked for it.

import { get } from "./client.js";
import { h, update } from "./dom.js";
import { moment } from "./format.js";
import { status } from "./state.js";

export const title = () => "Events";

const PAUSE = 2000; // milliseconds
const COUNT = 300;
const HEADS = ["time", "event", "of", "why"];

export function open(root) {
  const filter = h("input", { type: "search", placeholder: "filter", "aria-label": "Filter events" });
  const body = h("tbody");
  const silent = h("ul", { class: "problems", "aria-label": "Machines without an answer" });
  root.append(
    h("h1", {}, "Events"),
    filter,
    silent,
    h(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": "Events" },
      h("table", { class: "events" }, h("thead", {}, h("tr", {}, HEADS.map((head) => h("th", { scope: "col" }, head)))), body),
    ),
  );
  let isOpen = true;
  let found = [];
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    const rows = found.filter((each) => {
      const text = `${each.machine} ${each.kind} ${subject(each)} ${each.text} ${each.command}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    update(body, rows, (each) => `${each.machine} ${each.number}`, row, () => {});
  };
  filter.addEventListener("input", show);
  (async () => {
    while (isOpen) {
      try {
        found = await events();
        show();
        showSilent(silent);
      } catch {
        // the header says that the daemon does not answer
      }
      await new Promise((done) => setTimeout(done, PAUSE));
    }
  })();
  return {
    close() {
      isOpen = false;
    },
  };
}

// The machines that no events are shown of.
function showSilent(place) {
  const names = (status?.machines ?? []).filter((each) => !each.status).map((each) => each.name);
  update(place, names, (name) => name, (name) => h("li", { class: "problem" }, `machine ${name} gives no answer: its events are not shown`), () => {});
}

// Of all machines of the cluster, newest first. One that does not answer has none.
async function events() {
  const others = (status?.machines ?? []).filter((each) => each.status);
  const paths = ["", ...others.map((each) => `&machine=${encodeURIComponent(each.name)}`)];
  const found = await Promise.all(
    paths.map((path) => get(`/v1/events?count=${COUNT}${path}`).catch((error) => (path ? [] : Promise.reject(error)))),
  );
  return found.flat().sort((a, b) => b.at - a.at || b.number - a.number).slice(0, COUNT);
}

// With its project; a file has none, and an instance may have it in its name.
const subject = (each) =>
  !each.project || each.subject.startsWith("/") || each.subject.startsWith(`${each.project}/`)
    ? each.subject
    : `${each.project}/${each.subject}`;

function row(each) {
  const asked = each.command ? ` (${each.command})` : "";
  return h(
    "tr",
    {},
    h("td", {}, moment(each.at), each.machine ? ` · ${each.machine}` : ""),
    h("td", {}, each.kind),
    h("td", { class: "of" }, subject(each)),
    h("td", { class: "text" }, `${each.text}${asked}`),
  );
}
