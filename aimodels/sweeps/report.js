// Draws the sections of the page, with what charts.js has.

function summary() {
  const finished = runs.filter((r) => r.status === "done").length;
  const total = data.seconds === null ? "" : ` · ${seconds(data.seconds)} of training`;
  const settings = `${count(runs.length, "run")} of ${count(groups.length, "setting")}`;
  const rest = runs.length - finished ? `, ${runs.length - finished} not done` : "";
  const better = mode === "max" ? "higher is better" : "lower is better";
  section("summary").append(`${settings}${rest}${total} · ranked by ${metric}, ${better}`);
}

function copyable(text, what) {
  const button = el("button", { onclick: async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(pre); button.textContent = "press Ctrl-C"; }
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  }, "aria-label": `copy the ${what}` }, "copy");
  const pre = el("pre", {}, text);
  return el("div", { class: "copyable" }, pre, button);
}

function best() {
  const first = groups[0];
  const range = first.low === null ? "one run" :
    `95 % interval ${figure(first.low)} to ${figure(first.high)}, ${first.n} runs`;
  const state = first.final ? range : `${range}, ${first.status}`;
  const given = data.axes.filter((i) => first.values[i] !== null).map((i) => `${fields[i].short}=${value(first.values[i])}`);
  const tested = groups.length > 1 && metric.startsWith("test") ? el("p", { class: "quiet" },
    "The best of many on the test split looks better than it is: choose on a validation split, " +
    "then report the test score of the one that was chosen.") : null;
  section("best").append(el("div", { class: "card" },
    el("div", { class: "big" }, figure(first.score)),
    el("div", { class: "quiet" }, `${metric} · ${state}`),
    groups.length > 1 ? el("div", { class: "label" }, given.join(", ")) : null,
    copyable(data.best.command, "command"),
    el("details", {}, el("summary", {}, "The whole config as JSON"), copyable(data.best.config, "config")),
    tested));
}

// ---- the table

function mini(g) {
  const at = (x) => 4 + 102 * Math.min(1, Math.max(0, (x - range[0]) / (range[1] - range[0])));
  const svg = shape("svg", { width: 110, height: 14, viewBox: "0 0 110 14", style: "width:110px" });
  if (g.score === null) return svg;
  if (g.low !== null)
    svg.append(shape("line", { x1: at(g.low), x2: at(g.high), y1: 7, y2: 7, stroke: "var(--quiet)", "stroke-width": 2 }));
  return fill(svg, {}, [shape("circle", { cx: at(g.score), cy: 7, r: 3.5, fill: "var(--good)" })]);
}
const column = (head, of, show, numeric = true) => ({ head, of, show: show || of, numeric });

function columns(bySetting, all) {
  const list = [];
  for (const i of all ? fields.keys() : data.axes) {
    const field = fields[i];
    const numeric = runs.every((r) => typeof r.values[i] === "number" || r.values[i] === null);
    list.push(column(field.short, (r) => r.values[i], (r) => value(r.values[i]), numeric));
    list[list.length - 1].title = field.name;
  }
  const others = data.metrics.slice(1, all ? undefined : 3).map((name, i) =>
    column(name, (r) => r.metrics[i + 1], (r) => figure(r.metrics[i + 1])));
  if (bySetting) {
    return [
      column("", (g) => g.place, (g) => el("span", {}, dot(g.place), String(g.place + 1))),
      column(metric, (g) => g.score, scoreText), column("", (g) => g.score, mini, false), column("n", (g) => g.n),
      ...list, ...others, column("time a run", (g) => g.seconds, (g) => seconds(g.seconds)),
      column("status", (g) => g.status, null, false)];
  }
  return [
    column("", (r) => r.group, (r) => el("span", {}, dot(r.group), String(r.group + 1))),
    column(metric, (r) => r.metrics[0], (r) => figure(r.metrics[0])), column("seed", (r) => r.seed),
    ...list, ...others, column("steps", (r) => r.steps, (r) => figure(r.steps)),
    column("time", (r) => r.seconds, (r) => seconds(r.seconds)), column("status", (r) => r.status, null, false),
    column("folder", (r) => r.folder, null, false), column("replica", (r) => r.replica)];
}

