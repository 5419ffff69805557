// One site: where it leads, its traffic over the last hour, its certificate.

import { button, change } from "./actions.js";
import { legend, lines } from "./charts.js";
import { get } from "./client.js";
import { h, setText } from "./dom.js";
import { rate, time } from "./format.js";

export const title = (name) => name;

const PAUSE = 10_000; // milliseconds

export function open(root, name) {
  const path = `/v1/sites/${encodeURIComponent(name)}`;
  const about = h("p", { class: "about" });
  const urls = h("p", {});
  const numbers = h("dl", { class: "totals" });
  const charts = h("div", { class: "charts" });
  root.append(
    h("h1", {}, name),
    about,
    urls,
    h(
      "div",
      { class: "buttons" },
      button("pause", () => change(`pause ${name}`, `${path}/pause`)),
      button("resume", () => change(`resume ${name}`, `${path}/resume`)),
    ),
    numbers,
    charts,
  );
  let isOpen = true;
  follow(() => isOpen, name, numbers, charts);
  return {
    update(status) {
      const site = status.sites.find((each) => each.name === name);
      if (!site) {
        setText(about, "there is no such site any more");
        return;
      }
      const certificate = site.certificate ? `, certificate: ${site.certificate}` : "";
      setText(about, `${site.paused ? "paused" : site.held ? "held" : site.to}${certificate}`);
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

async function follow(isOpen, name, numbers, charts) {
  while (isOpen()) {
    try {
      const found = await get(`/v1/traffic?site=${encodeURIComponent(name)}`);
      showNumbers(numbers, found);
      showCharts(charts, found.minutes);
    } catch (error) {
      charts.replaceChildren(h("p", { class: "empty" }, error.message));
    }
    await new Promise((done) => setTimeout(done, PAUSE));
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
          h("p", {}, Object.entries(totals.codes).map(([code, count]) => `${code}: ${count}`).join(", ")),
        ),
      ),
    ),
  );
}

function showCharts(place, minutes) {
  const of = (pick) => minutes.map((each) => pick(each) ?? null);
  const codes = ["2xx", "3xx", "4xx", "5xx"];
  place.replaceChildren(
    h("h2", {}, "Requests per second"),
    lines([{ values: of((m) => m.requests / 60) }], "requests per second in the last hour", rate),
    h("h2", {}, "Response time"),
    lines(
      [
        { values: of((m) => m.p50_s) },
        { values: of((m) => m.p95_s) },
        { values: of((m) => m.p99_s) },
      ],
      "response times in the last hour",
      time,
    ),
    legend(["p50", "p95", "p99"]),
    h("h2", {}, "Status"),
    lines(
      codes.map((code) => ({ values: of((m) => (m.codes[code] ?? 0) / 60) })),
      "responses per second by class of status in the last hour",
      rate,
    ),
    legend(codes),
  );
}
