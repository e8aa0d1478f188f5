// Elements made of data. Text is only ever set as text: whatever telemetry says, it is shown and never run.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("a", {href, class, onclick}, "text", child, null). Functions become listeners. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace what an element holds. */
export function show(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child != null));
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.entries(value).forEach(([key, text]) => element.style.setProperty(key, text));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** A duration in milliseconds, in the unit that reads best. */
export function duration(ms) {
  if (ms == null) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  return `${Number((ms / 1000).toFixed(ms < 10000 ? 2 : 1))} s`;
}

/** A number with a unit prefix: 1.2 k, 34 M. */
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${(value / 1e9).toFixed(1)} G`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  if (size >= 1) return value.toFixed(1);
  if (size < 0.01) return size < 0.001 ? value.toExponential(1) : value.toFixed(3);
  return Number(value.toPrecision(2)).toString();
}

/** A rate, by the minute where it is low. */
export function rate(perSecond) {
  return perSecond > 0 && perSecond < 0.1 ? `${short(perSecond * 60)}/min` : `${short(perSecond)}/s`;
}

export function percent(ratio) {
  return ratio === 0 ? "0 %" : `${(ratio * 100).toFixed(ratio < 0.1 ? 1 : 0)} %`;
}

/** The time of day, with milliseconds if asked for. */
export function clock(time, exact = false) {
  const date = new Date(time);
  const text = date.toLocaleTimeString("en-GB");
  return exact ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text;
}

const COLOURS = 10;
const taken = new Map(); // service -> number of its colour

/** A colour of its own for each service, as far as there are enough; the same as long as the page is open. */
export function colour(service) {
  if (!taken.has(service)) {
    let number = 7;
    for (const character of service) number = (number * 31 + character.codePointAt(0)) >>> 0;
    const used = new Set(taken.values());
    while (used.size < COLOURS && used.has(number % COLOURS)) number += 1;
    taken.set(service, number % COLOURS);
  }
  return `var(--c${taken.get(service)})`;
}

export function badge(service) {
  return h("span", { class: "service" }, h("i", { style: { background: colour(service) } }), service);
}

export function empty(text, hint = "") {
  return h("div", { class: "empty" }, h("p", {}, text), hint ? h("p", { class: "dim" }, hint) : null);
}
