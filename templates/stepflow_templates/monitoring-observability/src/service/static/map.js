// The map of services: which calls which, from left to right, as SVG.

import { s, colour, duration, percent, rate, short } from "./dom.js";

const WIDEST = 1280; // the width that columns share
const ROW = 90;
const RADIUS = 23;

/** Draw the map of an overview; `choose` is called with the service that is clicked. */
export function serviceMap({ services, edges }, choose) {
  const layers = layered(services.map((service) => service.name), edges);
  const tallest = Math.max(...layers.map((layer) => layer.length));
  const column = Math.min(360, Math.max(190, WIDEST / layers.length));
  const width = Math.max(layers.length, 2) * column;
  const height = tallest * ROW + 30;
  const places = new Map();
  layers.forEach((layer, number) => layer.forEach((name, row) => {
    places.set(name, { x: (number + 0.5) * column, y: 4 + ((row + 0.5) * tallest * ROW) / layer.length });
  }));
  const busiest = Math.max(1, ...edges.map((edge) => edge.count));
  return s("svg", { viewBox: `0 0 ${width} ${height}`, class: "map", style: { "max-height": `${height}px` }, role: "img", "aria-label": "service map" },
    s("defs", {}, ["call", "event", "failing"].map(arrowHead)),
    edges.map((edge) => arrow(edge, places, busiest, column)),
    services.map((service) => node(service, places.get(service.name), choose)));
}

/** Put each service one column right of the first that calls it; services without a caller stand left. */
function layered(names, edges) {
  const depth = new Map();
  const linked = new Set(edges.flatMap((edge) => [edge.source, edge.target]));
  const called = new Set(edges.map((edge) => edge.target));
  let frontier = [...linked].filter((name) => !called.has(name));
  if (!frontier.length && linked.size) frontier = [entrance(linked, edges)];
  for (let level = 0; frontier.length; level += 1) {
    frontier.forEach((name) => depth.set(name, level));
    const following = edges.filter((edge) => frontier.includes(edge.source)).map((edge) => edge.target);
    frontier = [...new Set(following)].filter((name) => !depth.has(name));
  }
  const last = Math.max(0, ...[...depth.values()]);
  const layers = Array.from({ length: last + 1 }, () => []);
  names.filter((name) => linked.has(name)).forEach((name) => layers[depth.get(name) ?? last].push(name));
  const alone = names.filter((name) => !linked.has(name));
  if (alone.length) layers.push(alone);
  const above = new Map();
  return layers.filter((layer) => layer.length).map((layer) => {
    const weight = (name) => {
      const rows = edges.filter((edge) => edge.target === name && above.has(edge.source)).map((edge) => above.get(edge.source));
      return rows.length ? rows.reduce((sum, row) => sum + row, 0) / rows.length : 0;
    };
    const sorted = layer.sort((a, b) => weight(a) - weight(b) || a.localeCompare(b));
    sorted.forEach((name, row) => above.set(name, (row + 0.5) / sorted.length));
    return sorted;
  });
}

/** Where every service has a caller (services call back through the gateway): the one with the most outgoing calls. */
function entrance(names, edges) {
  const surplus = (name) => edges.reduce((sum, edge) => sum + (edge.source === name ? edge.count : 0) - (edge.target === name ? edge.count : 0), 0);
  return [...names].reduce((best, name) => (surplus(name) > surplus(best) ? name : best));
}

function arrowHead(kind) {
  return s("marker", { id: `head-${kind}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" },
    s("path", { d: "M0 0.8 L8 4 L0 7.2 z", class: `head ${kind}` }));
}

function arrow(edge, places, busiest, column) {
  const from = places.get(edge.source);
  const to = places.get(edge.target);
  const kind = edge.errors ? "failing" : edge.kind;
  const { start, bends, end } = curve(from, to, column);
  const thickness = 1.2 + 2.6 * Math.sqrt(edge.count / busiest);
  const text = `${edge.source} → ${edge.target}: ${short(edge.count)} ${edge.kind}s, ${short(edge.errors)} failed, ${duration(edge.mean_ms)} on average`;
  return s("path", { d: `M ${start} C ${bends}, ${end}`, class: `edge ${edge.kind} ${kind}`, "stroke-width": thickness.toFixed(1), "marker-end": `url(#head-${kind})` },
    s("title", {}, text));
}

/** From left to right; back below the straight line; within a column round its right side. */
function curve(from, to, column) {
  if (to.x > from.x) {
    const reach = column * 0.45;
    return { start: `${from.x + RADIUS + 2} ${from.y}`, bends: `${from.x + reach} ${from.y}, ${to.x - reach} ${to.y}`, end: `${to.x - RADIUS - 5} ${to.y}` };
  }
  if (to.x < from.x) {
    const reach = column * 0.35;
    return { start: `${from.x - RADIUS - 1} ${from.y + 7}`, bends: `${from.x - reach} ${from.y + 34}, ${to.x + reach} ${to.y + 44}`, end: `${to.x + RADIUS + 4} ${to.y + 9}` };
  }
  const reach = Math.max(60, Math.abs(to.y - from.y) * 0.4);
  return { start: `${from.x + RADIUS + 2} ${from.y}`, bends: `${from.x + reach} ${from.y + 40}, ${to.x + reach} ${to.y - 40}`, end: `${to.x + RADIUS + 5} ${to.y - 8}` };
}

function node(service, { x, y }, choose) {
  const around = 2 * Math.PI * RADIUS;
  const failed = around * service.error_ratio;
  return s("g", { class: "node", tabindex: 0, role: "button", onclick: () => choose(service.name), onkeydown: (event) => { if (event.key === "Enter") choose(service.name); }, transform: `translate(${x} ${y})` },
    s("title", {}, `${service.name}: ${rate(service.per_second)}, ${percent(service.error_ratio)} failed, p95 ${duration(service.p95_ms)}`),
    s("circle", { r: RADIUS, class: "disc" }),
    s("circle", { r: RADIUS, class: "ring", style: { stroke: colour(service.name) } }),
    failed ? s("circle", { r: RADIUS, class: "ring failed", "stroke-dasharray": `${failed} ${around}`, transform: "rotate(-90)" }) : null,
    s("text", { class: "in", y: 4 }, service.requests ? rate(service.per_second).replace("/min", "/m") : "·"),
    s("text", { class: "name", y: RADIUS + 17 }, service.name),
    service.p95_ms == null ? null : s("text", { class: "under", y: RADIUS + 31 }, `p95 ${duration(service.p95_ms)}`));
}
