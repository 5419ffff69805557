// One site: where it leads, its traffic over the last hour, its certificate.

import { button, change } from "./actions.js";
import { item } from "./certificates.js";
import { heatmap, legend, lines } from "./charts.js";
import { get } from "./client.js";
import { h, setText } from "./dom.js";
import { machineChoice, showMachines } from "./machines.js";
import { moment, rate, time } from "./format.js";

export const title = (name) => name;

const PAUSE = 10_000; // milliseconds
const WIDEST = 900; // pixels of a chart
const BANDS = [...Array.from({ length: 16 }, (_, n) => time(2 ** n / 1000)), "more"];
const ROUTE_HEADS = ["route", "app", "req/s", "p50", "p95", "p99", "4xx", "5xx", "retries"];
const SLOW_HEADS = ["path", "slowest", "status", "at", "among the slowest"];

export function open(root, name) {
  const path = `/v1/sites/${encodeURIComponent(name)}`;
  const about = h("p", { class: "about" });
  const urls = h("p", {});
  const numbers = h("dl", { class: "totals" });
  const charts = h("div", { class: "charts" });
  const certificate = h("ul", { class: "certificates" });
  const machine = machineChoice("this machine");
  const pause = button("pause", () => change(`pause ${name}`, `${path}/pause`));
  const resume = button("resume", () => change(`resume ${name}`, `${path}/resume`), { hidden: true });
  root.append(
    h("h1", {}, name),
    about,
    urls,
    h(
      "div",
      { class: "buttons" },
      pause,
      resume,
    ),
    machine.place,
    numbers,
    charts,
    certificate,
  );
  let isOpen = true;
  const show = () => look(name, machine.select.value, numbers, charts, certificate);
  machine.select.addEventListener("change", show);
  follow(() => isOpen, show);
  return {
    update(status) {
      showMachines(machine, status, []);
      const site = status.sites.find((each) => each.name === name);
      if (!site) {
        setText(about, "there is no such site any more");
        return;
      }
      resume.hidden = !(site.paused || site.held);
      pause.hidden = !resume.hidden;
      const source = site.certificate ? `, certificate: ${site.certificate}` : "";
      setText(about, `${site.paused ? "paused" : site.held ? "held" : site.to}${source}`);
      const shown = site.urls.join(" ");
      if (urls.textContent !== shown) {
        urls.replaceChildren(...site.urls.flatMap((url) => [link(url), " "]));
      }
    },
    close() {
      isOpen = false;
    },
  };
}

// Only addresses of the web: a name in the file must not become a script.
const link = (url) =>
  /^https?:\/\//.test(url) ? h("a", { href: url, rel: "noreferrer" }, url) : h("span", {}, url);

async function follow(isOpen, show) {
  while (isOpen()) {
    await show();
    await new Promise((done) => setTimeout(done, PAUSE));
  }
}

// The requests that entered at a machine of the cluster; without a name at this one.
async function look(name, machine, numbers, charts, certificate) {
  const of = machine ? `&machine=${encodeURIComponent(machine)}` : "";
  try {
    const found = await get(`/v1/traffic?site=${encodeURIComponent(name)}${of}`);
    showNumbers(numbers, found);
    showCharts(charts, found);
    const certificates = await get("/v1/certificates");
    certificate.replaceChildren(...certificates.filter((each) => each.names.includes(name)).map(item));
  } catch (error) {
    charts.replaceChildren(h("p", { class: "empty" }, error.message));
  }
}

function showNumbers(place, found) {
  const columns = [["last minute", found.minute, 60], ["ten minutes", found.ten_minutes, 600]];
  place.replaceChildren(
    ...columns.map(([name, totals, seconds]) =>
      h(
        "div",
        {},
        h("dt", {}, name),
        h(
          "dd",
          {},
          h("strong", {}, `${rate(totals.requests / seconds)} requests/s`),
          h("p", {}, `p50 ${time(totals.p50_s)}, p95 ${time(totals.p95_s)}, p99 ${time(totals.p99_s)}`),
          h("p", {}, codes(totals) || "no request"),
        ),
      ),
    ),
  );
}

const codes = (totals) =>
  Object.entries(totals.codes)
    .filter(([, count]) => count)
    .map(([code, count]) => `${code}: ${count}`)
    .join(", ");

const table = (label, heads, rows) =>
  h(
    "div",
    { class: "wide", tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((text) => h("td", {}, text))))),
    ),
  );

const routes = (found) =>
  found.map((each) => [
    each.route || "all others",
    each.app || "nginx",
    rate(each.requests / 600),
    time(each.p50_s),
    time(each.p95_s),
    time(each.p99_s),
    String(each.codes["4xx"] ?? 0),
    String(each.codes["5xx"] ?? 0),
    String(each.retries),
  ]);

const slow = (found) =>
  found.map((each) => [
    `${each.method} ${each.path}`,
    time(each.slowest_s),
    String(each.status),
    moment(each.at),
    String(each.count),
  ]);

function showCharts(place, found) {
  const minutes = found.minutes;
  const width = Math.min(place.clientWidth, WIDEST);
  const of = (pick) => minutes.map((each) => pick(each) ?? null);
  const classes = ["2xx", "3xx", "4xx", "5xx"];
  place.replaceChildren(
    h("h2", {}, "Requests per second"),
    lines([{ values: of((m) => m.requests / 60) }], "requests per second in the last hour", rate, width),
    h("h2", {}, "Response time"),
    lines(
      [
        { values: of((m) => m.p50_s) },
        { values: of((m) => m.p95_s) },
        { values: of((m) => m.p99_s) },
      ],
      "response times in the last hour",
      time,
      width,
    ),
    legend(["p50", "p95", "p99"]),
    h("h2", {}, "Requests by response time"),
    heatmap(
      minutes.map((m) => m.bands),
      BANDS,
      "requests by response time in the last hour, a column a minute",
      width,
    ),
    h("h2", {}, "Status"),
    lines(
      classes.map((code) => ({ values: of((m) => (m.codes[code] ?? 0) / 60) })),
      "responses per second by class of status in the last hour",
      rate,
      width,
    ),
    legend(classes),
    h("h2", {}, "Routes in the last ten minutes"),
    found.routes.length
      ? table("Routes", ROUTE_HEADS, routes(found.routes))
      : h("p", { class: "empty" }, "no request"),
    h("h2", {}, "Slowest requests in the last hour"),
    found.slowest.length
      ? table("Slowest requests", SLOW_HEADS, slow(found.slowest))
      : h("p", { class: "empty" }, "no request"),
  );
}
