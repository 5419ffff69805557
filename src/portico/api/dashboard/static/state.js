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

// Other machines of the cluster may have an instance of the same name.
export const keyOf = (instance) => `${instance.machine} ${instance.id}`;

// The instances of other machines stand with those of this one, in their apps. What a machine of
// another version does not say counts as nothing.
function withMachines(now) {
  const answering = (now.machines ?? []).filter((each) => each.status);
  if (!answering.length) return now;
  const apps = now.apps.map((app) => {
    const there = answering.flatMap((each) => {
      const found = each.status.apps.filter((other) => fullName(other) === fullName(app));
      return found.flatMap((other) => other.instances.map((i) => known(i, each.name)));
    });
    return { ...app, instances: [...app.instances, ...there] };
  });
  const sites = now.sites.map((site) => {
    const every = answering.flatMap((each) => each.status.sites);
    const there = every.filter((other) => other.name === site.name && other.traffic);
    return there.length ? { ...site, traffic: added([site, ...there]) } : site;
  });
  const troubles = answering.flatMap((each) => each.status.troubles.map((text) => `${each.name}: ${text}`));
  return { ...now, apps, sites, troubles: [...now.troubles, ...troubles] };
}

const known = (instance, machine) => ({ ...instance, machine, state: instance.state ?? "unknown" });

// Times cannot be added.
const added = (rows) => ({
  requests_s: sum(rows, requests),
  errors: sum(rows, errors),
  p50_s: null,
  p95_s: null,
  p99_s: null,
});

export function receive(received) {
  const now = withMachines(received);
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
    for (const instance of app.instances) keep(`${fullName(app)} ${keyOf(instance)}`, requests(instance));
  }
  for (const site of now.sites) keep(`site ${site.name}`, requests(site));
  for (const key of samples.keys()) if (!seen.has(key)) samples.delete(key);
}

export const lately = (key) => samples.get(key) ?? [];
