// Numbers and times as `portico status` shows them; moments are in UTC and say so.

const SIZES = ["B", "KB", "MB", "GB", "TB"];

export function size(bytes) {
  let power = 0;
  while (bytes >= 1024 && power < SIZES.length - 1) {
    bytes /= 1024;
    power += 1;
  }
  return `${bytes.toFixed(power ? 1 : 0)} ${SIZES[power]}`;
}

export function duration(seconds) {
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["m", 60]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)}${unit}`;
  }
  return `${Math.floor(seconds)}s`;
}

export const rate = (number) => number.toFixed(number < 100 ? 1 : 0);

export function time(seconds) {
  if (seconds === null || seconds === undefined) return "-";
  const milliseconds = seconds * 1000;
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
  return milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${seconds.toFixed(1)} s`;
}

// Another machine may send any number.
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return seconds > 0 ? "never" : "unknown";
  return date.toISOString().replace("T", " ").slice(0, 19) + " UTC";
}

export const day = (seconds) => moment(seconds).split(" ")[0];

export const fullName = (each) => (each.project ? `${each.project}/${each.name}` : each.name);

export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

// The end of a name is kept, which tells instances and sites apart.
export function shorten(text, length) {
  if (text.length <= length) return text;
  const end = Math.ceil((length - 1) / 2);
  return `${text.slice(0, length - 1 - end)}…${text.slice(-end)}`;
}

// A name within its project: `shop/web.1.2` is `web.1.2`.
export const within = (project, name) =>
  project && name.startsWith(`${project}/`) ? name.slice(project.length + 1) : name;
