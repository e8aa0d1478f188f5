// The search through logs.

import { h, badge, clock, empty } from "./dom.js";
import { ask } from "./session.js";

const LEVELS = [[0, "all levels"], [9, "info and above"], [13, "warnings and above"], [17, "errors only"]];

export async function logs({ parameters, window, go, again }) {
  if (again && (document.activeElement?.closest(".filters") || document.querySelector(".log[open]"))) return null;
  const asked = Object.fromEntries(["service", "q", "trace_id", "severity"].map((name) => [name, parameters.get(name) || ""]));
  const [found, known] = await Promise.all([ask("logs", { ...asked, window: asked.trace_id ? 86400 : window, limit: 200 }), ask("services", { window: 86400 })]);
  const list = h("div", { class: "log-list" }, found.items.map(line));
  return h("div", {},
    filters(asked, known.services.map((service) => service.name), go),
    asked.trace_id ? h("p", { class: "note" }, "Of trace ", h("a", { href: `#/trace/${asked.trace_id}` }, h("code", {}, asked.trace_id)), " ", h("a", { href: "#/logs" }, "show all")) : null,
    found.items.length ? h("section", { class: "panel" }, list, found.next ? more(list, asked, window, found.next) : null)
      : empty("No log record matches.", "Choose a longer period, or fewer words."));
}

function filters(asked, services, go) {
  const service = h("select", { name: "service", "aria-label": "service" }, h("option", { value: "" }, "any service"),
    services.map((name) => h("option", { value: name, selected: name === asked.service }, name)));
  const severity = h("select", { name: "severity", "aria-label": "level" },
    LEVELS.map(([number, text]) => h("option", { value: number || "", selected: String(number || "") === asked.severity }, text)));
  const text = h("input", { name: "q", type: "search", placeholder: "words; all must be there, the last may go on", value: asked.q, class: "wide", "aria-label": "words" });
  const search = (event) => {
    event?.preventDefault();
    go("logs", { service: service.value, severity: severity.value, q: text.value, trace_id: asked.trace_id });
  };
  service.addEventListener("change", search);
  severity.addEventListener("change", search);
  return h("form", { class: "filters", onsubmit: search }, service, severity, text, h("button", { type: "submit" }, "Search"));
}

function line(log) {
  const facts = Object.entries({ instance: log.instance, span_id: log.span_id, ...log.attributes }).filter(([, value]) => value);
  return h("details", { class: `log ${log.level.toLowerCase()}` },
    h("summary", {},
      h("time", {}, clock(log.time, true)), h("b", {}, log.level), badge(log.service), h("span", { class: "message" }, log.message),
      log.trace_id ? h("a", { href: `#/trace/${log.trace_id}`, title: log.trace_id }, "trace") : h("span", {})),
    h("table", { class: "attributes" }, h("tbody", {}, facts.map(([name, value]) =>
      h("tr", {}, h("th", {}, name), h("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value)))))));
}

function more(list, asked, window, cursor) {
  const button = h("button", { type: "button", class: "more", onclick: async () => {
    const found = await ask("logs", { ...asked, window, limit: 200, cursor });
    list.append(...found.items.map(line));
    if (found.next) cursor = found.next;
    else button.remove();
  } }, "Older");
  return button;
}
