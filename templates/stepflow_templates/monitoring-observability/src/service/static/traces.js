// The search for traces.

import { h, badge, clock, duration, empty } from "./dom.js";
import { ask } from "./session.js";

export async function traces({ parameters, window, go, again }) {
  if (again && document.activeElement?.closest(".filters")) return null; // never replaces a form that is in use
  const asked = Object.fromEntries(["service", "min_ms", "error", "q", "own"].map((name) => [name, parameters.get(name) || ""]));
  const [found, known] = await Promise.all([ask("traces", { ...asked, window }), ask("services", { window })]);
  const longest = Math.max(1, ...found.items.map((trace) => trace.duration_ms));
  return h("div", {},
    filters(asked, known.services.map((service) => service.name), go),
    found.items.length
      ? h("section", { class: "panel" }, h("table", { class: "rows traces" },
        h("thead", {}, h("tr", {}, ["time", "trace", "services", "spans", "duration"].map((name) => h("th", {}, name)))),
        h("tbody", {}, found.items.map((trace) => row(trace, longest, go)))))
      : empty("No trace matches.", "Choose a longer period, or fewer conditions."));
}

function filters(asked, services, go) {
  const service = h("select", { name: "service", "aria-label": "service" }, h("option", { value: "" }, "any service"),
    services.map((name) => h("option", { value: name, selected: name === asked.service }, name)));
  const least = h("input", { name: "min_ms", type: "number", min: 0, step: "any", placeholder: "at least … ms", value: asked.min_ms, "aria-label": "least duration in milliseconds" });
  const text = h("input", { name: "q", type: "search", placeholder: "operation, attribute or trace id", value: asked.q, class: "wide", "aria-label": "text" });
  const failed = h("input", { name: "error", type: "checkbox", checked: asked.error === "true" });
  const own = h("input", { name: "own", type: "checkbox", checked: asked.own === "true" });
  const search = (event) => {
    event?.preventDefault();
    if (/^[0-9a-f]{32}$/i.test(text.value.trim())) go(`trace/${text.value.trim().toLowerCase()}`);
    else go("traces", { service: service.value, min_ms: least.value, q: text.value, error: failed.checked ? "true" : "", own: own.checked ? "true" : "" });
  };
  service.addEventListener("change", search);
  failed.addEventListener("change", search);
  own.addEventListener("change", search);
  return h("form", { class: "filters", onsubmit: search }, service, text, least,
    h("label", { class: "check" }, failed, "errors only"),
    h("label", { class: "check", title: "also the requests that this page makes" }, own, "own requests"), h("button", { type: "submit" }, "Search"));
}

function row(trace, longest, go) {
  return h("tr", { class: trace.errors ? "failing" : "", onclick: () => go(`trace/${trace.trace_id}`) },
    h("td", { class: "time" }, clock(trace.start, true)),
    h("td", {}, h("a", { href: `#/trace/${trace.trace_id}` }, trace.name || "(no name)"),
      trace.errors ? h("span", { class: "tag bad" }, `${trace.errors} failed`) : null),
    h("td", {}, h("div", { class: "badges" }, trace.services.map(badge))),
    h("td", { class: "n" }, trace.spans),
    h("td", { class: "length" }, h("span", {}, duration(trace.duration_ms)),
      h("i", { style: { width: `${Math.max(1, (trace.duration_ms / longest) * 100)}%` } })));
}