function table() {
  const several = groups.length < runs.length;
  const state = { bySetting: several, all: false, by: 0, down: false };
  const holder = el("div", { class: "scroll", tabindex: 0 });
  const heading = el("h2", {}, "");
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
    return state.down ? -order : order;
  };
  function draw() {
    heading.textContent = state.bySetting ? count(groups.length, "setting") : count(runs.length, "run");
    const list = columns(state.bySetting, state.all), sorter = list[state.by] || list[0];
    const rows = (state.bySetting ? groups : runs).slice();
    rows.sort((a, b) => compare(sorter.of(a) ?? null, sorter.of(b) ?? null));
    const heads = list.map((c, i) => el("th", {
      class: c.numeric ? "number" : null, scope: "col", title: c.title,
      "aria-sort": i === state.by ? (state.down ? "descending" : "ascending") : null,
    }, el("button", { onclick: () => {
      state.down = state.by === i ? !state.down : false;
      state.by = i;
      draw();
    } }, c.head || (i ? "" : "#"))));
    const body = rows.map((row) => marked(el("tr", {}, ...list.map((c) =>
      el("td", { class: c.numeric ? "number" : "text" }, c.show(row) ?? "–"))), row.place ?? row.group));
    holder.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...body)));
  }
  const toggle = (text, on, press) => {
    const button = el("button", { "aria-pressed": on, onclick: () => {
      press();
      draw();
      buttons.forEach(([b, is]) => b.setAttribute("aria-pressed", is()));
    } }, text);
    return button;
  };
  const view = (bySetting) => () => Object.assign(state, { bySetting, by: 0, down: false });
  const buttons = [];
  if (several) buttons.push(
    [toggle("settings", state.bySetting, view(true)), () => state.bySetting],
    [toggle("runs", !state.bySetting, view(false)), () => !state.bySetting]);
  if (data.metrics.length > 3 || data.axes.length < fields.length)
    buttons.push([toggle("all columns", false, () => { state.all = !state.all; }), () => state.all]);
  section("table").replaceChildren(el("div", { class: "bar" }, heading, ...buttons.map(([b]) => b)), holder);
  draw();
}

// ---- fields

function fieldsSection() {
  const shares = new Map(data.importance?.shares || []);
  const drawn = [...data.axes];
  if (drawn.length > 8 && shares.size) drawn.sort((a, b) => shares.get(b) - shares.get(a));
  const known = groups.filter((g) => g.score !== null);
  if (!drawn.length || groups.length < 2 || !known.length) { section("fields").hidden = true; return; }
  const holder = el("div", {});
  const sizes = drawn.map((i) => new Set(groups.map((g) => g.values[i])).size);
  const grid = drawn.length === 2 && Math.max(...sizes) <= 16 && groups.length >= 0.5 * sizes[0] * sizes[1];
  const draw = drawn.length === 1 ? oneField : grid ? heatMap : drawn.length === 2 ? twoFields : parallel;
  const hidden = fields.length - Math.min(8, drawn.length);
  const notes = {
    oneField: "Each small dot is a run; the large one is the interquartile mean over seeds with its 95 % interval.",
    heatMap: "Stronger blue is better. A cell is the interquartile mean over seeds.",
    twoFields: "Each dot is a setting; stronger blue is better.",
    parallel: "Each line is a setting, from field to field to its score on the right; stronger blue is better.",
  };
  const outside = known.filter((g) => g.score < range[0] || g.score > range[1]).length;
  const aside = [notes[draw.name],
    outside ? `${count(outside, "setting")} far worse than the rest lie${outside === 1 ? "s" : ""} at the scale's end.` : "",
    hidden ? `${count(hidden, "more field")} that these decide, or that matter less: see all columns of the table.` : ""];
  section("fields").append(holder, el("p", { class: "quiet" }, aside.join(" ")));
  redrawn(holder, () => draw(holder, drawn.slice(0, 8)));
}
const clipped = (x) => Math.min(range[1], Math.max(range[0], x));

