// The frame: sign-in, navigation by the address's hash, live refresh.

import { h, show, empty } from "./dom.js";
import { signIn, signOut, signedIn } from "./session.js";
import { overview } from "./overview.js";
import { traces } from "./traces.js";
import { waterfall } from "./waterfall.js";
import { logs } from "./logs.js";
import { metrics } from "./metrics.js";

const VIEWS = { overview, traces, trace: waterfall, logs, metrics };
const EVERY = 5000; // milliseconds
const view = document.getElementById("view");
const bar = [document.getElementById("views"), document.getElementById("tools")];
const windowChoice = document.getElementById("window");
const live = document.getElementById("live");
let current = 0; // the newest drawing; older ones that finish late are dropped

/** What the address says: {name, id, parameters}. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id = ""] = path.split("/");
  return { name: name in VIEWS ? name : "overview", id, parameters: new URLSearchParams(query) };
}

/** Go to a view; parameters that are empty are left out. */
export function go(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  location.hash = `#/${path}${query ? `?${query}` : ""}`;
}

async function draw({ again = false } = {}) {
  if (!signedIn()) return askWho();
  for (const part of bar) part.hidden = false;
  const { name, id, parameters } = place();
  for (const link of bar[0].querySelectorAll("a")) {
    const here = link.getAttribute("href") === `#/${name === "trace" ? "traces" : name}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const mine = ++current;
  try {
    const content = await VIEWS[name]({ id, parameters, window: Number(windowChoice.value), go, again, redraw: () => draw() });
    if (mine === current && content) show(view, content);
  } catch (error) {
    if (error.status === 401) return leave("Your session has expired. Sign in again.");
    if (mine === current && !again) show(view, empty(error.message, error.status === 403 ? "Sign in as an administrator." : ""));
  }
}

function leave(message = "") {
  signOut();
  askWho(message);
}

function askWho(message = "") {
  for (const part of bar) part.hidden = true;
  const problem = h("p", { class: "problem", role: "alert" }, message);
  const email = h("input", { name: "email", type: "email", autocomplete: "username", required: true });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const submit = async (event) => {
    event.preventDefault();
    const wrong = await signIn(email.value, password.value);
    if (wrong) problem.textContent = wrong;
    else draw();
  };
  show(view, h("form", { class: "sign-in", onsubmit: submit },
    h("h1", {}, "Observability"),
    h("p", { class: "dim" }, "Sign in as an administrator of the platform. ", h("code", {}, "stepflow credentials"), " shows one."),
    h("label", {}, "E-mail", email),
    h("label", {}, "Password", password),
    problem,
    h("button", { type: "submit" }, "Sign in")));
  email.focus();
}

document.getElementById("leave").addEventListener("click", () => leave());
windowChoice.addEventListener("change", () => draw());
window.addEventListener("hashchange", () => { draw(); view.focus({ preventScroll: true }); });
setInterval(() => { if (live.checked && !document.hidden && signedIn()) draw({ again: true }); }, EVERY);
draw();
