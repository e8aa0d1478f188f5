// Metrics: a list of what there is, and a chart of the chosen one.

import { h, empty } from "./dom.js";
import { ask } from "./session.js";
import { chart } from "./chart.js";

const WORDS = { rate: "a second", value: "value", mean: "mean", p50: "median", p95: "p95", p99: "p99" };
let wanted = ""; // what is typed to narrow the list

export async function metrics({ parameters, window, go, again }) {
  if (again && document.activeElement?.closest(".metric-names input, select")) return null;
  const service = parameters.get("service") || "";
  const { items } = await ask("metrics");
  const names = items.filter((metric) => !service || metric.services.includes(service));
  if (!names.length) return empty("No metrics have arrived yet.", "Services export theirs every few seconds.");
  const preferred = ["http_server_request_duration_seconds", "http.server.request.duration"];
  const name = parameters.get("name") || (names.find((metric) => preferred.includes(metric.name)) ?? names[0]).name;
  const metric = items.find((candidate) => candidate.name === name);
  const statistic = metric?.statistics.includes(parameters.get("statistic")) ? parameters.get("statistic") : metric?.statistics[0];
  const found = metric ? await ask("metrics", { name, service, statistic, window }) : null;
  return h("div", { class: "metrics" }, list(names, name, service, go),
    h("section", { class: "panel" }, found ? drawing(found, metric, service, window, go) : empty(`No metric is called ${name}.`)));
}

function list(names, chosen, service, go) {
  const items = names.map((metric) => h("button", { type: "button", "aria-current": metric.name === chosen ? "true" : null, onclick: () => go("metrics", { name: metric.name, service }) },
    h("span", {}, metric.name), h("small", {}, metric.kind)));
  const narrow = () => items.forEach((item, index) => { item.hidden = !names[index].name.includes(wanted); });
  const field = h("input", { type: "search", placeholder: `find among ${names.length}`, value: wanted, "aria-label": "find a metric", oninput: () => { wanted = field.value.trim(); narrow(); } });
  narrow();
  return h("aside", { class: "metric-names panel" }, field, h("div", {}, items));
}

function drawing(found, metric, service, window, go) {
  const choose = (changes) => go("metrics", { name: found.name, service, statistic: found.statistic, ...changes });
  const senders = h("select", { "aria-label": "service", onchange: () => choose({ service: senders.value }) }, h("option", { value: "" }, "all services"),
    metric.services.map((name) => h("option", { value: name, selected: name === service }, name)));
  return [
    h("h2", {}, found.name, h("small", {}, senders)),
    found.description ? h("p", { class: "dim" }, found.description) : null,
    h("div", { class: "tabs", role: "group" }, metric.statistics.map((statistic) => h("button", { type: "button", "aria-pressed": String(statistic === found.statistic), onclick: () => choose({ statistic }) }, WORDS[statistic]))),
    found.series.length ? chart(lines(found), window, unitOf(found)) : empty("Not enough points in this period.", "A rate needs two."),
    found.total_series > found.series.length ? h("p", { class: "dim" }, `${found.series.length} of ${found.total_series} series have points here.`) : null,
  ];
}

/** Name each line by what sets it apart from the others. */
function lines(found) {
  const keys = [...new Set(found.series.flatMap((line) => Object.keys(line.attributes)))];
  const differs = (read) => new Set(found.series.map(read)).size > 1;
  const telling = keys.filter((key) => differs((line) => String(line.attributes[key] ?? "")));
  const named = found.series.map((line) => {
    const parts = telling.map((key) => line.attributes[key]).filter((value) => value != null && value !== "");
    if (differs((other) => other.service)) parts.unshift(line.service);
    return { name: parts.join(" ") || line.service, instance: line.instance, points: line.points };
  });
  const twice = (line) => named.filter((other) => other.name === line.name).length > 1;
  for (const line of named.filter(twice)) line.full = `${line.name} (${line.instance})`; // several copies of a service
  for (const line of named) line.name = line.full ?? line.name;
  return named.sort((a, b) => b.points.at(-1)[1] - a.points.at(-1)[1]);
}

function unitOf(found) {
  const seconds = found.unit === "s" || /_seconds$/.test(found.name);
  const bytes = found.unit === "By" || /_bytes$/.test(found.name);
  if (found.statistic === "rate") return "rate";
  if (seconds && /seconds/.test(found.name) && found.kind === "gauge") return "";
  return seconds ? "s" : bytes ? "B" : found.unit === "ms" ? "ms" : "";
}