function oneField(holder, [i]) {
  const { svg, box } = canvas(holder, 340);
  const every = scoreRange(runs.map((r) => r.metrics[0]));
  const y = numbers(every, [box.bottom, box.top], false);
  const inside = (v) => y(Math.min(every[1], Math.max(every[0], v)));
  const x = fieldScale(i, [box.left, box.right]);
  axes(svg, x, y, box, fields[i].name, metric);
  for (const r of runs) if (r.metrics[0] !== null)
    svg.append(marked(shape("circle", { cx: x(r.values[i]) - 10, cy: inside(r.metrics[0]), r: 3, fill: "var(--grey)" }), r.group));
  for (const g of groups) if (g.score !== null) {
    const at = x(g.values[i]);
    if (g.low !== null) svg.append(marked(shape("line", { x1: at, x2: at, y1: inside(g.low), y2: inside(g.high), stroke: "var(--good)", "stroke-width": 2 }), g.place));
    svg.append(withTip(shape("circle", { cx: at, cy: inside(g.score), r: 5, fill: "var(--good)" }), groupTip(g.place), g.place));
  }
}

function twoFields(holder, [i, j]) {
  const { svg, box } = canvas(holder, 380);
  const x = fieldScale(i, [box.left, box.right]), y = fieldScale(j, [box.bottom, box.top]);
  axes(svg, x, y, box, fields[i].name, fields[j].name);
  for (const g of [...groups].reverse()) {
    const place = { cx: x(g.values[i]), cy: y(g.values[j]), r: 7, fill: shade(g.score), stroke: "var(--quiet)", "stroke-width": 0.5 };
    svg.append(withTip(shape("circle", place), groupTip(g.place), g.place));
  }
}

function heatMap(holder, [i, j]) {
  const rows = new Set(groups.map((g) => g.values[j])).size;
  const { svg, box } = canvas(holder, 72 + Math.max(110, 44 * rows));
  box.left = 96;
  const x = fieldScale(i, [box.left, box.right], true), y = fieldScale(j, [box.bottom, box.top], true);
  axes(svg, x, y, box, fields[i].name, "");
  svg.append(shape("text", { x: 0, y: box.top - 10 }, fields[j].name));
  for (const g of groups) {
    const [w, h] = [x.room - 3, Math.abs(y.room) - 3], [cx, cy] = [x(g.values[i]), y(g.values[j])];
    const cell = shape("rect", { x: cx - w / 2, y: cy - h / 2, width: w, height: h, rx: 4, fill: shade(g.score) });
    svg.append(withTip(cell, groupTip(g.place), g.place));
    if (w < 46) continue;
    const t = g.score === null ? 0 : (g.score - range[0]) / (range[1] - range[0]);
    const paper = (mode === "min" ? 1 - t : t) > 0.55;
    svg.append(shape("text", { x: cx, y: cy + 4, "text-anchor": "middle", "pointer-events": "none",
      style: `fill:var(--${paper ? "paper" : "ink"})` }, g.score === null ? g.status.split(" ")[0] : figure(g.score)));
  }
}

