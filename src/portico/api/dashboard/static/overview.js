// The stack as a picture: sites, nginx, and instances, with lines as thick as their traffic.

import { sparkline } from "./charts.js";
import { changed, h, s, setAttributes, setText, update, watch } from "./dom.js";
import { count, duration, fullName, rate, shorten, size, within } from "./format.js";
import { machineChoice, showMachines } from "./machines.js";
import { errors, isWell, lately, requests, sum } from "./state.js";

export const title = () => "Overview";

const ROW = 34;
const GAP = 14;
const WIDTH = 960;
const BOX = 250;
const HEADING = 26;
const NARROW = 640; // pixels; a narrower picture has one column
const TALL = 800; // a taller picture has an nginx that is seen everywhere in it
const MAX_INSTANCES = 24; // of the stack; with more, an app is one box

export function open(root) {
  const totals = h("dl", { class: "totals" });
  const problems = h("ul", { class: "problems", "aria-label": "Problems" });
  const picture = h("div", { class: "picture" });
  const machine = machineChoice("all machines");
  let drawn = null;
  root.append(h("h1", {}, "Overview"), totals, problems, machine.place, picture);
  machine.select.addEventListener("change", () => {
    drawn = draw(picture, on(machine.select.value, shown), drawn);
  });
  let shown = null;
  return {
    update(all) {
      showMachines(machine, all, [all.machine]);
      shown = all;
      const status = on(machine.select.value, all);
      showTotals(totals, status);
      update(
        problems,
        status.troubles,
        (text) => text,
        (text) => h("li", { class: "problem" }, text),
        () => {},
      );
      drawn = draw(picture, status, drawn);
    },
  };
}

// What is on one machine of the cluster, or everything.
function on(machine, status) {
  if (!machine) return status;
  const apps = status.apps.map((app) => ({ ...app, instances: app.instances.filter((i) => i.machine === machine) }));
  return { ...status, apps: apps.filter((app) => app.instances.length) };
}

function showTotals(place, status) {
  const all = status.apps.flatMap((app) => app.instances);
  const nginx = status.nginx;
  const others = status.machines ?? [];
  const answering = 1 + others.filter((each) => each.status).length;
  const machines = ["machines", `${answering} of ${1 + others.length}`, null, "answer"];
  const cells = [
    ...(others.length ? [machines] : []),
    ["requests/s", rate(sum(status.sites, requests)), "requests"],
    ["5xx in a minute", String(sum(status.sites, errors)), "errors"],
    ["instances ready", `${all.filter(isWell).length} of ${all.length}`, null],
    ["processor", `${sum(all, (i) => i.cpu_percent).toFixed(0)} %`, "cpu"],
    ["memory", size(sum(all, (i) => i.memory_bytes)), "memory"],
    ["nginx", nginx.pid ? nginx.version : "not running", null, `generation ${nginx.generation}`],
    ["porticod", size(status.daemon.memory_bytes), null, `up ${duration(status.daemon.uptime_s)}`],
  ];
  update(
    place,
    cells,
    ([name]) => name,
    ([name]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, h("strong"), h("div", { class: "graph" }))),
    (element, [name, value, key, more = ""]) => {
      const [number, graph] = element.lastElementChild.children;
      setText(number, value);
      if (key) sparkline(graph, lately(key), `${name}, the last minute`);
      else setText(graph, more);
    },
  );
}

// Boxes of one side: [{group, label, note, href, isWell, rate, errors}]
function sites(status) {
  return status.sites.map((site) => ({
    group: site.project,
    label: site.name,
    note: site.held ? "held" : site.paused ? "paused" : site.to,
    href: `#/site/${encodeURIComponent(site.name)}`,
    isWell: !site.paused && !site.held,
    rate: requests(site),
    errors: errors(site),
  }));
}

function apps(status) {
  const isWhole = sum(status.apps, (app) => app.instances.length) > MAX_INSTANCES;
  return status.apps.flatMap((app) => {
    const parts = isWhole ? machines(app.instances) : app.instances.map((i) => [i]);
    return (parts.length ? parts : [[]]).map((part) => boxOfApp(app, part));
  });
}

// Instances by the machine that they run on; all of them where there is one only.
const machines = (instances) => [...Map.groupBy(instances, (i) => i.machine).values()];

function boxOfApp(app, part) {
  const [first] = part;
  const usage = `${sum(part, (i) => i.cpu_percent).toFixed(0)} %, ${size(sum(part, (i) => i.memory_bytes))}`;
  const ready = `${part.filter(isWell).length} of ${part.length} ready`;
  return {
    group: [first?.machine, app.project].filter(Boolean).join(" · "),
    label: part.length === 1 ? within(app.project, first.id) : app.name,
    note: part.length === 0 ? app.state : `${part.length === 1 ? first.state : ready}, ${usage}`,
    href: `#/app/${encodeURIComponent(fullName(app))}`,
    isWell: part.every(isWell) && app.state !== "failed",
    rate: sum(part, requests),
    errors: sum(part, errors),
  };
}

// Boxes in order of their groups, with a heading before each group where there are several.
function grouped(boxes) {
  const groups = Map.groupBy(boxes, (box) => box.group);
  if (groups.size < 2) return boxes;
  return [...groups].flatMap(([heading, members]) => [{ heading }, ...members]);
}

