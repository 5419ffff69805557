// What is in force, what the file on disk would change, and what was applied before.

import { get } from "./client.js";
import { h, setText, update } from "./dom.js";
import { moment } from "./format.js";

export const title = () => "File";

const PAUSE = 10_000; // milliseconds
const FIRST_PAUSE = 250;
const HEADS = ["revision", "project", "applied", "by", "file", ""];

export function open(root) {
  const body = h("tbody");
  const projects = h("div", {});
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
  let isOpen = true;
  let names = [];
  (async () => {
    while (isOpen) {
      for (const name of names) await showPlan(projects, name);
      await new Promise((done) => setTimeout(done, names.length ? PAUSE : FIRST_PAUSE));
    }
  })();
  return {
    update(status) {
      names = status.projects.map((each) => each.name);
      update(
        projects,
        status.projects,
        (each) => each.name,
        (each) => h("section", {}, h("h2", {}, each.name), h("p", {}), h("p", { class: "about" }), h("ol", { class: "plan" })),
        (section, each) => setText(section.children[1], `in force: revision ${each.revision}, from ${each.source}`),
      );
    },
    close() {
      isOpen = false;
    },
  };
}

async function showPlan(projects, name) {
  const section = [...projects.children].find((each) => each.dataset.key === name);
  if (!section) return;
  const [, , about, steps] = section.children;
  try {
    const plan = await get(`/v1/projects/${encodeURIComponent(name)}/plan`);
    about.classList.toggle("problem", Boolean(plan.problem));
    setText(about, plan.problem || said(plan));
    update(
      steps,
      [...plan.steps, ...plan.notes.map((what) => ({ what: `note: ${what}`, why: "" }))],
      (step) => `${step.what} ${step.why}`,
      (step) => h("li", {}, step.why ? `${step.what}: ${step.why}` : step.what),
      () => {},
    );
  } catch (error) {
    setText(about, error.message);
  }
}

function said(plan) {
  if (!plan.changed) return "the file on disk is the one in force";
  const command = `portico up ${plan.source}`;
  return plan.steps.length
    ? `the file on disk was edited; \`${command}\` would do this:`
    : `the file on disk was edited; \`${command}\` would replace nothing that runs`;
}

const row = (each) =>
  h(
    "tr",
    {},
    h("td", {}, String(each.number)),
    h("td", {}, each.project),
    h("td", {}, moment(each.applied)),
    h("td", {}, each.who),
    h("td", { class: "text" }, each.source),
    h("td", {}, each.current ? "in force" : ""),
  );
