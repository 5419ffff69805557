// The last lines of all instances, filtered, and followed.

import { get } from "./client.js";
import { h, setText } from "./dom.js";
import { fullName } from "./format.js";
import { status } from "./state.js";

export const title = () => "Logs";

const PAUSE = 1500; // milliseconds
const LINES = 200;

export function open(root) {
  const apps = h("select", { "aria-label": "App" });
  const filter = h("input", { type: "search", placeholder: "filter", "aria-label": "Filter lines" });
  const follow = h("input", { type: "checkbox", checked: true, id: "follow" });
  const output = h("pre", { class: "output tall", tabindex: 0, "aria-label": "Lines" });
  root.append(
    h("h1", {}, "Logs"),
    h("div", { class: "buttons" }, apps, filter, h("label", { for: "follow" }, follow, " follow")),
    output,
  );
  let isOpen = true;
  let lines = [];
  const show = () => {
    const words = filter.value.toLowerCase();
    const shown = lines.filter((line) => line.toLowerCase().includes(words)).join("\n");
    setText(output, shown || "no lines");
    if (follow.checked) output.scrollTop = output.scrollHeight;
  };
  const look = async () => {
    if (!apps.value) return;
    try {
      const found = await get(`/v1/apps/${encodeURIComponent(apps.value)}/output?count=${LINES}`);
      lines = found.flatMap((each) => each.lines.map((line) => `${each.instance} | ${line}`));
    } catch (error) {
      lines = [error.message];
    }
    show();
  };
  filter.addEventListener("input", show);
  apps.addEventListener("change", look);
  (async () => {
    while (isOpen) {
      if (follow.checked) await look();
      await new Promise((done) => setTimeout(done, PAUSE));
    }
  })();
  return {
    update() {
      const names = status.apps.map(fullName);
      if ([...apps.options].map((each) => each.value).join() === names.join()) return;
      const chosen = apps.value;
      apps.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
      if (names.includes(chosen)) apps.value = chosen;
      look();
    },
    close() {
      isOpen = false;
    },
  };
}
