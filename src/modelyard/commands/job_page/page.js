"use strict";
// Shows the jobs of a workspace, and one of them live. Nothing is changed from here.
const EVERY = 1000;
const CHARTS = [
  ["Loss", ["train_loss", "training"], ["validation_loss", "validation"]],
  ["Accuracy", ["accuracy", "accuracy"]],
  ["Parallelism", ["parallelism", "workers"]],
  ["Time of an epoch (s)", ["seconds", "seconds"]],
];
const COLUMNS = {
  epoch: "epoch", train_loss: "training loss", validation_loss: "validation loss", accuracy: "accuracy",
  parallelism: "workers", seconds: "seconds", samples_per_second: "samples/s", lr: "learning rate",
};
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 170, 46, 10, 10, 22];
const find = (id) => document.getElementById(id);
const state = { shown: "", text: "", list: "", cursor: null, job: null };

function make(name, attributes = {}, text = null) {
  const isShape = ["svg", "path", "line", "circle", "text"].includes(name);
  const element = isShape ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

function show(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

function chosen(jobs) {
  const wanted = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  return jobs.find((job) => `${job.project}/${job.id}` === wanted) || jobs[0];
}

function drawList(jobs) {
  const current = chosen(jobs);
  const text = JSON.stringify([jobs, current]);
  if (text === state.list) return;
  state.list = text;
  const focused = document.activeElement?.getAttribute("href");
  find("jobs").replaceChildren(...jobs.map((job) => {
    const name = `${job.project}/${job.id}`;
    const link = make("a", { href: `#/${name}` });
    if (job === current) link.setAttribute("aria-current", "true");
    const done = job.planned ? `${job.done} of ${job.planned} epochs` : job.done ? `${job.done} epochs` : "";
    link.append(`${job.id} `, make("span", { class: `state ${job.state}` }, job.state));
    link.append(make("small", {}, [job.model, done].filter(Boolean).join(", ")));
    const item = make("li");
    item.append(link);
    return item;
  }));
  if (focused) [...find("jobs").querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  const running = jobs.filter((job) => !job.ended).length;
  find("summary").textContent = `${running} of ${jobs.length} run`;
}

function drawChart([title, ...lines], epochs, planned) {
  const figure = make("figure");
  const caption = make("figcaption", {}, title);
  const series = lines.map(([column, name], index) => ({
    name, style: index ? "second" : "first", points: epochs.filter((e) => e[column] !== null).map((e) => [e.epoch, e[column]]),
  })).filter((one) => one.points.length);
  if (lines.length > 1) series.forEach((one) => caption.append(make("span", { class: `key ${one.style}` }, one.name)));
  const all = series.flatMap((one) => one.points);
  const last = series.map((one) => `${one.name} ${show(one.points.at(-1)[1])}`).join(", ");
  const label = all.length ? `${title}, epoch ${epochs.at(-1).epoch}: ${last}` : `${title}: nothing is known yet`;
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0", "aria-label": label });
  figure.append(caption, svg);
  if (!all.length) return figure;
  const right = Math.max(planned || 1, ...all.map(([x]) => x), 2);
  let [low, high] = [Math.min(...all.map(([, y]) => y)), Math.max(...all.map(([, y]) => y))];
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const x = (value) => LEFT + ((value - 1) / (right - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  for (const value of [low, (low + high) / 2, high]) {
    svg.append(make("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(make("text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, show(Number(value.toPrecision(3)))));
  }
  svg.append(make("text", { x: LEFT, y: HEIGHT - 6 }, "1"));
  svg.append(make("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `epoch ${right}`));
  for (const one of series) {
    const path = one.points.map(([a, b], index) => `${index ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    svg.append(make("path", { d: path, class: one.style }));
    const [a, b] = one.points.at(-1);
    svg.append(make("circle", { cx: x(a), cy: y(b), r: 3, class: one.style }));
  }
  if (state.cursor !== null) svg.append(make("line", { class: "cursor", x1: x(state.cursor), x2: x(state.cursor), y1: TOP, y2: HEIGHT - BOTTOM }));
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    point(Math.round(((at - LEFT) / (WIDTH - LEFT - RIGHT)) * (right - 1)) + 1);
  });
  return figure;
}

// Point at an epoch in all charts, and say its values.
function point(epoch) {
  const epochs = state.job?.epochs || [];
  if (!epochs.length) return;
  const nearest = epochs.reduce((a, b) => (Math.abs(b.epoch - epoch) < Math.abs(a.epoch - epoch) ? b : a));
  if (nearest.epoch === state.cursor) return;
  state.cursor = nearest.epoch;
  const values = Object.entries(COLUMNS).filter(([key]) => nearest[key] !== null);
  find("readout").textContent = values.map(([key, name]) => `${name} ${show(nearest[key])}`).join(", ");
  drawCharts();
}

function drawCharts() {
  const at = [...find("charts").querySelectorAll("svg")].indexOf(document.activeElement);
  const { epochs, planned } = state.job;
  find("charts").replaceChildren(...CHARTS.map((chart) => drawChart(chart, epochs, planned)));
  if (at >= 0) find("charts").querySelectorAll("svg")[at].focus();
}

function drawFacts(job) {
  const facts = {
    "started": new Date(job.started * 1000).toLocaleString() + (job.starts > 1 ? ` (${job.starts} times)` : ""),
    "took": job.took === null ? "" : `${show(job.took)} s`,
    "engine": job.engine,
    "restarts": job.restarts || "",
    "options": Object.entries(job.task).filter(([, v]) => v !== null && typeof v !== "object").map(([k, v]) => `${k} ${show(v)}`).join(", "),
    "metrics": Object.entries(job.metrics).map(([k, v]) => `${k} ${show(v)}`).join(", "),
    "folder": job.folder,
  };
  const known = Object.entries(facts).filter(([, value]) => value !== "");
  find("facts").replaceChildren(...known.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, String(value))]));
}

function drawTable(epochs) {
  const head = make("tr");
  head.append(...Object.values(COLUMNS).map((name) => make("th", { scope: "col" }, name)));
  const rows = epochs.map((epoch) => {
    const row = make("tr");
    row.append(...Object.keys(COLUMNS).map((key) => make("td", {}, show(epoch[key]))));
    return row;
  });
  find("epochs").replaceChildren(head, ...rows.reverse());
}

function drawLog(text, isOther) {
  const log = find("log");
  const isAtEnd = isOther || log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  log.textContent = text || "nothing yet";
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function drawJob(job, text) {
  if (text === state.text) return;
  const isOther = state.shown !== `${job.project}/${job.id}`;
  Object.assign(state, { text, job, shown: `${job.project}/${job.id}` });
  if (isOther) Object.assign(state, { cursor: null }), (find("readout").textContent = "");
  find("job").hidden = false;
  find("title").textContent = `${job.model}, job ${job.id}`;
  find("state").textContent = job.state;
  find("state").className = `state ${job.state}`;
  find("reason").textContent = job.reason || "";
  const progress = find("progress");
  progress.hidden = !job.planned;
  if (job.planned) Object.assign(progress, { max: job.planned, value: job.done });
  document.title = `${job.id} ${job.state}`;
  drawFacts(job);
  drawCharts();
  drawTable(job.epochs);
  drawLog(job.log, isOther);
}

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.text();
}

async function refresh() {
  try {
    const jobs = JSON.parse(await get("jobs.json"));
    find("empty").hidden = jobs.length > 0;
    if (!jobs.length) return;
    drawList(jobs);
    const current = chosen(jobs);
    const text = await get(`job.json?id=${encodeURIComponent(`${current.project}/${current.id}`)}`);
    drawJob(JSON.parse(text), text);
  } catch (error) {
    find("summary").textContent = `no answer: ${error.message}`;
  }
}

async function live() {
  if (!document.hidden) await refresh();
  setTimeout(live, EVERY);
}

find("charts").addEventListener("keydown", (event) => {
  const epochs = state.job?.epochs || [];
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (step === undefined || !epochs.length) return;
  event.preventDefault();
  const from = state.cursor ?? epochs.at(-1).epoch + (step < 0 ? 1 : 0);
  point(Number.isFinite(step) ? from + step : step < 0 ? epochs[0].epoch : epochs.at(-1).epoch);
});
addEventListener("hashchange", () => { if (location.hash !== "#main") refresh(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); find("main").focus(); });
live();
