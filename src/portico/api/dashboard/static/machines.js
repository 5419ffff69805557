// The machines of a cluster, to choose one of them. Elsewhere there is nothing to choose.

import { h, update } from "./dom.js";

// `all` is what is shown without a choice.
export function machineChoice(all) {
  const select = h("select", { "aria-label": "Machine" });
  return { all, select, place: h("div", { class: "buttons", hidden: true }, select) };
}

// `own` has the name of this machine where it can be chosen by itself.
export function showMachines({ all, select, place }, status, own) {
  const others = (status.machines ?? []).map((each) => each.name);
  place.hidden = !others.length;
  update(
    select,
    ["", ...(others.length ? [...own, ...others] : [])],
    (name) => name,
    (name) => h("option", { value: name }, name || all),
    () => {},
  );
}
