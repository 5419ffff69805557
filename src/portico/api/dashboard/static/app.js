// One app: its instances, one row both sides, and what can be done with it.

import { button, change } from "./actions.js";
import { sparkline } from "./charts.js";
import { get } from "./client.js";
import { h, setAttributes, setText, update } from "./dom.js";
import { duration, fullName, rate, size, time } from "./format.js";
import { errors, lately, requests, sum } from "./state.js";

export const title = (name) => name;

const HEADS = [
  "instance", "state", "for", "pid", "port", "cpu", "memory", "restarts",
  "share", "req/s", "p50", "p95", "5xx", "connections", "requests",
];
const EVENTS_PAUSE = 2000;

export function open(root, name) {
  const path = `/v1/apps/${encodeURIComponent(name)}`;
  const act = (verb, text = verb) => button(text, () => change(`${verb} ${name}`, `${path}/${verb}`));
  let wanted = 1;
  const scale = (by) => {
    const to = Math.max(1, wanted + by);
    return change(`scale ${name} to ${to}`, `${path}/scale`, { instances: to });
  };
  const about = h("p", { class: "about" });
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
      button("−", () => scale(-1), { "aria-label": "One instance less" }),
      button("+", () => scale(1), { "aria-label": "One instance more" }),
    ),
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
  return {
    update(status) {
      const app = status.apps.find((each) => fullName(each) === name || each.name === name);
      if (!app) {
        setText(about, "there is no such app any more");
        body.replaceChildren();
        return;
      }
      wanted = app.wanted;
      setText(about, `${app.state}, ${app.wanted} wanted, balanced by ${app.balance} · ${app.command}`);
      showReasons(why, app);
      showRows(body, app);
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
      setText(output, lines.map((each) => `${each.instance} | ${each.line}`).join("\n") || "no output yet");
    } catch (error) {
      setText(output, error.message);
    }
    await new Promise((done) => setTimeout(done, EVENTS_PAUSE));
  }
}

function showReasons(place, app) {
  const found = app.instances.flatMap((i) => [
    ...(i.reason && i.state !== "ready" ? [`${i.id} is ${i.state}: ${i.reason}`] : []),
    ...(i.worn ? [`${i.id} will be replaced: ${i.worn}`] : []),
    ...(i.current ? [] : [`${i.id} runs another version and is being replaced`]),
    ...(i.says ? [`${i.id} reports: ${i.says}`] : []),
  ]);
  if (app.waits) found.unshift(app.waits);
  update(place, found, (text) => text, (text) => h("li", {}, text), () => {});
}

function showRows(body, app) {
  const all = sum(app.instances, requests);
  update(
    body,
    app.instances,
    (i) => i.id,
    (i) => h("tr", {}, h("th", { scope: "row" }, i.id), HEADS.slice(1).map(() => h("td"))),
    (row, i) => {
      const traffic = i.traffic;
      const cells = [
        i.state,
        i.pid ? duration(i.uptime_s) : "-",
        String(i.pid ?? "-"),
        String(i.port || "-"),
        `${i.cpu_percent.toFixed(1)} %`,
        size(i.memory_bytes),
        String(i.restarts),
        traffic && all ? `${((100 * requests(i)) / all).toFixed(0)} %` : "-",
        traffic ? rate(traffic.requests_s) : "-",
        time(traffic?.p50_s),
        time(traffic?.p95_s),
        traffic ? String(errors(i)) : "-",
        String(i.connections),
      ];
      cells.forEach((text, at) => setText(row.children[at + 1], text));
      setAttributes(row.children[1], { class: `state ${i.state}` });
      const values = lately(`${fullName(app)} ${i.id}`);
      sparkline(row.lastElementChild, values, `requests of ${i.id}, the last minute`, 90, 20);
    },
  );
}
