// The page of runs. With a server it asks for the runs and looks again while one goes on; in a report the run is in it.
"use strict";

const embedded = document.getElementById("data");
const chosen = { run: null, other: "", step: null, sort: { column: "number", up: true } };
const charts = new Map();
let runs = [], view = null, otherView = null, shown = "";

const at = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const seconds = (value) => (value === null || value === undefined ? "" : value < 60 ? `${value.toFixed(1)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`);
const number = (value) => (value === null || value === undefined ? "–" : typeof value === "number" ? String(Number(value.toPrecision(5))) : typeof value === "object" ? JSON.stringify(value) : String(value));
const bytes = (value) => (value < 1e3 ? `${value} B` : value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`);

// An element; attributes that are functions are listeners, children are elements or texts.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function table(head, rows, attributes = {}) {
  return make("div", { class: "wide", tabindex: "0", role: "group", "aria-label": attributes.label || "table" },
    make("table", attributes, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows)));
}

const cell = (value) => make("td", {}, number(value));
const header = (text) => make("th", { scope: "col" }, text);
const pairs = (values) => make("dl", {}, Object.entries(values).map(([name, value]) => [make("dt", { class: "quiet" }, name), make("dd", {}, number(value))]));
const place = (path) => (embedded ? `../${path}` : `/runs/${path}`).split("/").map(encodeURIComponent).join("/");

// The graph: a column for each distance from the start.

function levels(steps) {
  const depth = {};
  const find = (name) => (depth[name] ??= Math.max(-1, ...steps[name].needs.filter((need) => need in steps).map(find)) + 1);
  Object.keys(steps).forEach(find);
  return depth;
}

function drawGraph() {
  const depth = levels(view.steps), rows = {};
  at("steps").style.gridTemplateColumns = `repeat(${Math.max(...Object.values(depth)) + 1}, max-content)`;
  at("steps").replaceChildren(...Object.entries(view.steps).map(([name, step]) => {
    const row = (rows[depth[name]] = (rows[depth[name]] || 0) + 1);
    const button = make("button", { type: "button", class: step.state, "data-step": name, "data-key": `step-${name}`,
      "aria-pressed": String(name === chosen.step), click: () => choose({ step: name }), keydown: moveAlong },
      make("b", {}, name), make("small", {}, [step.state, seconds(step.seconds)].filter(Boolean).join(", ")), make("small", { class: "quiet" }, headline(step)));
    return make("li", { style: `grid-column:${depth[name] + 1};grid-row:${row}` }, button);
  }));
  drawEdges();
}

function headline(step) {
  const names = Object.keys(step.metrics);
  const best = step.search ? step.search.metric : names.find((name) => name.includes("accuracy")) || names[0];
  return best && step.metrics[best] !== undefined ? `${best} ${number(step.metrics[best])}` : "";
}

function drawEdges() {
  const frame = at("steps").getBoundingClientRect(), svg = at("edges");
  svg.setAttribute("width", at("steps").scrollWidth);
  svg.setAttribute("height", at("steps").scrollHeight);
  const box = (name) => at("steps").querySelector(`[data-step="${name}"]`).getBoundingClientRect();
  svg.replaceChildren(...Object.entries(view.steps).flatMap(([name, step]) => step.needs.filter((need) => need in view.steps).map((need) => {
    const from = box(need), to = box(name), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const [x, y, right, low] = [from.right - frame.left, from.top + from.height / 2 - frame.top, to.left - frame.left, to.top + to.height / 2 - frame.top];
    path.setAttribute("d", `M${x} ${y}C${x + 20} ${y} ${right - 20} ${low} ${right} ${low}`);
    return path;
  })));
}

function moveAlong(event) {
  const buttons = [...at("steps").querySelectorAll("button")], here = buttons.indexOf(event.currentTarget);
  const next = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (next === undefined || !buttons[next]) return;
  event.preventDefault();
  buttons[next].focus();
}

// One step.

function drawStep() {
  const name = chosen.step, step = view.steps[name];
  const curves = { ...prefixed(step.curves, ""), ...(otherView?.steps[name] ? prefixed(otherView.steps[name].curves, `${otherView.id.slice(-6)} `) : {}) };
  at("step").replaceChildren(...[
    make("h2", { id: "step-title" }, `${name}: ${step.state}`),
    step.error && make("p", { class: "bad" }, step.error),
    step.why.length > 0 && make("p", { class: "quiet" }, step.why.join("; ")),
    Object.keys(step.metrics).length > 0 && [make("h3", {}, "Metrics"), pairs(step.metrics)],
    Object.keys(curves).length > 0 && [make("h3", {}, "Curves"), chartBox("curves", `Curves of ${name}: a value each epoch`), curveTable(curves)],
    Object.keys(step.params).length > 0 && [make("h3", {}, "Parameters"), pairs(flat(step.params))],
    Object.keys(step.outputs).length > 0 && [make("h3", {}, "Outputs"), ...Object.entries(step.files).map(([output, found]) => filesOf(output, found, step.outputs[output]))],
    make("h3", {}, "Log"),
    make("pre", { id: "log", tabindex: "0", "aria-label": `End of the log of ${name}` }, step.log_tail || "(empty)"),
    step.log && make("p", {}, make("a", { href: place(step.log) }, "the whole log")),
  ].flat(2).filter(Boolean));
  at("log").scrollTop = at("log").scrollHeight;
  if (Object.keys(curves).length) drawCurves("curves", curves);
}

const prefixed = (curves, prefix) => Object.fromEntries(Object.entries(curves).map(([name, values]) => [prefix + name, values]));
const flat = (groups) => Object.fromEntries(Object.entries(groups).flatMap(([group, values]) => (values && typeof values === "object" && !Array.isArray(values) ? Object.entries(values).map(([name, value]) => [`${group}.${name}`, value]) : [[group, values]])));

function filesOf(output, found, about) {
  const list = make("ul", { class: "files" }, found.map((file) => make("li", {}, make("a", { href: place(file.place), download: true }, file.place.split("/").slice(2).join("/")), ` ${bytes(file.size)}`)));
  return make("details", { open: found.length < 6, "data-key": `files-${output}` }, make("summary", {}, `${output}: ${about.kind}, ${bytes(about.size)}, sha256 ${about.digest.slice(0, 12)}`), list);
}

function curveTable(curves) {
  const names = Object.keys(curves), length = Math.max(...Object.values(curves).map((values) => values.length));
  const rows = Array.from({ length }, (_, epoch) => make("tr", {}, cell(epoch + 1), names.map((name) => cell(curves[name][epoch]))));
  return make("details", { "data-key": "curves-table" }, make("summary", {}, "The curves as a table"), table([header("epoch"), ...names.map(header)], rows, { label: "curves" }));
}

// Charts.

function chartBox(id, label) {
  return make("div", { id, class: "chart", role: "img", "aria-label": label });
}

function draw(id, option) {
  charts.get(id)?.dispose();
  const chart = echartsBundle.core.init(at(id), null, { renderer: "svg" });
  chart.setOption({ animation: false, textStyle: { color: colour("ink"), fontFamily: "inherit" }, ...option });
  charts.set(id, chart);
}

function drawCurves(id, curves) {
  const axis = { axisLabel: { color: colour("quiet") }, axisLine: { lineStyle: { color: colour("line") } }, splitLine: { lineStyle: { color: colour("line") } } };
  draw(id, {
    color: ["accent", "good", "wait", "bad", "quiet"].map(colour),
    grid: { left: 52, right: 16, top: 44, bottom: 34 },
    legend: { type: "scroll", textStyle: { color: colour("ink") } },
    tooltip: { trigger: "axis", confine: true },
    xAxis: { type: "category", name: "epoch", nameLocation: "middle", nameGap: 22, data: Array.from({ length: Math.max(...Object.values(curves).map((values) => values.length)) }, (_, index) => index + 1), ...axis },
    yAxis: { type: "value", scale: true, ...axis },
    series: Object.entries(curves).map(([name, data]) => ({ name, type: "line", data, symbolSize: 5 })),
  });
}

function drawParallel(id, trials, columns, metric) {
  const best = trials.find((trial) => trial.best);
  const values = (trial) => columns.map((name) => (name === metric ? trial.metric : trial.params[name]));
  const axis = (name, dim) => {
    const all = trials.map((trial) => values(trial)[dim]).filter((value) => value !== null);
    if (!all.every((value) => typeof value === "number")) return { dim, name, type: "category", data: [...new Set(all.map(String))] };
    const isLog = name !== metric && all.length > 0 && Math.min(...all) > 0 && Math.max(...all) / Math.min(...all) >= 8;
    return { dim, name, type: isLog ? "log" : "value", scale: true, min: Math.min(...all), max: Math.max(...all) };
  };
  const line = (trial) => ({ value: values(trial).map((value) => value ?? "-"), name: `trial ${trial.number}`,
    lineStyle: trial === best ? { color: colour("good"), width: 4, opacity: 1 } : { color: colour("accent"), width: 1.5, opacity: 0.55 } });
  draw(id, {
    parallel: { left: 48, right: 72, top: 40, bottom: 24, parallelAxisDefault: { nameTextStyle: { color: colour("ink") }, axisLabel: { color: colour("quiet"), formatter: (value) => number(value) }, axisLine: { lineStyle: { color: colour("quiet") } } } },
    parallelAxis: columns.map(axis),
    series: [{ type: "parallel", smooth: false, data: trials.filter((trial) => trial.metric !== null).sort((one, other) => one.best - other.best).map(line) }],
  });
}

// Trials.

function drawTrials() {
  const name = view.trials[chosen.step] ? chosen.step : Object.keys(view.trials)[0];
  const trials = view.trials[name] || [];
  at("trials").hidden = !trials.length;
  if (!trials.length) return;
  const search = view.steps[name]?.search || {}, metric = search.metric || "metric";
  const params = [...new Set(trials.flatMap((trial) => Object.keys(trial.params)))];
  const columns = ["number", "state", ...params, metric, "seconds"];
  const value = (trial, column) => (column in trial.params ? trial.params[column] : column === metric ? trial.metric : trial[column]);
  const direction = chosen.sort.up ? 1 : -1;
  const order = (one, other) => {
    const [a, b] = [value(one, chosen.sort.column), value(other, chosen.sort.column)];
    if (a === b || (a ?? null) === (b ?? null)) return one.number - other.number;
    if (a === null || a === undefined) return 1;
    if (b === null || b === undefined) return -1;
    return direction * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  };
  const head = columns.map((column) => make("th", { scope: "col", "aria-sort": column !== chosen.sort.column ? "none" : chosen.sort.up ? "ascending" : "descending" },
    make("button", { type: "button", "data-key": `sort-${column}`, click: () => choose({ sort: { column, up: column === chosen.sort.column ? !chosen.sort.up : true } }) },
      column === "number" ? "trial" : column, column === chosen.sort.column ? (chosen.sort.up ? " ▲" : " ▼") : "")));
  const rows = [...trials].sort(order).map((trial) => make("tr", { class: trial.best ? "best" : null },
    columns.map((column) => make("td", column === "state" && trial.error ? { title: trial.error } : {}, column === "number" ? [trial.log ? make("a", { href: place(trial.log) }, String(trial.number)) : String(trial.number), trial.best ? " (best)" : ""] : column === "seconds" ? seconds(trial.seconds) : number(value(trial, column))))));
  const done = trials.filter((trial) => trial.metric !== null).length;
  at("trials").replaceChildren(
    make("h2", { id: "trials-title" }, `Trials of ${name}: ${done} of ${trials.length} measured`),
    table(head, rows, { label: `trials of ${name}` }),
    done > 0 ? make("h3", {}, `Parameters and ${metric}, a line a trial; the best is thick`) : "",
    done > 0 ? chartBox("parallel", `Parallel coordinates of ${done} trials over ${[...params, metric].join(", ")}`) : "",
  );
  if (done > 0) drawParallel("parallel", trials, [...params, metric], metric);
}

// Confusion matrices and pictures.

function drawResults() {
  const found = Object.entries(view.steps).filter(([, step]) => step.confusion || step.galleries.length);
  at("results").hidden = !found.length;
  at("results").replaceChildren(make("h2", { id: "results-title" }, "Predictions"), ...found.flatMap(([name, step]) => [
    step.confusion && make("h3", {}, `Confusion matrix of ${name}`), step.confusion && confusionTable(step.confusion),
    ...step.galleries.flatMap((gallery) => [make("h3", {}, `${gallery.name} of ${name}`), make("ul", { class: "gallery" }, gallery.samples.map(figure))]),
  ]).filter(Boolean));
}

function confusionTable({ labels, counts }) {
  const most = Math.max(1, ...counts.flat());
  const shade = (count, right) => `background: color-mix(in srgb, ${colour(right ? "good" : "bad")} ${Math.round((55 * count) / most)}%, transparent)`;
  return table([header("true ↓ predicted →"), ...labels.map(header)], counts.map((row, index) => make("tr", {}, make("th", { scope: "row" }, labels[index]),
    row.map((count, column) => make("td", { style: shade(count, index === column) }, String(count))))), { class: "confusion", label: "confusion matrix" });
}

function figure(sample) {
  const right = sample.label === sample.predicted;
  const said = `${sample.predicted}${sample.score === undefined ? "" : ` ${number(sample.score)}`}`;
  return make("li", {}, make("figure", {}, make("img", { src: sample.data || place(sample.place), loading: "lazy", alt: `${sample.path || sample.file}: ${sample.label}, predicted ${sample.predicted}` }),
    make("figcaption", {}, make("span", { class: right ? "good" : "bad" }, right ? `✓ ${said}` : `✗ ${said}, is ${sample.label}`))));
}

// Two runs side by side.

function drawCompare() {
  at("compare").hidden = !otherView;
  if (!otherView) return;
  const collect = (run) => ({ ...prefixed({ state: run.state, took: seconds(run.seconds), commit: run.git?.commit?.slice(0, 12) ?? "" }, "run "), ...flat(run.config),
    ...Object.fromEntries(Object.entries(run.steps).flatMap(([name, step]) => [[`${name}`, `${step.state} ${seconds(step.seconds)}`], ...Object.entries(step.metrics).map(([metric, value]) => [`${name}: ${metric}`, value])])) });
  const one = collect(view), two = collect(otherView), names = [...new Set([...Object.keys(one), ...Object.keys(two)])];
  const differs = (name) => number(one[name]) !== number(two[name]);
  const row = (name) => make("tr", { class: differs(name) ? "differs" : null }, make("th", { scope: "row" }, name), cell(one[name]), cell(two[name]), make("td", {}, difference(one[name], two[name])));
  const head = ["", view.id, otherView.id, "difference"].map(header);
  at("compare").replaceChildren(make("h2", { id: "compare-title" }, "Side by side"),
    table(head, names.filter(differs).map(row), { label: "what differs" }),
    make("details", { "data-key": "same" }, make("summary", {}, "What is the same"), table(head, names.filter((name) => !differs(name)).map(row), { label: "what is the same" })));
}

const difference = (one, two) => (typeof one === "number" && typeof two === "number" ? `${two >= one ? "+" : ""}${number(two - one)}` : "");

// All of it.

function drawConfig() {
  at("config").replaceChildren(make("h2", { id: "config-title" }, "Run"), pairs({ id: view.id, started: view.started, engine: view.engine, commit: view.git ? `${view.git.commit}${view.git.dirty ? " and changes" : ""}` : "", ...flat(view.config) }));
}

function drawAll() {
  const focus = document.activeElement?.dataset?.key, open = new Map([...document.querySelectorAll("details[data-key]")].map((one) => [one.dataset.key, one.open]));
  if (!view.steps[chosen.step]) chosen.step = Object.keys(view.steps).find((name) => ["running", "failed"].includes(view.steps[name].state)) || Object.keys(view.steps).at(-1);
  document.title = `${view.project} ${view.id}`;
  at("title").textContent = `Run of ${view.project}`;
  at("state").textContent = `${view.state}${view.seconds === null ? "" : `, ${seconds(view.seconds)}`}`;
  at("state").className = { succeeded: "good", failed: "bad", running: "" }[view.state] ?? "wait";
  at("note").hidden = !view.error;
  at("note").textContent = view.error || "";
  [drawGraph, drawStep, drawTrials, drawResults, drawCompare, drawConfig].forEach((each) => each());
  document.querySelectorAll("details[data-key]").forEach((one) => { if (open.has(one.dataset.key)) one.open = open.get(one.dataset.key); });
  if (focus) document.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
}

function choose(change) {
  Object.assign(chosen, change);
  if (!embedded && ("run" in change || "other" in change)) location.hash = `/${chosen.run}${chosen.other ? `/${chosen.other}` : ""}`;
  if ("run" in change || "other" in change) look(); else drawAll();
}

function fillChoices() {
  const options = (value) => runs.map((run) => make("option", { value: run.id, selected: run.id === value }, `${run.id} ${run.state}`));
  at("choose").hidden = false;
  at("run").replaceChildren(...options(chosen.run));
  at("other").replaceChildren(make("option", { value: "" }, "no other"), ...options(chosen.other));
}

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function look() {
  try {
    runs = await ask("/api/runs");
    if (!runs.some((run) => run.id === chosen.run)) chosen.run = runs[0]?.id ?? null;
    if (!runs.some((run) => run.id === chosen.other)) chosen.other = "";
    const found = chosen.run && [await ask(`/api/runs/${chosen.run}`), chosen.other ? await ask(`/api/runs/${chosen.other}`) : null];
    const text = JSON.stringify([runs, found]);
    if (text === shown) return;
    shown = text;
    fillChoices();
    if (!found) { at("state").textContent = "no runs yet: modelyard flow run"; return; }
    [view, otherView] = found;
    drawAll();
  } catch (error) {
    at("state").textContent = "the server of this page does not answer";
    at("state").className = "bad";
    shown = "";
  }
}

function readHash() {
  const [, run, other] = location.hash.replace("#", "").split("/");
  Object.assign(chosen, { run: run || null, other: other || "" });
}

async function keepLooking() {
  await look();
  setTimeout(keepLooking, view?.state === "running" ? 1000 : 4000);
}

addEventListener("resize", () => { charts.forEach((chart) => chart.resize()); if (view) drawEdges(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view && drawAll());
if (embedded) {
  view = JSON.parse(embedded.textContent);
  drawAll();
} else {
  readHash();
  addEventListener("hashchange", () => { readHash(); look(); });
  at("run").addEventListener("change", (event) => choose({ run: event.target.value, step: null }));
  at("other").addEventListener("change", (event) => choose({ other: event.target.value }));
  keepLooking();
}
