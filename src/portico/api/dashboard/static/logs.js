// The last lines of all instances, merged by the times in them, filtered, and followed.

import { get } from "./client.js";
import { h, update } from "./dom.js";
import { fullName } from "./format.js";
import { status } from "./state.js";

export const title = () => "Logs";

const PAUSE = 1500; // milliseconds
const TYPING = 300;
const LINES = 500;
const COLOURS = 6;

export function open(root) {
  const apps = h("select", { "aria-label": "App or instance" });
  const filter = h("input", { type: "search", placeholder: "filter", "aria-label": "Filter lines" });
  const follow = h("input", { type: "checkbox", checked: true, id: "follow" });
  const output = h("pre", { class: "output tall", tabindex: 0, "aria-label": "Lines" });
  root.append(
    h("h1", {}, "Logs"),
    h("div", { class: "buttons" }, apps, filter, h("label", { for: "follow" }, follow, " follow")),
    output,
  );
  let isOpen = true;
  let asked = 0;
  const show = (lines) => {
    const names = [...new Set(lines.map((each) => each.instance))].sort();
    output.replaceChildren(
      ...lines.flatMap((each) => [
        h("span", { class: `who who-${names.indexOf(each.instance) % COLOURS}` }, `${each.instance} | `),
        `${each.line}\n`,
      ]),
    );
    if (!lines.length) output.textContent = "no lines";
    if (follow.checked) output.scrollTop = output.scrollHeight;
  };
  const look = async () => {
    const mine = ++asked;
    const of = apps.value ? `${encodeURIComponent(apps.value)}/` : "";
    const grep = filter.value ? `&grep=${encodeURIComponent(filter.value)}` : "";
    try {
      const lines = await get(`/v1/apps/${of}output?count=${LINES}${grep}`);
      if (mine === asked && isOpen) show(lines); // an answer to an earlier question comes late
    } catch (error) {
      if (mine === asked) output.textContent = error.message;
    }
  };
  let typing = 0;
  filter.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(look, TYPING);
  });
  apps.addEventListener("change", look);
  (async () => {
    while (isOpen) {
      if (follow.checked) await look();
      await new Promise((done) => setTimeout(done, PAUSE));
    }
  })();
  return {
    update() {
      const names = status.apps.flatMap((app) => {
        const here = app.instances.filter((i) => i.machine === status.machine);
        return [fullName(app), ...(here.length > 1 ? here.map((i) => `${fullName(app)}.${i.slot}`) : [])];
      });
      update(
        apps,
        ["", ...new Set(names)],
        (name) => name,
        (name) => h("option", { value: name }, name || "all apps"),
        () => {},
      );
    },
    close() {
      isOpen = false;
    },
  };
}
