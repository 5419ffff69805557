// The stack as a picture: sites, nginx, and instances, with lines as thick as their traffic.

import { sparkline } from "./charts.js";
import { changed, h, s, setAttributes, setText, update, watch } from "./dom.js";
import { count, duration, fullName, rate, size } from "./format.js";
import { errors, isWell, lately, requests, sum } from "./state.js";

export const title = () => "Overview";

const ROW = 34;
const GAP = 14;
const WIDTH = 960;
const BOX = 250;
const MAX_ROWS = 14; // instances of an app that have a box each

export function open(root) {
  const totals = h("dl", { class: "totals" });
  const problems = h("ul", { class: "problems", "aria-label": "Problems" });
  const picture = h("div", { class: "picture" });
  let drawn = null;
  root.append(h("h1", {}, "Overview"), totals, problems, picture);
  return {
    update(status) {
      showTotals(totals, status);
      update(
        problems,
        status.troubles,
        (text) => text,
        (text) => h("li", {}, text),
        () => {},
      );
      drawn = draw(picture, status, drawn);
    },
  };
}

function showTotals(place, status) {
  const all = status.apps.flatMap((app) => app.instances);
  const nginx = status.nginx;
  const cells = [
    ["requests/s", rate(sum(status.sites, requests)), "requests"],
    ["5xx in a minute", String(sum(status.sites, errors)), "errors"],
    ["instances ready", `${all.filter(isWell).length} of ${all.length}`, null],
    ["processor", `${sum(all, (i) => i.cpu_percent).toFixed(0)} %`, "cpu"],
    ["memory", size(sum(all, (i) => i.memory_bytes)), "memory"],
    ["nginx", nginx.pid ? `${nginx.version}, generation ${nginx.generation}` : "not running", null],
    ["porticod", `${size(status.daemon.memory_bytes)}, up ${duration(status.daemon.uptime_s)}`, null],
  ];
  update(
    place,
    cells,
    ([name]) => name,
    ([name]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, h("strong"), h("div", { class: "graph" }))),
    (element, [name, value, key]) => {
      const [number, graph] = element.lastElementChild.children;
      setText(number, value);
      if (key) sparkline(graph, lately(key), `${name}, the last minute`);
    },
  );
}

// Boxes of one side: [{label, note, href, well, of, rate, errors}]
function sites(status) {
  return status.sites.map((site) => ({
    label: site.name,
    note: site.held ? "held" : site.paused ? "paused" : site.to,
    href: `#/site/${encodeURIComponent(site.name)}`,
    isWell: !site.paused && !site.held,
    rate: requests(site),
    errors: errors(site),
  }));
}

function apps(status) {
  return status.apps.flatMap((app) => {
    const href = `#/app/${encodeURIComponent(fullName(app))}`;
    const shown = app.instances.slice(0, MAX_ROWS).map((i) => ({
      label: i.id,
      note: `${i.state}, ${i.cpu_percent.toFixed(0)} %, ${size(i.memory_bytes)}`,
      href,
      isWell: isWell(i),
      rate: requests(i),
      errors: errors(i),
    }));
    const rest = app.instances.slice(MAX_ROWS);
    if (rest.length) {
      shown.push({
        label: `${count(rest.length, "more instance")} of ${app.name}`,
        note: `${rest.filter(isWell).length} ready`,
        href,
        isWell: rest.every(isWell),
        rate: sum(rest, requests),
        errors: sum(rest, errors),
      });
    }
    if (!app.instances.length) {
      shown.push({ label: app.name, note: app.state, href, isWell: true, rate: 0, errors: 0 });
    }
    return shown;
  });
}

// A picture of the same boxes is changed in place; otherwise it is another one.
function draw(place, status, before) {
  const left = sites(status);
  const right = apps(status);
  const shape = [left, right].map((boxes) => boxes.map((box) => box.href + box.label).join("\n")).join("\n\n");
  const now = before?.shape === shape ? before : { shape, ...picture(place, left, right) };
  const most = Math.max(...left.map((b) => b.rate), ...right.map((b) => b.rate), 1);
  changed(now.boxes, [...left, ...right], (element, box) => {
    const [flow, rect, , note, number] = element.children;
    const thick = box.rate ? 1 + 9 * Math.sqrt(box.rate / most) : 1;
    setAttributes(flow, {
      class: `flow${box.errors ? " failing" : ""}${box.rate ? "" : " silent"}`,
      "stroke-width": thick.toFixed(1),
    });
    setAttributes(rect, { class: `box${box.isWell ? "" : " unwell"}` });
    setText(note, shorten(box.note, 40));
    setText(number, `${rate(box.rate)}/s`);
  });
  const running = `${rate(sum(status.sites, requests))} req/s`;
  setText(now.nginx, status.nginx.pid ? running : "not running");
  return now;
}

function picture(place, left, right) {
  const height = Math.max(left.length, right.length, 1) * (ROW + GAP) + GAP;
  const middle = { x: WIDTH / 2 - 50, y: height / 2 - 24 };
  const centre = height / 2;
  const y = (boxes, at) => (height - boxes.length * (ROW + GAP)) / 2 + GAP / 2 + at * (ROW + GAP);
  const curve = (x1, y1, x2, y2) =>
    s("path", { class: "flow silent", d: `M${x1},${y1} C${(x1 + x2) / 2},${y1} ${(x1 + x2) / 2},${y2} ${x2},${y2}` });
  const boxes = [
    ...left.map((box, at) => {
      const flow = curve(BOX, y(left, at) + ROW / 2, middle.x, centre);
      return boxOf(box, flow, 0, y(left, at));
    }),
    ...right.map((box, at) => {
      const flow = curve(middle.x + 100, centre, WIDTH - BOX, y(right, at) + ROW / 2);
      return boxOf(box, flow, WIDTH - BOX, y(right, at));
    }),
  ];
  const nginx = s("text", { class: "note", x: WIDTH / 2, y: centre + 14, "text-anchor": "middle" });
  place.replaceChildren(
    s(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${height}`,
        role: "group",
        "aria-label": `${count(left.length, "site")}, nginx, and ${count(right.length, "instance")}`,
      },
      ...boxes,
      s("rect", { class: "box nginx", x: middle.x, y: middle.y, width: 100, height: 48, rx: 8 }),
      s("text", { class: "name", x: WIDTH / 2, y: centre - 2, "text-anchor": "middle" }, "nginx"),
      nginx,
    ),
  );
  watch(boxes);
  return { boxes, nginx };
}

function boxOf(box, flow, x, y) {
  return s(
    "a",
    { href: box.href },
    flow,
    s("rect", { class: "box", x, y, width: BOX, height: ROW, rx: 6 }),
    s("text", { class: "name", x: x + 10, y: y + 15 }, shorten(box.label, 26)),
    s("text", { class: "note", x: x + 10, y: y + 28 }),
    s("text", { class: "rate", x: x + BOX - 10, y: y + 15, "text-anchor": "end" }),
  );
}

const shorten = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
