// Shows a service's OpenAPI document. Text is only ever set as text.
"use strict";

const VERBS = ["get", "post", "put", "patch", "delete", "head", "options"];

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items) || "anything"}`;
  return schema.enum ? schema.enum.join(" | ") : schema.format || schema.type || "";
}

function described(pairs) {
  const list = element("dl");
  for (const [term, text] of pairs) list.append(element("dt", term), element("dd", text));
  return list;
}

function contents(body) {
  return Object.entries((body && body.content) || {}).map(([media, value]) => [media, typeOf(value.schema)]);
}

function operation(path, verb, told) {
  const made = element("details", "", { id: told.operationId || `${verb}-${path}` });
  const head = element("summary");
  head.append(element("span", verb.toUpperCase(), { class: "verb" }), element("code", path));
  head.append(element("span", told.summary || "", { class: "about" }));
  made.append(head);
  if (told.description) made.append(element("p", told.description));
  const parameters = (told.parameters || []).map((one) => [
    one.name,
    [one.in, typeOf(one.schema), one.required ? "required" : "", one.description || ""].filter(Boolean).join(", "),
  ]);
  if (parameters.length) made.append(element("h3", "Parameters"), described(parameters));
  if (told.requestBody) made.append(element("h3", "Body"), described(contents(told.requestBody)));
  const answers = Object.entries(told.responses || {}).map(([status, one]) => {
    const types = contents(one).map(([media, type]) => [type, media].filter(Boolean).join(" as "));
    return [status, [one.description, ...types].filter(Boolean).join("; ")];
  });
  made.append(element("h3", "Answers"), described(answers));
  return made;
}

function schema(name, told) {
  const made = element("details", "", { id: `schema-${name}` });
  const head = element("summary");
  head.append(element("code", name), element("span", told.description || "", { class: "about" }));
  const required = new Set(told.required || []);
  const fields = Object.entries(told.properties || {}).map(([field, one]) => [
    field,
    [typeOf(one), required.has(field) ? "required" : "", one.description || ""].filter(Boolean).join(", "),
  ]);
  made.append(head, described(fields));
  return made;
}

function show(document_, service) {
  const title = `${document_.info.title} ${document_.info.version}`;
  document.title = title;
  document.getElementById("title").textContent = title;
  const summary = document.getElementById("summary");
  summary.textContent = `${document_.info.summary || document_.info.description || ""} `;
  summary.append(element("a", "OpenAPI document", { href: address(service) }));
  const operations = Object.entries(document_.paths).flatMap(([path, item]) =>
    VERBS.filter((verb) => item[verb]).map((verb) => operation(path, verb, item[verb])),
  );
  const schemas = Object.entries((document_.components && document_.components.schemas) || {});
  const main = document.getElementById("operations");
  main.append(element("h2", "Operations"), ...operations);
  if (schemas.length) main.append(element("h2", "Schemas"), ...schemas.map(([name, told]) => schema(name, told)));
}

function address(service) {
  return `/services/${encodeURIComponent(service)}/openapi.json`;
}

async function list() {
  const registry = await (await fetch("/api/registry")).json();
  document.getElementById("summary").textContent = "Every service describes itself with OpenAPI 3.1. Choose one.";
  document.getElementById("all").setAttribute("aria-current", "page");
  const cards = element("div", "", { class: "cards" });
  for (const service of registry.services.filter((one) => one.openapi)) {
    const card = element("a", "", { class: "card", href: `/docs?service=${encodeURIComponent(service.name)}` });
    card.append(element("b", service.name), element("span", service.routes.join("  ") || "inside only"));
    cards.append(card);
  }
  document.getElementById("operations").append(cards);
}

async function start() {
  const service = new URLSearchParams(location.search).get("service");
  try {
    if (!service) return await list();
    const answer = await fetch(address(service));
    if (!answer.ok) throw new Error(`${service} answers ${answer.status}`);
    show(await answer.json(), service);
  } catch (error) {
    document.getElementById("summary").textContent = `There is no API document to show: ${error.message}.`;
  }
}

start();
