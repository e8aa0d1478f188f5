// One trace: its spans as bars under each other, indented by caller; a click shows what a span carries.

import { h, badge, clock, colour, duration } from "./dom.js";
import { ask } from "./session.js";

let chosen = ""; // span id
let shownTrace = "";
let withStatements = false; // whether each SQL statement has its bar

export async function waterfall({ id, again, redraw }) {
  if (again) return null; // a trace that is read does not move
  if (shownTrace !== id) chosen = "";
  shownTrace = id;
  const trace = await ask(`traces/${encodeURIComponent(id)}`);
  const { items } = await ask("logs", { trace_id: id, limit: 200 });
  const start = Math.min(...trace.spans.map(begin));
  const length = Math.max(0.001, Math.max(...trace.spans.map((span) => begin(span) + span.duration_ms)) - start);
  const services = [...new Set(trace.spans.map((span) => span.service))];
  const failed = trace.spans.filter((span) => span.status === "error").length;
  const details = h("aside", { class: "details" });
  const list = h("div", { class: "waterfall" });
  const choose = (span) => {
    chosen = span.span_id;
    list.querySelectorAll(".bar-row").forEach((row) => row.classList.toggle("chosen", row.dataset.span === chosen));
    details.replaceChildren(...about(span, items.filter((log) => log.span_id === span.span_id), start));
  };
  const statements = trace.spans.filter(isStatement);
  const without = trace.spans.filter((span) => !isStatement(span));
  const ordered = tree(withStatements || !without.length ? trace.spans : without);
  list.append(scale(length), ...ordered.map(([span, depth]) => bar(span, depth, start, length, choose)));
  choose(ordered.find(([span]) => span.span_id === chosen)?.[0] ?? ordered[0][0]);
  return h("div", {},
    h("section", { class: "trace-head" },
      h("h1", {}, ordered[0][0].title || "(no name)"),
      h("p", { class: "dim" }, clock(trace.spans[0].start, true), " · ", h("b", {}, duration(length)), ` · ${trace.spans.length} spans · ${services.length} services`,
        failed ? h("span", { class: "tag bad" }, `${failed} failed`) : null),
      h("p", { class: "dim" }, h("code", {}, id), " ", h("a", { href: `#/logs?trace_id=${id}` }, `${items.length} log records`)),
      h("p", { class: "badges" }, services.map(badge), statements.length ? toggle(statements.length, redraw) : null)),
    h("div", { class: "trace-body" }, h("section", { class: "panel" }, list), details));
}

/** A database statement that went well; a failed one is always shown. */
const isStatement = (span) => span.status !== "error" && ("db.system.name" in span.attributes || "db.system" in span.attributes);

function toggle(count, redraw) {
  const box = h("input", { type: "checkbox", checked: withStatements, onchange: () => { withStatements = box.checked; redraw(); } });
  return h("label", { class: "check" }, box, `${count} database statements`);
}

const begin = (span) => Number(BigInt(span.start_ns) / 1000n) / 1000;

/** Spans with their depth, children after their parent and by start; those whose parent is missing stand at the top. */
function tree(spans) {
  const ids = new Set(spans.map((span) => span.span_id));
  const children = new Map();
  for (const span of spans) {
    const parent = ids.has(span.parent) && span.parent !== span.span_id ? span.parent : "";
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const found = [];
  const seen = new Set();
  const stack = (children.get("") ?? spans).map((span) => [span, 0]).reverse();
  while (stack.length) {
    const [span, depth] = stack.pop();
    if (seen.has(span.span_id)) continue;
    seen.add(span.span_id);
    found.push([span, depth]);
    stack.push(...(children.get(span.span_id) ?? []).map((child) => [child, depth + 1]).reverse());
  }
  return found;
}

function scale(length) {
  return h("div", { class: "scale" }, h("span", { class: "label" }),
    h("span", { class: "track" }, [0, 0.25, 0.5, 0.75, 1].map((part) => h("i", { style: { left: `${part * 100}%` } }, part ? duration(part * length) : "0"))));
}

function bar(span, depth, start, length, choose) {
  const left = ((begin(span) - start) / length) * 100;
  const width = Math.max(0.3, (span.duration_ms / length) * 100);
  const failed = span.status === "error";
  const after = left + width < 75;
  return h("button", { type: "button", class: `bar-row ${failed ? "failing" : ""}`, "data-span": span.span_id, onclick: () => choose(span) },
    h("span", { class: "label", style: { "padding-left": `${10 + Math.min(depth, 12) * 14}px` } },
      h("i", { style: { background: colour(span.service) } }), h("b", {}, span.service), h("span", {}, span.title), failed ? h("em", {}, "!") : null),
    h("span", { class: "track" },
      h("i", { class: `bar ${span.kind}`, style: { left: `${Math.min(left, 99.7)}%`, width: `${Math.min(width, 100 - left)}%`, background: colour(span.service) } }),
      h("small", { style: after ? { left: `calc(${left + width}% + 6px)` } : { right: `calc(${100 - left}% + 6px)` } }, duration(span.duration_ms))));
}

function about(span, logs, start) {
  const facts = Object.entries(span.attributes).sort(([a], [b]) => a.localeCompare(b));
  return [
    h("h2", {}, span.title || "(no name)"),
    h("p", {}, badge(span.service), h("span", { class: "dim" }, ` ${span.kind} · ${span.instance}`)),
    h("dl", { class: "figures-small" },
      h("div", {}, h("dt", {}, "duration"), h("dd", {}, duration(span.duration_ms))),
      h("div", {}, h("dt", {}, "started"), h("dd", {}, `+${duration(begin(span) - start)}`)),
      h("div", { class: span.status === "error" ? "bad" : "" }, h("dt", {}, "status"), h("dd", {}, span.status))),
    span.message ? h("p", { class: "problem" }, span.message) : null,
    facts.length ? h("table", { class: "attributes" }, h("tbody", {}, facts.map(([name, value]) =>
      h("tr", {}, h("th", {}, name), h("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value)))))) : null,
    ...span.events.map((event) => h("p", { class: "event" }, h("b", {}, event.name), ` +${duration(event.offset_ms)} `, h("code", {}, JSON.stringify(event.attributes)))),
    logs.length ? h("h3", {}, "Logs of this span") : null,
    ...logs.map((log) => h("p", { class: `log-line ${log.level.toLowerCase()}` }, h("b", {}, log.level), " ", log.message)),
    h("p", { class: "dim" }, h("code", {}, span.span_id)),
  ].filter(Boolean);
}
