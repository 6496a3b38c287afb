"use strict";
// What a page is drawn with. Texts of runs only ever become text nodes and attributes.
const data = JSON.parse(document.getElementById("data").textContent);
const { groups, runs, fields, metric, mode } = data;
// Settings with a colour of their own, and those whose bands show without the pointer on them.
const COLOURS = 8, BANDS = 3;

// ---- elements

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const shape = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const section = (name) => document.getElementById(name);
const dot = (g) => el("i", { class: "dot", style: `background:${colour(g)}` });
const colour = (g) => (g < COLOURS ? `var(--c${g})` : "var(--grey)");

// ---- numbers

function figure(x) {
  if (x === null || x === undefined) return "–";
  const size = Math.abs(x);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return x.toExponential(2);
  if (size >= 1000) return Math.round(x).toLocaleString("en");
  return String(Number(x.toPrecision(4)));
}
function value(x) {
  if (x === null) return "–";
  if (typeof x !== "number") return x;
  const size = Math.abs(x);
  return size > 0 && (size < 1e-3 || size >= 1e7)
    ? Number(x.toPrecision(4)).toExponential().replace("e+", "e") : String(Number(x.toPrecision(6)));
}
const percent = (x) => `${Math.round(100 * x)} %`;
const interval = ([x, low, high], show = figure) => `${show(x)} [${show(low)}, ${show(high)}]`;
const scoreText = (g) => (g.low === null ? figure(g.score) : interval([g.score, g.low, g.high]));
function seconds(s) {
  if (s === null) return "–";
  if (s < 100) return `${Number(s.toPrecision(2))} s`;
  return s < 6000 ? `${(s / 60).toFixed(1)} min` : `${(s / 3600).toFixed(1)} h`;
}
const count = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
function quantile(sorted, q) {
  const at = q * (sorted.length - 1), low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

// The range that scores are drawn in: settings that are far worse than the rest don't stretch it.
function scoreRange(values) {
  const sorted = values.filter((x) => x !== null).sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const [q1, q3] = [quantile(sorted, 0.25), quantile(sorted, 0.75)], reach = 3 * (q3 - q1);
  let low = sorted[0], high = sorted[sorted.length - 1];
  if (reach > 0 && mode === "max") low = Math.max(low, q1 - reach);
  if (reach > 0 && mode === "min") high = Math.min(high, q3 + reach);
  return low < high ? [low, high] : [low - 0.5 * Math.abs(low || 1), high + 0.5 * Math.abs(high || 1)];
}
const range = scoreRange(groups.map((g) => g.score));
const shade = (x) => {
  if (x === null) return "var(--grey)";
  let t = Math.min(1, Math.max(0, (x - range[0]) / (range[1] - range[0])));
  if (mode === "min") t = 1 - t;
  return `color-mix(in oklab, var(--good) ${(100 * t).toFixed(1)}%, var(--poor))`;
};

// ---- scales: a function from values to pixels, with its ticks

function ticks(low, high, about) {
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const marks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) marks.push(i * step);
  return marks;
}
function logTicks(low, high) {
  const marks = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.log10(high); p++)
    for (const k of high / low > 1000 ? [1] : [1, 2, 5]) marks.push(k * 10 ** p);
  const inside = marks.filter((m) => m >= low * 0.999 && m <= high * 1.001);
  return inside.length > 1 ? inside : [low, high];
}
function numbers([low, high], [from, to], log, about = 5) {
  const f = log ? Math.log : (x) => x;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 1, high + 1];
  const scale = (x) => from + ((f(x) - f(low)) / (f(high) - f(low))) * (to - from);
  scale.ticks = log ? logTicks(low, high) : ticks(low, high, about);
  scale.text = figure;
  return scale;
}
// A field's scale; `places`: every value gets the same room, numbers in their order.
function fieldScale(index, [from, to], places = false) {
  const all = [...new Set(groups.map((g) => g.values[index]))];
  const known = all.filter((x) => x !== null);
  const numeric = known.every((x) => typeof x === "number");
  known.sort(numeric ? (a, b) => a - b : (a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
  const [low, high] = [known[0], known[known.length - 1]];
  if (!numeric || places || all.length > known.length || known.length < 2) {
    const order = all.length > known.length ? [null, ...known] : known;
    const scale = (x) => from + ((order.indexOf(x) + 0.5) / order.length) * (to - from);
    return Object.assign(scale, { ticks: order, text: value, room: (to - from) / order.length });
  }
  const pad = 0.04 * (to - from);
  const scale = numbers([low, high], [from + pad, to - pad], low > 0 && high / low >= 20);
  if (known.length <= 8) scale.ticks = known;
  return Object.assign(scale, { text: value });
}

// ---- charts

function axes(svg, x, y, box, xLabel, yLabel) {
  for (const mark of y.ticks) {
    svg.append(shape("line", { class: "grid", x1: box.left, x2: box.right, y1: y(mark), y2: y(mark) }));
    svg.append(shape("text", { x: box.left - 8, y: y(mark) + 4, "text-anchor": "end" }, cut(y.text(mark), 14)));
  }
  let last = -Infinity;
  for (const mark of x.ticks) {
    const text = cut(x.text(mark), 14), half = 3.4 * text.length;
    if (x(mark) - half < last + 6) continue;
    last = x(mark) + half;
    svg.append(shape("text", { x: x(mark), y: box.bottom + 18, "text-anchor": "middle" }, text));
  }
  svg.append(shape("text", { x: (box.left + box.right) / 2, y: box.bottom + 38, "text-anchor": "middle" }, xLabel));
  svg.append(shape("text", { x: box.left - 48, y: box.top - 10 }, yLabel));
}
const cut = (text, size) => (text.length > size ? text.slice(0, size - 1) + "…" : text);
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
function canvas(holder, height) {
  const width = Math.max(320, holder.clientWidth);
  const svg = shape("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  holder.replaceChildren(svg);
  return { svg, box: { left: 60, right: width - 12, top: 26, bottom: height - 46 } };
}
function redrawn(holder, draw) {
  let width = 0;
  draw();
  new ResizeObserver(() => {
    if (holder.clientWidth !== width) draw();
    width = holder.clientWidth;
  }).observe(holder);
}
function withTip(node, text, g) {
  node.addEventListener("pointermove", (event) => {
    const tip = section("tip");
    tip.textContent = text;
    tip.hidden = false;
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(4, event.clientY - tip.offsetHeight - 10)}px`;
  });
  node.addEventListener("pointerleave", () => { section("tip").hidden = true; });
  return marked(node, g);
}
// What belongs to a group shows it everywhere while the pointer is on it.
function marked(node, g) {
  node.dataset.group = g;
  node.addEventListener("pointerenter", () => {
    document.querySelectorAll(`[data-group="${g}"]`).forEach((n) => n.classList.add("on"));
    document.querySelectorAll("svg.chart").forEach((n) => n.classList.add("some"));
  });
  node.addEventListener("pointerleave", () => {
    document.querySelectorAll(".on").forEach((n) => n.classList.remove("on"));
    document.querySelectorAll(".some").forEach((n) => n.classList.remove("some"));
  });
  return node;
}
const groupTip = (g) => `${groups[g].label}\n${metric} ${scoreText(groups[g])}`;
function legend(shown, more) {
  const marks = shown.map((g) => marked(el("span", {}, dot(g), groups[g].label), g));
  if (more) marks.push(el("span", { class: "quiet" }, `grey: ${count(more, "other setting")}`));
  return el("div", { class: "legend" }, ...marks);
}
// Lines with bands; the best groups in colour, above the rest in grey.
function drawLines(svg, x, y, lines) {
  for (const line of [...lines].sort((a, b) => b.group - a.group)) {
    const g = line.group, best = g < COLOURS;
    const points = line.x.map((at, i) => [x(at), y(line.mean[i])]);
    if (best && line.low) {
      const edge = [...line.x.map((at, i) => [x(at), y(line.high[i])]),
        ...line.x.map((at, i) => [x(at), y(line.low[i])]).reverse()];
      svg.append(marked(shape("path", { class: g < BANDS ? "band" : "band faint", d: `${path(edge)}Z`, fill: colour(g) }), g));
    }
    if (points.length === 1)
      svg.append(withTip(shape("circle", { cx: points[0][0], cy: points[0][1], r: 4, fill: colour(g) }), groupTip(g), g));
    const style = best ? `stroke:${colour(g)}` : null;
    svg.append(withTip(shape("path", { class: best ? "line" : "line rest", d: path(points), style }), groupTip(g), g));
  }
}
