// One app: its instances, one row both sides, and what can be done with it.

import { button, change } from "./actions.js";
import { sparkline } from "./charts.js";
import { get } from "./client.js";
import { h, setAttributes, setText, update } from "./dom.js";
import { duration, fullName, rate, shorten, size, time, within } from "./format.js";
import { errors, keyOf, lately, requests, sum } from "./state.js";

export const title = (name) => name;

const HEADS = [
  "instance", "state", "for", "pid", "port", "cpu", "memory", "restarts",
  "share", "req/s", "p50", "p95", "p99", "5xx", "connections", "requests",
];
const NAME = 22; // characters of an instance that a row has room for
const OUTPUT_PAUSE = 2000; // milliseconds
const ROLLOUT_PAUSE = 500;
const MAX_REASONS = 8;
const BAD = ["failed", "backoff", "unready"]; // states

export function open(root, name) {
  const path = `/v1/apps/${encodeURIComponent(name)}`;
  const act = (verb, text = verb) => button(text, () => change(`${verb} ${name}`, `${path}/${verb}`));
  const scale = (by, text) => change(`one instance ${text} of ${name}`, `${path}/scale`, { instances: by });
  const about = h("p", { class: "about" });
  const progress = h("p", { class: "progress", role: "status" });
  const why = h("ul", { class: "problems", "aria-label": "Why instances are not ready" });
  const body = h("tbody");
  const output = h("pre", { class: "output", tabindex: 0, "aria-label": "Last lines of the output" });
  root.append(
    h("h1", {}, name),
    about,
    h(
      "div",
      { class: "buttons" },
      act("reload"),
      act("restart"),
      act("stop"),
      act("start"),
      button("−", () => scale("-1", "less"), { "aria-label": "One instance less" }),
      button("+", () => scale("+1", "more"), { "aria-label": "One instance more" }),
    ),
    progress,
    why,
    h(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": "Instances" },
      h("table", { class: "instances" }, h("thead", {}, h("tr", {}, HEADS.map((head) => h("th", { scope: "col" }, head)))), body),
    ),
    h("h2", {}, "Output"),
    output,
  );
  let isOpen = true;
  follow(() => isOpen, `${path}/output?count=20`, output);
  let isFollowed = false;
  return {
    update(status) {
      const app = status.apps.find((each) => fullName(each) === name || each.name === name);
      if (!app) {
        setText(about, "there is no such app any more");
        body.replaceChildren();
        return;
      }
      setText(about, `${app.state}, ${app.wanted} wanted, balanced by ${app.balance} · ${app.command}`);
      const isSpread = app.instances.some((i) => i.machine !== status.machine);
      const label = (i) => `${isSpread ? `${i.machine} ` : ""}${within(app.project, i.id)}`;
      showReasons(why, app, label);
      if (app.state === "rolling" && !isFollowed) {
        isFollowed = true;
        rollout(() => isOpen, app, progress).finally(() => (isFollowed = false));
      }
      showRows(body, app, label);
    },
    close() {
      isOpen = false;
    },
  };
}

async function follow(isOpen, path, output) {
  while (isOpen()) {
    try {
      const lines = await get(path);
      const text = lines.map((each) => `${each.instance} | ${each.line}`).join("\n") || "no output yet";
      if (text !== output.textContent) {
        output.textContent = text;
        if (document.activeElement !== output) output.scrollTop = output.scrollHeight;
      }
    } catch (error) {
      setText(output, error.message);
    }
    await new Promise((done) => setTimeout(done, OUTPUT_PAUSE));
  }
}

// The last step of what replaces its instances, whoever asked for it, until that has ended.
async function rollout(isOpen, app, place) {
  const subject = app.instances[0]?.id.replace(/\.\d+\.\d+$/, "");
  for (;;) {
    const found = (await get("/v1/changes")).find((each) => each.state === "doing" && each.subject === subject);
    setText(place, found ? [found.kind, ...found.lines.slice(-1)].join(": ") : "");
    if (!found || !isOpen()) return;
    await new Promise((done) => setTimeout(done, ROLLOUT_PAUSE));
  }
}

function showReasons(place, app, label) {
  const found = app.instances.flatMap((i) => [
    ...(i.reason && i.state !== "ready" ? [{ text: `${label(i)} is ${i.state}: ${i.reason}`, isBad: BAD.includes(i.state) }] : []),
    ...(i.worn ? [{ text: `${label(i)} will be replaced: ${i.worn}`, isBad: true }] : []),
    ...(i.current === false && i.state === "ready" ? [{ text: `${label(i)} runs another version and is being replaced` }] : []),
    ...(i.says ? [{ text: `${label(i)} reports: ${i.says}` }] : []),
  ]);
  if (app.waits) found.unshift({ text: app.waits });
  const more = found.length - MAX_REASONS;
  if (more > 1) found.splice(MAX_REASONS, more, { text: `and ${more} more` });
  update(
    place,
    found,
    (each) => each.text,
    (each) => h("li", { class: each.isBad ? "problem" : "about" }, each.text),
    () => {},
  );
}

const share = (part) => `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`;

function showRows(body, app, label) {
  const all = sum(app.instances, requests);
  update(
    body,
    app.instances,
    (i) => `${label(i)} ${keyOf(i)}`,
    (i) =>
      h("tr", {}, h("th", { scope: "row", title: label(i) }, shorten(label(i), NAME)), HEADS.slice(1).map(() => h("td"))),
    (row, i) => {
      const traffic = i.traffic;
      const cells = [
        i.state,
        i.pid && i.uptime_s !== null ? duration(i.uptime_s) : "-",
        String(i.pid ?? "-"),
        String(i.port || "-"),
        i.cpu_percent === null ? "-" : `${i.cpu_percent.toFixed(1)} %`,
        i.memory_bytes === null ? "-" : size(i.memory_bytes),
        String(i.restarts ?? "-"),
        traffic && all ? share(requests(i) / all) : "-",
        traffic ? rate(traffic.requests_s) : "-",
        time(traffic?.p50_s),
        time(traffic?.p95_s),
        time(traffic?.p99_s),
        traffic ? String(errors(i)) : "-",
        String(i.connections ?? "-"),
      ];
      cells.forEach((text, at) => setText(row.children[at + 1], text));
      setAttributes(row.children[1], { class: `state ${i.state}` });
      const values = lately(`${fullName(app)} ${keyOf(i)}`);
      sparkline(row.lastElementChild, values, `requests of ${label(i)}, the last minute`, 90, 20);
    },
  );
}
