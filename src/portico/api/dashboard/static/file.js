// What is in force, and what was applied before.

import { get } from "./client.js";
import { h } from "./dom.js";
import { moment } from "./format.js";

export const title = () => "File";

const HEADS = ["revision", "project", "applied", "by", "file", ""];

export function open(root) {
  const body = h("tbody");
  const projects = h("ul", { class: "projects" });
  root.append(
    h("h1", {}, "File"),
    projects,
    h("h2", {}, "Revisions"),
    h(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": "Revisions" },
      h("table", {}, h("thead", {}, h("tr", {}, HEADS.map((head) => h("th", { scope: "col" }, head)))), body),
    ),
  );
  get("/v1/history").then(
    (found) => body.replaceChildren(...found.map(row)),
    (error) => body.replaceChildren(h("tr", {}, h("td", { colspan: HEADS.length }, error.message))),
  );
  return {
    update(status) {
      projects.replaceChildren(
        ...status.projects.map((each) =>
          h("li", {}, `${each.name}: revision ${each.revision}, from ${each.source}`),
        ),
      );
    },
  };
}

const row = (each) =>
  h(
    "tr",
    {},
    h("td", {}, String(each.number)),
    h("td", {}, each.project),
    h("td", {}, moment(each.applied)),
    h("td", {}, each.who),
    h("td", {}, each.source),
    h("td", {}, each.current ? "in force" : ""),
  );