function parallel(holder, drawn) {
  const { svg, box } = canvas(holder, 380);
  box.left = 40; box.right -= 50; box.bottom += 26;
  const scales = drawn.map((i) => fieldScale(i, [box.bottom, box.top + 18]));
  scales.push(numbers(range, [box.bottom, box.top + 18]));
  const at = scales.map((_, k) => box.left + (k / drawn.length) * (box.right - box.left));
  const lines = [...groups].filter((g) => g.score !== null).reverse();
  for (const g of lines) {
    const points = scales.map((s, k) => [at[k], k < drawn.length ? s(g.values[drawn[k]]) : s(clipped(g.score))]);
    const style = `stroke:${shade(g.score)};${lines.length > 80 ? "stroke-width:1.2;stroke-opacity:.6" : ""}`;
    svg.append(withTip(shape("path", { class: "line", d: path(points), style }), groupTip(g.place), g.place));
  }
  scales.forEach((s, k) => {
    const name = k < drawn.length ? fields[drawn[k]].short : metric;
    const anchor = k === 0 ? "start" : k === drawn.length ? "end" : "middle";
    const shift = k === 0 ? -40 : k === drawn.length ? 50 : 0;
    svg.append(shape("line", { x1: at[k], x2: at[k], y1: box.top + 10, y2: box.bottom + 6, stroke: "var(--quiet)" }));
    svg.append(shape("text", { class: "strong", x: at[k] + shift, y: 16, "text-anchor": anchor }, cut(name, 20)));
    for (const mark of s.ticks) {
      const y = s(mark), text = cut(s.text(mark), 12), wide = 6.6 * text.length + 6;
      const end = k === 0;
      svg.append(shape("rect", { x: end ? at[k] - wide - 4 : at[k] + 4, y: y - 8, width: wide, height: 16, rx: 3, fill: "var(--paper)", opacity: 0.8, "pointer-events": "none" }));
      svg.append(shape("text", { x: at[k] + (end ? -7 : 7), y: y + 4, "text-anchor": end ? "end" : "start", "pointer-events": "none" }, text));
    }
  });
}

// ---- curves

function curves() {
  if (!data.curves.some((c) => c.lines.some((line) => line.steps.length > 1))) { section("curves").hidden = true; return; }
  const holder = el("div", {}), below = el("div", {});
  let chosen = data.curves.find((c) => c.lines.some((line) => line.steps.length > 1));
  function draw() {
    const { svg, box } = canvas(holder, 380);
      const lines = chosen.lines.map((line) => ({ ...line, x: line.steps }));
    const means = lines.flatMap((l) => l.mean), edges = lines.flatMap((l) => l.group < COLOURS && l.low ? [...l.low, ...l.high] : l.mean);
    const [low, high] = [Math.min(...edges), Math.max(...edges)];
    const log = low > 0 && Math.max(...means) > 50 * Math.min(...means);
    const steps = lines.flatMap((l) => [l.x[0], l.x[l.x.length - 1]]);
    const x = numbers([Math.min(0, ...steps), Math.max(...steps)], [box.left, box.right], false, 6);
    const y = numbers([low, high], [box.bottom, box.top], log);
    axes(svg, x, y, box, "step", chosen.name);
    drawLines(svg, x, y, lines);
    const shown = lines.map((l) => l.group);
    below.replaceChildren(legend(shown.filter((g) => g < COLOURS), shown.filter((g) => g >= COLOURS).length));
  }
  const select = el("select", { "aria-label": "metric of the curves", onchange: () => { chosen = data.curves[select.selectedIndex]; draw(); } },
    ...data.curves.map((c) => el("option", { selected: c === chosen ? "" : null }, c.name)));
  section("curves").replaceChildren(
    el("div", { class: "bar" }, el("h2", {}, "Curves"), select), holder, below,
    el("p", { class: "quiet" }, `Lines are means over the runs of a setting, bands go from the lowest to the highest run (of the best ${BANDS}; of others where the pointer is).`));
  redrawn(holder, draw);
}

// ---- importance, statistics, failures

