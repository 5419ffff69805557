// All certificates on a timeline, with what comes next and why.

import { get } from "./client.js";
import { h, s } from "./dom.js";
import { day, moment } from "./format.js";

export const title = () => "Certificates";

const PAUSE = 10_000; // milliseconds
const DAY = 86400;

export function open(root) {
  const list = h("ul", { class: "certificates" });
  root.append(h("h1", {}, "Certificates"), list);
  let isOpen = true;
  follow(() => isOpen, list);
  return {
    close() {
      isOpen = false;
    },
  };
}

async function follow(isOpen, list) {
  while (isOpen()) {
    try {
      const found = await get("/v1/certificates");
      list.replaceChildren(...found.map(item));
      if (!found.length) list.append(h("li", { class: "empty" }, "no site has a certificate of a certificate authority"));
    } catch (error) {
      list.replaceChildren(h("li", { class: "empty" }, error.message));
    }
    await new Promise((done) => setTimeout(done, PAUSE));
  }
}

export function item(each) {
  const next = each.next_at ? `${each.next} at ${moment(each.next_at)}` : each.next;
  return h(
    "li",
    { class: each.error || each.warning ? "unwell" : "" },
    h("h2", {}, each.name),
    h("p", {}, each.names.join(", ")),
    timeline(each),
    h("p", {}, `next: ${next}; ${each.why}`),
    each.error ? h("p", { class: "problem" }, each.error) : null,
    each.warning ? h("p", { class: "problem" }, each.warning) : null,
  );
}

function timeline(each) {
  if (!each.not_after) return h("p", { class: "empty" }, "there is none yet");
  const begin = each.not_before ?? each.not_after - 90 * DAY;
  const now = Date.now() / 1000;
  const x = (at) => 10 + (580 * Math.min(Math.max(at - begin, 0), each.not_after - begin)) / (each.not_after - begin);
  const left = Math.floor((each.not_after - now) / DAY);
  return s(
    "svg",
    { viewBox: "0 0 600 44", role: "img", "aria-label": `${left} days left, until ${day(each.not_after)}` },
    s("line", { class: "life", x1: 10, x2: 590, y1: 16, y2: 16 }),
    s("line", { class: "used", x1: 10, x2: x(now), y1: 16, y2: 16 }),
    s("circle", { class: "now", cx: x(now), cy: 16, r: 6 }),
    each.next_at ? s("circle", { class: "next", cx: x(each.next_at), cy: 16, r: 5 }) : null,
    s("text", { class: "tick", x: 10, y: 38 }, day(begin)),
    s("text", { class: "tick", x: x(now), y: 38, "text-anchor": "middle" }, `${left} days left`),
    s("text", { class: "tick", x: 590, y: 38, "text-anchor": "end" }, day(each.not_after)),
  );
}
