const KEPT = 60;
const REPEATS = 25;
const MOODS = {ready: "good", failed: "bad"};
const sections = [...document.querySelectorAll("section.route")];
const links = [...document.querySelectorAll("[data-link]")];

// JSON for people: indented, but with each innermost list on one line.
function indent(value) {
  const text = JSON.stringify(value, null, 2);
  return text.replace(/\[\n\s+([^[\]{}]*?)\n\s*\]/g, (_, items) => `[${items.replace(/,\n\s+/g, ", ")}]`);
}

function parse(text, reviver) {
  try {
    return JSON.parse(text, reviver);
  } catch {
    return undefined;
  }
}

// The same, with every number as it is written: 1.0 and 12345678901234567890 stay so where they are written again.
function parseExactly(text) {
  const keep = (_, value, {source}) => typeof value === "number" ? JSON.rawJSON(source) : value;
  return parse(text, JSON.rawJSON && keep);
}

function make(name, attributes = {}, text = "") {
  const isPicture = ["rect", "line", "text", "title"].includes(name);
  const element = isPicture ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(text);
  return element;
}

// `value` with what is at `path` replaced, and every list on the way there cut down to that one item.
function place(value, path, replacement) {
  if (path.length === 0) return replacement;
  const [key, ...rest] = path;
  const placed = place(value[key], rest, replacement);
  return Array.isArray(value) ? [placed] : {...value, [key]: placed};
}

function look(value, path) {
  return path.reduce((inner, key) => inner?.[key], value);
}

