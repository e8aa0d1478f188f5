// A line chart as SVG, with a legend and what the lines are worth under the pointer.

import { h, s, clock, duration, short } from "./dom.js";

const WIDTH = 960;
const HEIGHT = 320;
const PAD = { left: 64, right: 14, top: 14, bottom: 28 };
const LEGEND = 12;

/** Draw lines [{name, points: [[second, value]]}] over the last `window` seconds; `unit` is s, ms, B, rate or "". */
export function chart(lines, window, unit) {
  const until = Math.floor(Date.now() / 1000);
  const since = until - window;
  const top = nice(Math.max(1e-9, ...lines.flatMap((line) => line.points.map(([, value]) => value))));
  const bottom = Math.min(0, ...lines.flatMap((line) => line.points.map(([, value]) => value)));
  const x = (second) => PAD.left + ((second - since) / window) * (WIDTH - PAD.left - PAD.right);
  const y = (value) => HEIGHT - PAD.bottom - ((value - bottom) / (top - bottom)) * (HEIGHT - PAD.top - PAD.bottom);
  const paths = lines.map((line, index) => path(line, index, x, y, window));
  const cursor = s("line", { class: "cursor", y1: PAD.top, y2: HEIGHT - PAD.bottom, visibility: "hidden" });
  const tip = h("div", { class: "tip", hidden: true });
  const picture = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": "chart" },
    grid(top, bottom, y, unit), times(since, window, x), paths.map(({ element }) => element), cursor);
  const area = h("div", { class: "chart-area", onpointermove: (event) => follow(event), onpointerleave: () => { tip.hidden = true; cursor.setAttribute("visibility", "hidden"); } }, picture, tip);

  function follow(event) {
    const box = picture.getBoundingClientRect();
    const second = since + (((event.clientX - box.left) / box.width) * WIDTH - PAD.left) / (WIDTH - PAD.left - PAD.right) * window;
    const near = lines.map((line, index) => ({ name: line.name, index, point: nearest(line.points, second) }))
      .filter(({ point }) => point && Math.abs(point[0] - second) < window / 12).sort((a, b) => b.point[1] - a.point[1]).slice(0, LEGEND);
    tip.hidden = !near.length;
    if (!near.length) return;
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(near[0].point[0]));
    cursor.setAttribute("x2", x(near[0].point[0]));
    tip.replaceChildren(h("b", {}, clock(near[0].point[0] * 1000)),
      ...near.map(({ name, index, point }) => h("div", {}, h("i", { style: { background: tint(index) } }), h("span", {}, name), h("em", {}, worth(point[1], unit)))));
    const left = event.clientX - box.left;
    tip.style.setProperty("left", `${left > box.width / 2 ? left - tip.offsetWidth - 16 : left + 16}px`);
  }
  return h("figure", {}, area, legend(lines, paths, unit));
}

function path(line, index, x, y, window) {
  const gap = Math.max(90, window / 20); // seconds without a point that break the line
  const marks = line.points.map(([second, value], at) => {
    const broken = at === 0 || second - line.points[at - 1][0] > gap;
    return `${broken ? "M" : "L"}${x(second).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  const element = s("g", { class: "line" }, s("path", { d: marks.join(""), style: { stroke: tint(index) } }));
  if (line.points.length === 1) element.append(s("circle", { cx: x(line.points[0][0]), cy: y(line.points[0][1]), r: 3, style: { fill: tint(index) } }));
  return { element };
}

function legend(lines, paths, unit) {
  const mark = (index, on) => paths.forEach(({ element }, other) => element.classList.toggle("faded", on && other !== index));
  return h("figcaption", {}, lines.slice(0, LEGEND).map((line, index) =>
    h("span", { onpointerenter: () => mark(index, true), onpointerleave: () => mark(index, false) },
      h("i", { style: { background: tint(index) } }), line.name, h("em", {}, worth(line.points.at(-1)[1], unit)))),
  lines.length > LEGEND ? h("span", { class: "dim" }, `and ${lines.length - LEGEND} more`) : null);
}

function grid(top, bottom, y, unit) {
  return [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const value = bottom + (top - bottom) * part;
    return s("g", { class: "grid" }, s("line", { x1: PAD.left, x2: WIDTH - PAD.right, y1: y(value), y2: y(value) }),
      s("text", { x: PAD.left - 8, y: y(value) + 4, "text-anchor": "end" }, worth(value, unit)));
  });
}

function times(since, window, x) {
  const steps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600];
  const step = steps.find((candidate) => window / candidate <= 8) ?? 43200;
  const first = Math.ceil(since / step) * step;
  const count = Math.max(0, Math.floor((since + window - first) / step) + 1);
  return Array.from({ length: count }, (_, index) => first + index * step).map((second) =>
    s("text", { class: "time", x: x(second), y: HEIGHT - 8, "text-anchor": "middle" }, clock(second * 1000).slice(0, 5)));
}

function nearest(points, second) {
  return points.reduce((best, point) => (!best || Math.abs(point[0] - second) < Math.abs(best[0] - second) ? point : best), null);
}

const tint = (index) => `var(--c${index % 10})`;

/** A value in its unit. */
function worth(value, unit) {
  if (unit === "s") return value === 0 ? "0" : duration(value * 1000);
  if (unit === "ms") return value === 0 ? "0" : duration(value);
  if (unit === "rate") return `${short(value)}/s`;
  return unit === "B" ? `${short(value)}${/ /.test(short(value)) ? "" : " "}B` : short(value);
}

/** The next round number at or above. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((candidate) => candidate >= value * 1.02) ?? 10 * power;
}
