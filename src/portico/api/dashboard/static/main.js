// Which page is shown, and the status that all of them follow.

import * as app from "./app.js";
import { live, takeKey } from "./client.js";
import * as certificates from "./certificates.js";
import { h, setText } from "./dom.js";
import * as events from "./events.js";
import * as file from "./file.js";
import * as logs from "./logs.js";
import * as overview from "./overview.js";
import * as site from "./site.js";
import { receive, status } from "./state.js";

const PAGES = { "": overview, app, site, certificates, logs, events, file };

let shown = { update() {}, close() {} };

function show() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const page = PAGES[name] ?? overview;
  shown.close?.();
  const main = document.getElementById("content");
  main.replaceChildren();
  shown = page.open(main, rest.join("/"));
  document.title = `${page.title(rest.join("/"))} · Portico`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.hash.replace(/^#\/?/, "") === name;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (status) shown.update?.(status);
}

function connection(text, isBroken) {
  const place = document.getElementById("connection");
  setText(place, text);
  place.classList.toggle("broken", isBroken);
}

takeKey();
window.addEventListener("hashchange", () => {
  show();
  document.getElementById("content").focus();
});
show();
live(
  (now) => {
    receive(now);
    connection(`porticod ${now.daemon.version}, live`, false);
    shown.update?.(status);
  },
  (why, isRefused) => {
    connection(isRefused ? why : `not connected: ${why}`, true);
    if (!status) document.getElementById("content").replaceChildren(h("p", { class: "empty" }, why));
  },
);
