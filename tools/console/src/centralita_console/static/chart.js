// The chart of outcomes. Its numbers are those of the table beside it; the library is loaded after the page is shown.
"use strict";

const REFRESH_MILLISECONDS = 60_000;
const HEIGHT = 220;
const LINE = "attempts";
const language = document.documentElement.lang;
const counts = new Intl.NumberFormat(language);
let plot = null;
let observer = null;

function load(element, attributes) {
  return new Promise((resolve, reject) => {
    const made = Object.assign(document.createElement(element), attributes);
    made.addEventListener("load", resolve);
    made.addEventListener("error", reject);
    document.head.append(made);
  });
}

// Returns the names of the series, and per series one number for each interval, also for those without a row.
function read(chart) {
  const table = document.getElementById("outcomes-table");
  const names = [...table.tHead.querySelectorAll("th[data-series]")].map((cell) => cell.dataset.series);
  const [begin, end, step] = ["begin", "end", "step"].map((name) => Number(chart.dataset[name]));
  const length = Math.max(1, Math.ceil((end - begin) / step));
  const times = Array.from({ length }, (_, index) => begin + index * step);
  const values = names.map(() => new Array(length).fill(0));
  for (const row of table.tBodies[0].rows) {
    const index = (Number(row.dataset.at) - begin) / step;
    [...row.cells].slice(1).forEach((cell, column) => (values[column][index] = Number(cell.textContent)));
  }
  return { names, times, values, step };
}

function color(name) {
  return getComputedStyle(document.querySelector(`.legend [data-series="${name}"]`)).fill;
}

function clock(step) {
  const options = step >= 86_400 ? { day: "numeric", month: "short", timeZone: "UTC" }
    : step >= 3_600 ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
    : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(language, options);
}

function describe({ names, times, values, step }, index) {
  if (index === null || index === undefined) return "";
  const shown = names.map((name, series) => [name, values[series][index]]).filter(([name, count]) => count && legend(name));
  const parts = shown.map(([name, count]) => `${legend(name)} ${counts.format(count)}`);
  return `${clock(step).format(new Date(times[index] * 1000))}: ${parts.join(", ") || counts.format(0)}`;
}

function legend(name) {
  return document.querySelector(`.legend [data-series="${name}"]`)?.closest("li").textContent.trim();
}

function options(data, stacked, width) {
  const line = getComputedStyle(document.documentElement);
  const axis = { stroke: line.getPropertyValue("--faint"), grid: { stroke: line.getPropertyValue("--line"), width: 1 } };
  const bars = stacked.map(({ name }) => ({ fill: color(name), stroke: color(name), width: 0, points: { show: false },
    paths: uPlot.paths.bars({ size: [0.9, 60], align: 1 }) }));
  const attempts = { stroke: color(LINE), width: 2, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) };
  return {
    width, height: HEIGHT, legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { range: [data.times[0], data.times.at(-1) + data.step] }, y: { range: (_, __, max) => [0, Math.max(1, max)] } },
    axes: [
      { ...axis, space: 70, size: 30, values: (_, at) => at.map((one) => clock(data.step).format(new Date(one * 1000))) },
      { ...axis, size: 45, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000],
        values: (_, at) => at.map((one) => counts.format(one)) },
    ],
    series: [{}, ...bars, attempts],
    hooks: { setCursor: [(made) => (document.getElementById("chart-point").textContent = describe(data, made.cursor.idx))] },
  };
}

// Bars are drawn one over the other: the highest sums first, so that each one shows only its own part.
function stack({ names, times, values }) {
  const sums = times.map(() => 0);
  const stacked = names.slice(0, names.indexOf(LINE)).map((name, series) => {
    values[series].forEach((count, index) => (sums[index] += count));
    return { name, sums: [...sums] };
  });
  return stacked.reverse();
}

function draw() {
  const chart = document.getElementById("chart");
  plot?.destroy();
  observer?.disconnect();
  plot = observer = null;
  if (!chart) return;
  const data = read(chart);
  const stacked = stack(data);
  const columns = [data.times, ...stacked.map(({ sums }) => sums), data.values[data.names.indexOf(LINE)]];
  plot = new uPlot(options(data, stacked, chart.clientWidth), columns, chart);
  observer = new ResizeObserver(() => plot.setSize({ width: chart.clientWidth, height: HEIGHT }));
  observer.observe(chart);
  chart.dataset.drawn = String(data.times.length);
}

async function show() {
  const chart = document.getElementById("chart");
  if (!chart) return;
  if (!window.uPlot) {
    const { script, style } = chart.dataset;
    await Promise.all([load("script", { src: script }), load("link", { rel: "stylesheet", href: style })]);
  }
  draw();
}

// Reads the section again. What is open or has the focus stays as it is, until it is neither.
async function refresh() {
  const section = document.getElementById("outcomes");
  if (document.hidden || section.contains(document.activeElement) || section.querySelector("details[open]")) return;
  const answer = await fetch(section.dataset.part, { headers: { "HX-Request": "true" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const part = document.importNode(page.getElementById("outcomes"), true);
  localize(part);
  section.replaceWith(part);
  await show();
}

if (document.readyState === "complete") show();
else addEventListener("load", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.uPlot && draw());
setInterval(() => refresh().catch(() => {}), REFRESH_MILLISECONDS);
