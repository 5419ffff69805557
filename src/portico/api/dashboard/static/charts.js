// Small charts as SVG. Each has a sentence for those who do not see it.

import { s, setAttributes } from "./dom.js";

// One line over time, scaled to its largest value. It is changed in place: there may be hundreds.
export function sparkline(place, values, label, width = 120, height = 28) {
  const most = Math.max(...values, 0);
  const step = width / Math.max(values.length - 1, 1);
  const y = (value) => height - 2 - (most ? (value / most) * (height - 4) : 0);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${y(value).toFixed(1)}`);
  const area = values.length ? `M0,${height} L${points.join(" L")} L${width},${height} Z` : "";
  if (!place.firstElementChild) {
    place.append(
      s(
        "svg",
        { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
        s("path", { class: "area" }),
        s("polyline", { class: "line" }),
      ),
    );
  }
  const [path, line] = place.firstElementChild.children;
  setAttributes(path, { d: area });
  setAttributes(line, { points: points.join(" ") });
}

const AXIS = 56; // pixels left of a chart, for what its lines mean

// Several lines over the same minutes: [{name, values}], nulls are gaps.
export function lines(series, label, format, width, height = 160) {
  const most = Math.max(...series.flatMap((each) => each.values.filter((v) => v !== null)), 0);
  const length = Math.max(...series.map((each) => each.values.length), 2);
  const x = (at) => AXIS + (at / (length - 1)) * (width - AXIS - 8);
  const y = (value) => height - 20 - (most ? (value / most) * (height - 34) : 0);
  const path = (values) => {
    let pen = "M";
    return values
      .map((value, at) => {
        if (value === null) {
          pen = "M";
          return "";
        }
        const point = `${pen}${x(at).toFixed(1)},${y(value).toFixed(1)}`;
        pen = "L";
        return point;
      })
      .join("");
  };
  const grid = (most ? [0, 0.5, 1] : [0]).map((part) => [
    s("line", { class: "grid", x1: AXIS, x2: width - 8, y1: y(most * part), y2: y(most * part) }),
    s("text", { class: "tick", x: AXIS - 4, y: y(most * part) + 4, "text-anchor": "end" }, format(most * part)),
  ]);
  return s(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ...grid,
    s("text", { class: "tick", x: AXIS, y: height - 4 }, `${length - 1} minutes ago`),
    s("text", { class: "tick", x: width - 8, y: height - 4, "text-anchor": "end" }, "now"),
    ...series.map((each, at) => s("path", { class: `line series-${at}`, d: path(each.values) })),
  );
}

// How many of each column are in which band, from the lowest: a darker field has more.
export function heatmap(columns, names, label, width, height = 180) {
  const most = Math.max(...columns.flat(), 1);
  const wide = (width - AXIS - 8) / Math.max(columns.length, 1);
  const high = (height - 20) / names.length;
  const top = (at) => height - 20 - (at + 1) * high;
  return s(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ...names.flatMap((name, at) =>
      at % 3 ? [] : [s("text", { class: "tick", x: AXIS - 4, y: top(at) + high, "text-anchor": "end" }, name)],
    ),
    s("text", { class: "tick", x: AXIS, y: height - 4 }, `${columns.length - 1} minutes ago`),
    s("text", { class: "tick", x: width - 8, y: height - 4, "text-anchor": "end" }, "now"),
    ...columns.flatMap((bands, column) =>
      bands.flatMap((count, at) =>
        count
          ? [
              s("rect", {
                class: "heat",
                x: (AXIS + column * wide).toFixed(1),
                y: top(at).toFixed(1),
                width: wide.toFixed(1),
                height: high.toFixed(1),
                "fill-opacity": (0.15 + 0.85 * Math.sqrt(count / most)).toFixed(2),
              }),
            ]
          : [],
      ),
    ),
  );
}

// What the lines of a chart are.
export const legend = (names) =>
  s(
    "svg",
    { class: "legend", width: names.length * 76, height: 18, "aria-hidden": "true" },
    ...names.flatMap((name, at) => [
      s("line", { class: `line series-${at}`, x1: at * 76, x2: at * 76 + 16, y1: 8, y2: 8 }),
      s("text", { class: "tick", x: at * 76 + 20, y: 12 }, name),
    ]),
  );