function importance() {
  const found = data.importance;
  if (!found) { section("importance").hidden = true; return; }
  if (found.why_not) { section("importance").append(el("p", { class: "quiet" }, found.why_not)); return; }
  const method = `a random forest fitted to the ${found.settings} settings predicts`;
  if (found.explained <= 0) {
    section("importance").append(el("p", { class: "quiet" },
      `Nothing can be said: ${method} nothing of settings that it has not seen.`));
    return;
  }
  const bars = found.shares.flatMap(([i, share]) => [
    el("span", { class: "label" }, fields[i].short),
    el("div", { style: `width:${(100 * share).toFixed(1)}%` }), el("span", { class: "number" }, percent(share))]);
  section("importance").append(
    el("div", { class: "share" }, ...bars),
    el("p", { class: "quiet" }, `For scale: ${method} ${percent(found.explained)} of the variance of settings that it ` +
      "has not seen. A field's share is how much worse it predicts when that field is shuffled (permutation " +
      "importance on out-of-bag settings, Breiman 2001), interactions included."));
}

function statistics() {
  const found = data.statistics;
  if (!found) { section("statistics").hidden = true; return; }
  const heads = ["setting", "n", "interquartile mean", "mean", "gap to the best run", "P(first is better)"];
  const rows = found.rows.map((row) => marked(el("tr", {},
    el("td", { class: "text" }, dot(row.group), groups[row.group].label), el("td", { class: "number" }, String(row.n)),
    ...["interquartile_mean", "mean", "gap"].map((name) => el("td", { class: "number" }, interval(row[name]))),
    el("td", { class: "number" }, row.beaten ? interval(row.beaten, percent) : "–")), row.group));
  const holder = el("div", {});
  const few = Math.min(...found.rows.map((row) => row.n));
  section("statistics").append(
    el("div", { class: "scroll whole" }, el("table", {},
      el("thead", {}, el("tr", {}, ...heads.map((h, i) => el("th", { class: i ? "number" : null }, h)))),
      el("tbody", {}, ...rows))),
    el("p", { class: "quiet" }, "In brackets 95 % bootstrap intervals. The interquartile mean is that of the middle half of the runs " +
      "(of up to three runs, the mean)." + (few < 10 ? ` With as few as ${few} runs an interval is too narrow: it can't know what was never drawn.` : "") +
      ` P is the probability that a run of the first setting beats one of this; 50 % is no difference. Of settings with two runs or more the best ${COLOURS} are compared.`),
    holder,
    el("p", { class: "quiet" }, "Performance profiles: the fraction of a setting's runs that are better than the score below. " +
      "The higher line is better; lines that cross leave it open."));
  redrawn(holder, () => {
    const { svg, box } = canvas(holder, 300);
      const ends = [found.thresholds[0], found.thresholds[found.thresholds.length - 1]].sort((a, b) => a - b);
    const x = numbers(ends, [box.left, box.right]), y = numbers([0, 1], [box.bottom, box.top]);
    axes(svg, x, y, box, metric, "fraction of runs that are better");
    drawLines(svg, x, y, found.profiles.map((line) => ({ ...line, x: found.thresholds })));
  });
}

function failures() {
  const failed = runs.filter((r) => r.status !== "done");
  if (!failed.length) { section("failures").hidden = true; return; }
  const rows = failed.map((r) => marked(el("tr", {},
    el("td", { class: "text" }, r.status), el("td", { class: "text" }, groups[r.group].label),
    el("td", { class: "number" }, String(r.seed)), el("td", { class: "text" }, `${r.folder}, replica ${r.replica}`)), r.group));
  section("failures").append(el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", {}, "what happened"), el("th", {}, "setting"), el("th", { class: "number" }, "seed"), el("th", {}, "where"))),
    el("tbody", {}, ...rows))),
    el("p", { class: "quiet" }, "A setting's score is that of its runs that are done; where none is, of the last evaluation, and it ranks behind."));
}

groups.forEach((g, place) => { g.place = place; });
summary(); best(); table(); fieldsSection(); curves(); importance(); statistics(); failures();
section("notes").append("Runs that differ only in the seed are one setting. A run's time is that of its program over the number of " +
  "replicas that ran in it side by side. Statistics: Agarwal et al. 2021, Deep RL at the edge of the statistical precipice. " +
  "sweep.csv and sweep.parquet beside this page have every run with every metric.");
document.body.dataset.drawn = "true";
