// Shows /api/registry, and keeps it up to date. Text is only ever set as text.
"use strict";

const STATES = { up: "up", degraded: "partly up", down: "down" };

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function links(service) {
  const cell = element("td");
  if (service.openapi) {
    cell.append(element("a", "API", { href: `/docs?service=${encodeURIComponent(service.name)}` }));
  }
  if (service.ui && service.ui.startsWith("/") && !service.ui.startsWith("//")) {
    cell.append(element("a", "Open", { href: service.ui }));
  }
  return cell;
}

function row(service) {
  const made = element("tr");
  made.append(element("th", service.name, { scope: "row" }));
  made.append(element("td", STATES[service.state], { class: `state ${service.state}` }));
  const instances = element("td");
  for (const one of service.instances) {
    const note = one.status === "passing" ? "" : ` (${one.status})`;
    instances.append(element("code", `${one.id} at ${one.address}${note}`));
  }
  const paths = element("td");
  for (const route of service.routes) paths.append(element("code", route));
  made.append(instances, paths, links(service));
  return made;
}

function show(registry) {
  const services = registry.services;
  document.getElementById("services").replaceChildren(...services.map(row));
  const down = services.filter((service) => service.state === "down").map((service) => service.name);
  const count = services.reduce((sum, service) => sum + service.instances.length, 0);
  const health = down.length ? `down: ${down.join(", ")}` : "all answer";
  document.getElementById("summary").textContent = `${services.length} services, ${count} instances; ${health}.`;
  document.getElementById("enforced").textContent = registry.enforced
    ? "The gateway asks for a token, but for the paths that are open."
    : "Services ask for a token; the gateway passes it on.";
  const conflicts = document.getElementById("conflicts");
  conflicts.hidden = registry.conflicts.length === 0;
  conflicts.textContent = registry.conflicts.join("; ");
}

function recipe() {
  const here = location.origin;
  const json = "-H 'Content-Type: application/json'";
  const who = '"email": "you@example.com", "password": "a long password"';
  return [
    `curl -X POST ${here}/api/users ${json} \\`,
    `  -d '{${who}, "name": "You"}'`,
    `curl -X POST ${here}/api/auth/login ${json} \\`,
    `  -d '{${who}}'`,
    `curl ${here}/api/users/me -H "Authorization: Bearer $ACCESS_TOKEN"`,
  ].join("\n");
}

async function refresh() {
  try {
    const answer = await fetch("/api/registry", { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`the registry answers ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    document.getElementById("summary").textContent = `This list is old: ${error.message}.`;
  }
  setTimeout(refresh, 2000);
}

document.getElementById("recipe").textContent = recipe();
refresh();
