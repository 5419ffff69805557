// Elements are made with text and attributes only: nothing that a program prints becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

export const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
}

// Elements of long lists are changed while they are on the screen, and when they come there: a
// browser takes longer for a table of 200 rows than a frame lasts.
const MANY = 40;
const MARGIN = "100px";
const onScreen = new WeakSet();
const due = new WeakMap();
const screen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) onScreen.delete(target);
      else {
        onScreen.add(target);
        due.get(target)?.();
        due.delete(target);
      }
    }
  },
  { rootMargin: MARGIN },
);

// Does `work` for each element and its row, now or when it comes to the screen.
export function changed(elements, rows, work) {
  elements.forEach((element, at) => {
    const now = () => work(element, rows[at]);
    if (elements.length <= MANY || onScreen.has(element)) now();
    else due.set(element, now);
  });
}

// Keeps the elements of rows that are still there: a table of 200 rows changes without a flicker.
export function update(parent, rows, key, make, change) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  const elements = rows.map((row) => {
    const name = key(row);
    let element = before.get(name);
    if (element) before.delete(name);
    else {
      element = make(row);
      element.dataset.key = name;
      change(element, row);
      screen.observe(element);
    }
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
    return element;
  });
  for (const element of before.values()) {
    screen.unobserve(element);
    element.remove();
  }
  changed(elements, rows, change);
}

export const watch = (elements) => elements.forEach((element) => screen.observe(element));
