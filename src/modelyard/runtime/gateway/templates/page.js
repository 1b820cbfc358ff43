"use strict";

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


// Where a picture is drawn or dropped; `about` says how the model's test instances hold theirs.
class Pad {
  constructor(panel, about) {
    this.panel = panel;
    this.about = about;
    this.canvas = panel.find("canvas");
    this.context = this.canvas.getContext("2d", {willReadFrequently: true});
    this.size = [about.width || 28, about.height || 28];
    this.measure();
    this.clear();
    this.listen();
  }

  // What is drawn is sent in the size of the test instances, where these are small.
  measure() {
    const thumbnail = this.thumbnail(this.panel.example);
    thumbnail?.decode().then(() => {
      const {naturalWidth, naturalHeight} = thumbnail;
      if (Math.max(naturalWidth, naturalHeight) <= 280) this.size = [naturalWidth, naturalHeight];
    }).catch(() => {});
  }

  listen() {
    const {canvas, panel} = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.last = this.locate(event);
      this.stroke(this.last);
    });
    canvas.addEventListener("pointermove", (event) => { if (this.last) this.stroke(this.locate(event)); });
    canvas.addEventListener("pointerup", () => { if (this.last) { this.last = null; this.sendDrawing(); } });
    canvas.addEventListener("pointercancel", () => { this.last = null; });
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); panel.find("input[type=file]").click(); }
      if (event.key === "Delete" || event.key === "Escape") this.clear();
    });
    canvas.addEventListener("dragover", (event) => { event.preventDefault(); canvas.classList.add("over"); });
    canvas.addEventListener("dragleave", () => canvas.classList.remove("over"));
    canvas.addEventListener("drop", (event) => {
      event.preventDefault();
      canvas.classList.remove("over");
      this.take(event.dataTransfer.files[0]);
    });
    panel.section.addEventListener("paste", (event) => {
      const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
      if (file) { event.preventDefault(); this.take(file); }
    });
    const input = panel.find("input[type=file]");
    input.addEventListener("change", () => { this.take(input.files[0]); input.value = ""; });
    panel.find(".choose").addEventListener("click", () => input.click());
    panel.find(".clear").addEventListener("click", () => this.clear());
  }

  locate(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * 280 / box.width, (event.clientY - box.top) * 280 / box.height];
  }

  stroke(to) {
    const {context} = this;
    context.strokeStyle = "#fff";
    context.lineWidth = 20;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...this.last);
    context.lineTo(...to);
    context.stroke();
    this.last = to;
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, 280, 280);
  }

  sendDrawing() {
    this.panel.press(null);
    const value = this.about.kind === "rows" ? this.readRows(this.canvas) : this.shrink(this.canvas).toDataURL("image/png");
    this.sendValue(value);
  }

  // Any picture file: as it is where the model takes files, as grey values where it takes rows.
  async take(file) {
    if (!file) return;
    const url = await new Promise((resolve) => {
      const reader = new FileReader();
      reader.addEventListener("load", () => resolve(reader.result));
      reader.readAsDataURL(file);
    });
    const image = new Image();
    image.src = url;
    this.panel.press(null);
    try {
      await image.decode();
    } catch {
      this.panel.showNothing(`${file.name} is no picture that this browser can read`);
      return;
    }
    this.paint(image);
    this.sendValue(this.about.kind === "rows" ? this.readRows(image) : url);
  }

  sendValue(value) {
    const {path, kind} = this.about;
    const given = look(this.panel.example, path);
    const bare = kind === "file" && !String(given).startsWith("data:") ? value.slice(value.indexOf(",") + 1) : value;
    this.panel.body.value = indent(place(this.panel.example, path, bare));
    this.panel.send();
  }

  show(url) {
    const image = new Image();
    image.src = url;
    image.decode().then(() => this.paint(image));
  }

  paint(image) {
    this.clear();
    const scale = Math.min(280 / image.naturalWidth, 280 / image.naturalHeight);
    const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
    this.context.imageSmoothingEnabled = scale < 1;
    this.context.drawImage(image, (280 - width) / 2, (280 - height) / 2, width, height);
    this.context.imageSmoothingEnabled = true;
  }

  shrink(source) {
    const [width, height] = this.size;
    const small = make("canvas", {width, height});
    const context = small.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, width, height);
    return small;
  }

  readRows(source) {
    const [width, height] = this.size;
    const {data} = this.shrink(source).getContext("2d").getImageData(0, 0, width, height);
    const grey = (x, y) => {
      const [red, green, blue] = data.subarray(4 * (y * width + x));
      const value = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
      return this.about.most === 1 ? Number((value / 255).toFixed(3)) : value;
    };
    return Array.from({length: height}, (_, y) => Array.from({length: width}, (_, x) => grey(x, y)));
  }

  // The first picture of a body, as an image; null where it has none.
  thumbnail(body) {
    const value = look(body, this.about.path);
    if (this.about.kind === "rows") return Array.isArray(value) ? this.paintRows(value) : null;
    if (typeof value !== "string") return null;
    const image = make("img", {alt: ""});
    image.src = value.startsWith("data:") ? value : `data:${this.about.media_type};base64,${value}`;
    return image;
  }

  paintRows(rows) {
    const canvas = make("canvas", {width: rows[0].length, height: rows.length});
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(canvas.width, canvas.height);
    rows.flat().forEach((value, index) => {
      const grey = 255 * value / this.about.most;
      pixels.data.set([grey, grey, grey, 255], 4 * index);
    });
    context.putImageData(pixels, 0, 0);
    const image = make("img", {alt: ""});
    image.src = canvas.toDataURL();
    return image;
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
