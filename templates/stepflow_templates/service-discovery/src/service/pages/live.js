// Shows /api/registry, and keeps it up to date. Text is only ever set as text.
"use strict";

const STATES = { up: "up", degraded: "partly up", down: "down" };

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A path of this origin, or nothing: what a service registers must not send people elsewhere. */
function local(path) {
  return path && path.startsWith("/") && !path.startsWith("//") && !path.includes("\\") ? path : "";
}

function card(service) {
  const made = element("a", "", { class: "card", href: local(service.ui) });
  made.append(element("b", service.title || service.name), element("span", service.about || local(service.ui)));
  return made;
}

function row(service) {
  const made = element("div", "", { class: `service ${service.state}` });
  const copies = service.instances.length > 1 ? ` ×${service.instances.length}` : "";
  made.append(element("b", service.name), element("span", STATES[service.state] + copies, { class: "state" }));
  made.append(element("code", service.routes.join("  ") || "inside only"));
  const docs = element("span");
  if (service.openapi) {
    const label = { href: `/docs?service=${encodeURIComponent(service.name)}`, "aria-label": `API of ${service.name}` };
    docs.append(element("a", "API", label));
  }
  made.append(docs);
  const ill = service.instances.filter((one) => one.status !== "passing");
  if (ill.length) made.append(element("small", ill.map((one) => `${one.id} at ${one.address}: ${one.status}`).join(", ")));
  return made;
}

/** Replace what is shown only where it changed, so that the keyboard's focus stays where it is. */
function fill(id, made) {
  const place = document.getElementById(id);
  const next = element("div");
  next.append(...made);
  if (place.innerHTML !== next.innerHTML) place.replaceChildren(...made);
}

function health(services) {
  const named = (state) => services.filter((service) => service.state === state).map((service) => service.name);
  const [down, degraded] = [named("down"), named("degraded")];
  const copies = services.reduce((sum, service) => sum + service.instances.length, 0);
  const said = [down.length && `${down.join(", ")} down`, degraded.length && `${degraded.join(", ")} partly up`];
  const summary = document.getElementById("summary");
  summary.className = `health ${down.length ? "down" : degraded.length ? "degraded" : "up"}`;
  summary.textContent = `${said.filter(Boolean).join("; ") || "All services are up"} · ${services.length} services, ${copies} instances`;
}

function show(registry) {
  const services = registry.services;
  document.title = registry.platform;
  document.getElementById("name").textContent = registry.platform;
  health(services);
  const pages = services.filter((service) => local(service.ui));
  const links = pages.map((service) => element("a", service.title || service.name, { href: service.ui }));
  fill("pages", [...links, element("a", "APIs", { href: "/docs" })]);
  const none = element("p", "No service of this platform has a page.", { class: "empty" });
  fill("dashboards", pages.length ? pages.map(card) : [none]);
  document.getElementById("who").hidden = pages.length === 0;
  fill("services", services.map(row));
  document.getElementById("enforced").textContent = registry.enforced
    ? "The gateway requires a token on every path that is not public."
    : "Each service requires a token where it needs one.";
  const calls = recipe(services);
  document.getElementById("calls").hidden = !calls;
  fill("recipe", [document.createTextNode(calls)]);
  const conflicts = document.getElementById("conflicts");
  conflicts.hidden = registry.conflicts.length === 0;
  conflicts.textContent = registry.conflicts.join("; ");
}

function recipe(services) {
  const has = (route) => services.some((service) => service.routes.includes(route));
  const here = location.origin;
  const json = "-H 'Content-Type: application/json'";
  const who = '"email": "you@example.com", "password": "a long password"';
  const read = `python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'`;
  if (!has("/api/users")) return "";
  const order = has("/api/orders") ? [
    `curl ${here}/api/products`,
    `curl ${here}/api/orders ${json} -H "Authorization: Bearer $TOKEN" \\`,
    `  -d '{"items": [{"sku": "IDEMPOTENT-MUG", "quantity": 1}], "payment": {"token": "tok_ok"}}'`,
  ] : [`curl ${here}/api/users/me -H "Authorization: Bearer $TOKEN"`];
  return [
    `curl ${here}/api/users ${json} \\`,
    `  -d '{${who}, "name": "You"}'`,
    `TOKEN=$(curl -s ${here}/api/auth/login ${json} \\`,
    `  -d '{${who}}' | ${read})`,
    ...order,
  ].join("\n");
}

async function refresh() {
  try {
    const answer = await fetch("/api/registry", { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`the registry answers ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    const summary = document.getElementById("summary");
    summary.className = "health down";
    summary.textContent = `The registry does not answer, so this list may be out of date: ${error.message}.`;
  }
  setTimeout(refresh, 2000);
}

refresh();