const format = (seconds) => `${(seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];


// One route: its form, its answer, its latencies.
class Panel {
  constructor(section) {
    this.section = section;
    this.route = section.dataset.route;
    this.find = (selector) => section.querySelector(selector);
    this.body = this.find("textarea");
    this.token = this.find(".token input");
    this.example = parse(this.body.value);
    this.exact = parseExactly(this.body.value);
    this.latencies = [];
    this.find("form").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    this.find(".repeat").addEventListener("click", () => this.repeat());
    this.body.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.send(); }
    });
    this.body.addEventListener("input", () => this.press(null));
    if (this.find("canvas")) this.pad = new Pad(this, JSON.parse(section.dataset.picture));
    this.offerInstances();
  }

  // A button for each of the test instances.
  offerInstances() {
    const path = this.example?.payload?.instances ? ["payload", "instances"] : ["instances"];
    const instances = look(this.exact, path);
    if (!Array.isArray(instances) || instances.length < 2) return;
    const pick = this.find(".pick");
    pick.hidden = false;
    const offer = (content, value, label) => {
      const button = make("button", {type: "button", "aria-pressed": "false", "aria-label": label});
      button.append(content);
      button.addEventListener("click", () => { this.body.value = indent(value); this.press(button); });
      pick.append(button);
      return button;
    };
    const original = this.body.value;
    const all = offer(`all ${instances.length}`, this.exact, `All ${instances.length} test instances`);
    all.addEventListener("click", () => { this.body.value = original; });
    this.press(all);
    instances.slice(0, 12).forEach((instance, index) => {
      const thumbnail = this.pad?.thumbnail(place(this.example, [...path, index], look(this.example, [...path, index])));
      const button = offer(thumbnail ?? String(index + 1), place(this.exact, [...path, index], instance),
        `Test instance ${index + 1}`);
      if (thumbnail) button.addEventListener("click", () => { this.pad.show(thumbnail.src); this.send(); });
    });
  }

  press(button) {
    for (const other of this.section.querySelectorAll(".pick button")) other.ariaPressed = String(other === button);
  }

  async ask() {
    const headers = {"Content-Type": "application/json"};
    if (this.token.value) headers.Authorization = `Bearer ${this.token.value}`;
    const started = performance.now();
    const response = await fetch(this.route, {method: "POST", headers, body: this.body.value});
    const text = await response.text();
    return {response, text, seconds: (performance.now() - started) / 1000};
  }

  async send() {
    return this.busy(async () => {
      try {
        const {response, text, seconds} = await this.ask();
        this.record(seconds, response.ok);
        this.show(response, text, seconds);
      } catch (error) {
        this.showNothing(error);
      }
    });
  }

  async repeat() {
    return this.busy(async () => {
      try {
        for (let count = 0; count < REPEATS; count += 1) {
          const {response, text, seconds} = await this.ask();
          this.record(seconds, response.ok);
          if (!response.ok || count === REPEATS - 1) this.show(response, text, seconds);
          if (!response.ok) return;
        }
      } catch (error) {
        this.showNothing(error);
      }
    });
  }

  async busy(work) {
    const buttons = this.section.querySelectorAll(".actions button");
    this.section.ariaBusy = "true";
    for (const button of buttons) button.disabled = true;
    const focused = document.activeElement;
    try {
      await work();
    } finally {
      for (const button of buttons) button.disabled = false;
      if (document.activeElement === document.body) focused?.focus?.();
      this.section.ariaBusy = "false";
    }
  }

  record(seconds, good) {
    this.latencies.push({seconds, good});
    this.latencies.splice(0, this.latencies.length - KEPT);
    this.draw();
  }

  show(response, text, seconds) {
    this.write(`${response.status} ${response.statusText}`, response.ok ? "good" : "bad");
    this.find(".latency").textContent = `in ${format(seconds)}`;
    this.find(".id").textContent = `request ${response.headers.get("X-Request-Id") ?? ""}`;
    const answer = parseExactly(text);
    this.find(".answer pre").textContent = answer === undefined ? text : indent(answer);
    this.showPredictions(answer?.payload?.predictions ?? answer?.predictions);
    this.find(".curl").textContent = this.command();
    if (response.status === 401 || response.status === 403) this.askForToken();
  }

  showNothing(error) {
    this.write("No answer", "bad");
    this.find(".latency").textContent = "";
    this.find(".id").textContent = "";
    this.find(".answer pre").textContent = String(error);
    this.showPredictions(null);
  }

  write(status, mood) {
    this.find(".answer").hidden = false;
    const line = this.find(".status");
    line.textContent = status;
    line.className = `status ${mood}`;
  }

  showPredictions(predictions) {
    const row = this.find(".predictions");
    const simple = Array.isArray(predictions) && predictions.length > 0 && predictions.length <= 10
      && predictions.every((one) => one !== null && (typeof one !== "object" || one.rawJSON));
    row.hidden = !simple;
    row.replaceChildren(...(simple ? predictions.map((one) => make("span", {}, String(one.rawJSON ?? one))) : []));
  }

  // A bar for each request, the newest on the right, and a line at the median.
  draw() {
    const chart = this.find(".chart");
    const sorted = this.latencies.map((one) => one.seconds).sort((a, b) => a - b);
    const top = sorted.at(-1) || 1;
    const median = quantile(sorted, 0.5);
    const width = 600 / KEPT;
    const bars = this.latencies.map(({seconds, good}, index) => {
      const height = Math.max(2, 104 * seconds / top);
      const x = 600 - width * (this.latencies.length - index);
      const bar = make("rect", {x: x + 1, y: 120 - height, width: width - 2, height, class: good ? "" : "bad"});
      bar.append(make("title", {}, format(seconds)));
      return bar;
    });
    const y = 120 - 104 * median / top;
    chart.replaceChildren(...bars, make("line", {x1: 0, x2: 600, y1: y, y2: y}));
    const words = sorted.length === 1 ? `Latency of the last request: ${format(top)}`
      : `Latencies of the last ${sorted.length} requests: median ${format(median)}, `
        + `95% below ${format(quantile(sorted, 0.95))}, longest ${format(top)}`;
    chart.setAttribute("aria-label", words);
    this.find("figcaption").textContent = words;
  }

  command() {
    const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const token = this.token.value ? ` -H 'Authorization: Bearer '"$TOKEN"` : "";
    const body = parseExactly(this.body.value);
    const data = body === undefined ? this.body.value : JSON.stringify(body);
    return `curl -H 'Content-Type: application/json'${token} -d ${quote(data)} ${new URL(this.route, location.href)}`;
  }

  askForToken() {
    this.find(".token").hidden = false;
    this.token.focus();
  }

  showState(route) {
    const mood = MOODS[route.state] ?? "wait";
    const state = this.find(".state");
    state.textContent = route.state;
    state.className = `state ${mood}`;
    const reason = this.find(".reason");
    if (reason.textContent !== (route.reason ?? "")) reason.textContent = route.reason ?? "";
    const parts = [];
    if (route.environment && route.environment !== "default") parts.push(`environment ${route.environment}`);
    if (route.load_seconds) parts.push(`loaded in ${route.load_seconds.toFixed(2)} s`);
    if (route.restarts) parts.push(`${route.restarts} restarts`);
    if (route.batching) parts.push(`batching ${route.batching}`);
    this.find(".more").textContent = parts.map((part) => ` · ${part}`).join("");
    if (route.protected) this.find(".token").hidden = false;
  }
}


// The list of routes, and how each is.
const panels = new Map(sections.map((section) => [section.dataset.route, new Panel(section)]));

function choose() {
  const asked = location.hash.slice(2);
  const route = panels.has(asked) ? asked : sections[0]?.dataset.route;
  for (const section of sections) section.hidden = section.dataset.route !== route;
  for (const link of links) {
    if (link.dataset.link === route) {
      link.setAttribute("aria-current", "page");
      showInList(link);
    } else link.removeAttribute("aria-current");
  }
}

// Brings a link into sight within the list, and leaves the page where it is.
function showInList(link) {
  const list = link.closest("nav");
  const [outer, inner] = [list.getBoundingClientRect(), link.getBoundingClientRect()];
  if (inner.top >= outer.top && inner.bottom <= outer.bottom) return;
  list.scrollTop += inner.top - outer.top - (outer.height - inner.height) / 2;
}

function showStates(routes) {
  for (const route of routes) {
    panels.get(route.route)?.showState(route);
    const link = links.find((one) => one.dataset.link === route.route);
    if (!link) continue;
    link.querySelector(".dot").className = `dot ${MOODS[route.state] ?? "wait"}`;
    link.querySelector(".sr").textContent = `, ${route.state}`;
  }
  const ready = routes.filter((route) => route.state === "ready").length;
  say(ready === routes.length ? "every route is ready" : `${ready} of ${routes.length} routes are ready`);
}

function say(text) {
  const summary = document.querySelector("#summary");
  if (summary.textContent !== text) summary.textContent = text;
}

async function refresh() {
  if (document.hidden) return;
  try {
    showStates((await (await fetch("routes")).json()).routes);
  } catch {
    say("the daemon does not answer");
    for (const panel of panels.values()) panel.showState({state: "no answer"});
  }
}

document.querySelector("#filter")?.addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const link of links) link.parentElement.hidden = !link.textContent.toLowerCase().includes(wanted);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the route that is shown
  document.querySelector("#main").focus();
});
window.addEventListener("hashchange", choose);
document.addEventListener("visibilitychange", refresh);
choose();
refresh();
setInterval(refresh, 2000);