// A picture of the same boxes is changed in place; otherwise it is another one.
function draw(place, status, before) {
  const left = grouped(sites(status));
  const right = grouped(apps(status));
  const isNarrow = place.clientWidth < NARROW;
  const names = [...left, { heading: "nginx" }, ...right].map((item) => item.heading ?? item.href + item.label);
  const shape = [isNarrow ? place.clientWidth : WIDTH, ...names].join("\n");
  const now = before?.shape === shape ? before : { shape, ...picture(place, left, right, isNarrow) };
  const boxes = [...left, ...right].filter((item) => !item.heading);
  const most = Math.max(...boxes.map((box) => box.rate), 1);
  changed(now.boxes, boxes, (element, box) => {
    const [flow, rect, , note, number] = element.children;
    const thick = box.rate ? 1 + 9 * Math.sqrt(box.rate / most) : 1;
    setAttributes(flow, {
      class: `flow${box.errors ? " failing" : ""}${box.rate ? "" : " silent"}`,
      "stroke-width": thick.toFixed(1),
    });
    setAttributes(rect, { class: `box${box.isWell ? "" : " unwell"}` });
    setText(note, shorten(box.note, now.noteLength));
    setText(number, `${rate(box.rate)}/s`);
  });
  const running = `${rate(sum(status.sites, requests))} req/s`;
  setText(now.nginx, status.nginx.pid ? running : "not running");
  return now;
}

const heightOf = (items) => sum(items, (item) => (item.heading ? HEADING : ROW + GAP));

// Wide: sites, nginx and instances in three columns. Narrow: nginx beside sites and, below, instances.
function picture(place, left, right, isNarrow) {
  const width = isNarrow ? place.clientWidth - 2 * GAP : WIDTH;
  const box = isNarrow ? width - 110 : BOX;
  const [leftHeight, rightHeight] = [heightOf(left), heightOf(right)];
  const height = GAP + Math.max(isNarrow ? leftHeight + rightHeight : Math.max(leftHeight, rightHeight), ROW + GAP);
  const isTall = isNarrow || height > TALL;
  const bar = {
    x: isNarrow ? 0 : width / 2 - 50,
    y: isTall ? GAP / 2 : height / 2 - 24,
    width: isNarrow ? 76 : 100,
    height: isTall ? height - GAP : 48,
  };
  const [end, inner] = [bar.x + bar.width, (y) => Math.min(Math.max(y, bar.y + 8), bar.y + bar.height - 8)];
  const fromBar = (y) => curve(end, inner(y), width - box, y);
  const toBar = (y) => (isNarrow ? fromBar(y) : curve(box, y, bar.x, inner(y)));
  const top = (own) => GAP / 2 + (height - GAP - own) / 2;
  const drawn = [
    ...column(left, isNarrow ? width - box : 0, isNarrow ? GAP / 2 : top(leftHeight), box, toBar),
    ...column(right, width - box, isNarrow ? GAP / 2 + leftHeight : top(rightHeight), box, fromBar),
  ];
  const boxes = drawn.filter((element) => element.localName === "a");
  const middle = { x: bar.x + bar.width / 2, "text-anchor": "middle" };
  const name = bar.y + Math.min(bar.height / 2 - 2, 40);
  const nginx = s("text", { class: "note", y: name + 16, ...middle });
  place.replaceChildren(
    s(
      "svg",
      {
        viewBox: `0 0 ${width} ${height}`,
        role: "group",
        "aria-label": `${count(left.length, "site")}, nginx, and ${count(right.length, "app or instance")}`,
      },
      ...drawn,
      s("rect", { class: "box nginx", ...bar, rx: 8 }),
      s("text", { class: "name", y: name, ...middle }, "nginx"),
      nginx,
    ),
  );
  watch(boxes);
  return { boxes, nginx, noteLength: Math.floor((box - 20) / 6) };
}

const curve = (x1, y1, x2, y2) =>
  s("path", { class: "flow silent", d: `M${x1},${y1} C${(x1 + x2) / 2},${y1} ${(x1 + x2) / 2},${y2} ${x2},${y2}` });

// Boxes and headings one below the other, each box with its flow to or from nginx.
function column(items, x, y, width, flow) {
  return items.map((item) => {
    const at = y;
    y += item.heading ? HEADING : ROW + GAP;
    return item.heading
      ? s("text", { class: "group", x, y: at + HEADING - 8 }, shorten(item.heading, width / 8))
      : boxOf(item, flow(at + ROW / 2), x, at, width);
  });
}

function boxOf(box, flow, x, y, width) {
  return s(
    "a",
    { href: box.href },
    flow,
    s("rect", { class: "box", x, y, width, height: ROW, rx: 6 }),
    s("text", { class: "name", x: x + 10, y: y + 15 }, shorten(box.label, Math.floor((width - 70) / 8))),
    " ", // as it is read aloud
    s("text", { class: "note", x: x + 10, y: y + 28 }),
    " ",
    s("text", { class: "rate", x: x + width - 10, y: y + 15, "text-anchor": "end" }),
    " ",
    s("title", {}, box.label),
  );
}
