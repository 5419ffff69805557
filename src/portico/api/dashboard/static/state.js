// The newest status, and what it was lately: enough for a line of a minute.

import { fullName } from "./format.js";

const SAMPLES = 60;
const samples = new Map();
export let status = null;

export const instances = (app) => app.instances;
export const isWell = (instance) => instance.state === "ready" || instance.state === "running";
export const requests = (row) => row.traffic?.requests_s ?? 0;
export const errors = (row) => row.traffic?.errors ?? 0;
export const sum = (rows, number) => rows.reduce((total, row) => total + number(row), 0);

export function receive(now) {
  status = now;
  const seen = new Set();
  const keep = (key, value) => {
    seen.add(key);
    const values = samples.get(key) ?? [];
    samples.set(key, [...values, value].slice(-SAMPLES));
  };
  keep("requests", sum(now.sites, requests));
  keep("errors", sum(now.sites, errors));
  keep("cpu", sum(now.apps, (app) => sum(app.instances, (i) => i.cpu_percent)));
  keep("memory", sum(now.apps, (app) => sum(app.instances, (i) => i.memory_bytes)));
  for (const app of now.apps) {
    for (const instance of app.instances) keep(`${fullName(app)} ${instance.id}`, requests(instance));
  }
  for (const site of now.sites) keep(`site ${site.name}`, requests(site));
  for (const key of samples.keys()) if (!seen.has(key)) samples.delete(key);
}

export const lately = (key) => samples.get(key) ?? [];
