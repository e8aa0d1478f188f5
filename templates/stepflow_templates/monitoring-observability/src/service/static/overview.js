// The platform at a glance: a card for each service with rate, errors and duration, and the map of calls between them.

import { h, s, badge, duration, percent, rate, short, empty } from "./dom.js";
import { ask } from "./session.js";
import { serviceMap } from "./map.js";

export async function overview({ id, window, go }) {
  const found = await ask("services", { window });
  if (!found.services.length) {
    return empty("No service has sent telemetry yet.", "Send a request through the gateway; it shows here within seconds.");
  }
  const chosen = found.services.some((service) => service.name === id) ? id : "";
  const requests = found.services.reduce((sum, service) => sum + service.requests, 0);
  const failed = found.services.reduce((sum, service) => sum + service.errors, 0);
  const slowest = found.services.filter((service) => service.p95_ms != null).sort((a, b) => b.p95_ms - a.p95_ms)[0];
  return h("div", { class: "overview" },
    h("section", { class: "figures" },
      figure(String(found.services.length), "services"),
      figure(short(requests / window), "requests a second, all services"),
      figure(percent(requests ? failed / requests : 0), "of them failed", failed ? "bad" : ""),
      slowest ? figure(duration(slowest.p95_ms), `slowest p95: ${slowest.name}`) : null),
    h("section", { class: "panel" },
      h("h2", {}, "Service map", h("small", {}, h("i", { class: "key call" }), "calls", h("i", { class: "key event" }), "events", h("i", { class: "key failing" }), "with errors")),
      serviceMap(found, (name) => go(`overview/${name}`))),
    chosen ? await operations(chosen, window, go) : null,
    h("section", { class: "cards" }, found.services.map((service) => card(service, window, service.name === chosen, go))));
}

function figure(value, text, mood = "") {
  return h("div", { class: `figure ${mood}` }, h("b", {}, value), h("span", {}, text));
}

function card(service, window, isChosen, go) {
  const open = () => go(`overview/${isChosen ? "" : service.name}`);
  return h("button", { class: `card ${isChosen ? "chosen" : ""}`, type: "button", onclick: open },
    h("h3", {}, badge(service.name)),
    service.requests ? spark(service.minutes, window) : h("p", { class: "dim quiet-service" }, "no requests in this time"),
    h("dl", {},
      fact("rate", rate(service.per_second)),
      fact("errors", percent(service.error_ratio), service.errors ? "bad" : ""),
      fact("p50", duration(service.p50_ms)),
      fact("p95", duration(service.p95_ms))));
}

function fact(name, value, mood = "") {
  return h("div", { class: mood }, h("dt", {}, name), h("dd", {}, value));
}

/** Requests by minute as bars, the failed part of each on top in red. */
function spark(minutes, window) {
  const now = Math.floor(Date.now() / 60000) * 60;
  const slots = Math.min(60, Math.max(5, Math.round(window / 60)));
  const each = Math.max(1, Math.ceil(window / 60 / slots)) * 60;
  const sums = Array.from({ length: slots }, () => [0, 0]);
  for (const [minute, count, failed] of minutes) {
    const slot = slots - 1 - Math.floor((now - minute) / each);
    if (slot >= 0 && slot < slots) { sums[slot][0] += count; sums[slot][1] += failed; }
  }
  const highest = Math.max(1, ...sums.map(([count]) => count));
  const width = 240 / slots;
  const bars = sums.flatMap(([count, failed], index) => {
    const height = (count / highest) * 40;
    const red = (failed / highest) * 40;
    const at = { x: index * width + 0.5, width: Math.max(1, width - 1.5), rx: 1 };
    return [
      s("rect", { ...at, y: 40 - height, height: Math.max(0, height - red), class: "ok" }),
      red ? s("rect", { ...at, y: 40 - red, height: red, class: "failed" }) : null,
    ];
  });
  return s("svg", { viewBox: "0 0 240 41", class: "spark", preserveAspectRatio: "none", role: "img", "aria-label": "requests by minute" },
    s("line", { x1: 0, x2: 240, y1: 40.5, y2: 40.5 }), bars);
}

async function operations(service, window, go) {
  const { items } = await ask(`services/${encodeURIComponent(service)}`, { window });
  const row = (item) => h("tr", { onclick: () => go("traces", { service, q: item.name }) },
    h("td", {}, item.name), h("td", { class: "n" }, rate(item.per_second)),
    h("td", { class: `n ${item.errors ? "bad" : ""}` }, percent(item.error_ratio)),
    h("td", { class: "n" }, duration(item.p50_ms)), h("td", { class: "n" }, duration(item.p95_ms)), h("td", { class: "n" }, duration(item.p99_ms)));
  return h("section", { class: "panel" },
    h("h2", {}, badge(service), h("small", {}, h("a", { href: `#/traces?service=${encodeURIComponent(service)}` }, "traces"), h("a", { href: `#/logs?service=${encodeURIComponent(service)}` }, "logs"), h("a", { href: `#/metrics?service=${encodeURIComponent(service)}` }, "metrics"))),
    items.length ? h("table", { class: "rows" },
      h("thead", {}, h("tr", {}, ["operation", "rate", "errors", "p50", "p95", "p99"].map((name, index) => h("th", { class: index ? "n" : "" }, name)))),
      h("tbody", {}, items.map(row))) : empty("No requests in this period."));
}
