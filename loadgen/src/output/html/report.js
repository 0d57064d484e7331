"use strict";
// The page, from top to bottom.

const page = JSON.parse(document.getElementById("data").textContent);
const COLOURS = 6;
const colour = (index) => `var(--c${index % COLOURS})`;
page.runs.forEach((run, index) => {
  run.colour = colour(index);
});

const charts = [];

// A chart of some metrics of all runs. One run: a colour per metric; several: a colour per run, a dash per metric.
const chartOf = ({ metrics, ...options }) => {
  const several = page.runs.length > 1;
  const look = (runIndex, metricIndex) => (several
    ? { colour: colour(runIndex), dash: metricIndex % DASHES.length }
    : { colour: colour(metricIndex), dash: 0 });
  const lines = metrics.flatMap(({ name, points }, metricIndex) => page.runs.map((run, runIndex) => ({
    run, metric: name, points: points(run) ?? [], ...look(runIndex, metricIndex),
    label: !several ? name : metrics.length > 1 ? `${run.label}, ${name}` : run.label,
  })));
  const present = lines.filter((line) => line.points.some(([, y]) => y !== null));
  if (present.length === 0) return null;
  const shown = metrics.filter(({ name }) => present.some((line) => line.metric === name));
  const samples = shown.map(({ name }) => {
    const { dash, colour: own } = look(0, metrics.findIndex((metric) => metric.name === name));
    return { dash, colour: several ? "currentColor" : own };
  });
  const hiddenMetrics = shown.filter((metric) => several && metric.quiet).map(({ name }) => name);
  const names = shown.map(({ name }) => name);
  if (options.cells) {
    names.push(options.cells.metric);
    samples.push({ dash: null });
  }
  return charted({ ...options, lines: present, metrics: names, samples, hiddenMetrics });
};

const charted = (options) => {
  const chart = new Chart(options);
  charts.push(chart);
  return chart.figure;
};

// The map of all deliveries of a run, in rows as `curves.rs` makes them.
const ROW = (row) => 1000 * 10 ** (row / 16);
const cellsOf = (run, cellColour) => {
  const { at_s: at, rows, step_s: step } = run.columns;
  const list = rows.flatMap((column, index) => {
    const all = column.reduce((sum, [, number]) => sum + number, 0);
    return column.map(([row, number]) => (
      { from: at[index], to: at[index] + step, low: ROW(row), high: ROW(row + 1), part: number / all }));
  });
  return list.length === 0 ? undefined : { run, metric: ALL, list, colour: cellColour, ...rowRange };
};
const ALL = "all deliveries";
const drawnRows = page.runs.flatMap((run) => run.columns.rows.flatMap((column) => column.map(([row]) => row)));
const rowRange = {
  low: ROW(drawnRows.reduce((low, row) => Math.min(low, row), Infinity)),
  high: ROW(drawnRows.reduce((high, row) => Math.max(high, row), 0) + 1),
};

const mapOf = (run) => {
  const cells = cellsOf(run, run.colour);
  if (!cells) return null;
  const metrics = [ALL, "p99", "p50"];
  const lines = ["p99", "p50"].map((metric, dash) => (
    { run, metric, label: metric, points: column(`${metric}_ns`)(run), colour: "var(--soft)", dash }));
  const samples = [{ dash: null }, ...lines];
  return charted({
    title: run.label, x: "time", step: run.columns.step_s, bands: bands(run), scale: "log", scales: false,
    show: time, axis: timeAxis, cells, lines, metrics, samples, onlyRun: run,
  });
};

const curve = (field) => (run) => run.total[field]?.points;
// A second's figure stands in its middle.
const column = (field) => (run) => run.columns.at_s.map((at, index) => [at + run.columns.step_s / 2, run.columns[field][index]]);
const timeAxis = axisLabel(time);

const bands = (first = page.runs[0]) => {
  const measured = (name) => first.phases.some((phase) => phase.name === name && phase.kind === "measured");
  return first.bands.map((band) => ({ ...band, measured: measured(band.name) }));
};

const overTime = (options) => chartOf({ x: "time", step: page.runs[0].columns.step_s, bands: bands(), ...options });

const percentileCharts = () => [
  chartOf({
    title: "Latency by percentile", tall: true, x: "nines", scale: "log", show: time, axis: timeAxis,
    note: "Each step to the right leaves ten times fewer deliveries beyond.",
    metrics: [{ name: "latency", points: curve("latency") }, { name: "with losses", points: curve("latency_with_losses") },
      { name: "lateness (generator)", points: curve("lateness"), quiet: true }],
  }),
  chartOf({
    title: "Fan-out by percentile", x: "nines", scale: "log", show: time, axis: timeAxis,
    note: "Of each message: spread from first to last subscriber, completion from due time to the last.",
    metrics: [{ name: "completion", points: curve("completion") }, { name: "spread", points: curve("spread") }],
  }),
  chartOf({
    title: "Connecting by percentile", x: "nines", scale: "log", show: time, axis: timeAxis,
    metrics: [{ name: "handshake", points: curve("handshake") }, { name: "connect", points: curve("connect") },
      { name: "resume", points: curve("resume") }],
  }),
];

const MAP_NOTE = "The darker a place, the more of its second's deliveries took that long; even single ones show.";

const timeCharts = () => [
  overTime({
    title: "Latency over time", tall: true, scale: "log", show: time, axis: timeAxis,
    note: `Of deliveries that came in each second. Grey: what is not in the totals. ${page.runs.length > 1 ? "" : MAP_NOTE}`,
    cells: page.runs.length > 1 ? undefined : cellsOf(page.runs[0], "var(--soft)"),
    metrics: [{ name: "p99", points: column("p99_ns") }, { name: "p50", points: column("p50_ns") },
      { name: "max", points: column("max_ns"), quiet: true }],
  }),
  overTime({
    title: "Deliveries per second", show: perSecond, axis: compact,
    metrics: [{ name: "deliveries", points: column("deliveries_per_s") }],
  }),
  overTime({
    title: "Messages per second", show: perSecond, axis: compact,
    metrics: [{ name: "published", points: column("published_per_s") }, { name: "asked", points: asked }],
  }),
  overTime({
    title: "Connections", show: count, axis: compact,
    metrics: [{ name: "connected", points: column("connected") }, { name: "errors per second", points: errors }],
  }),
  overTime({
    title: "CPU", show: cores, axis: (value) => `${+value.toFixed(2)}`, note: "Cores used.",
    metrics: [{ name: "server", points: column("server_cpu") }, { name: "generator", points: column("generator_cpu") }],
  }),
];

// What the schedule asked for in each second; nothing in a closed loop.
const asked = (run) => run.columns.at_s.map((at) => {
  const middle = at + run.columns.step_s / 2;
  const band = run.bands.find(({ from_s: from, to_s: to }) => from <= middle && middle < to);
  return [middle, run.phases.find((phase) => phase.name === band?.name)?.asked_per_second ?? null];
});

// A line along zero says nothing.
const errors = (run) => (run.columns.errors.some((one) => one > 0)
  ? column("errors")(run).map(([at, errors]) => [at, errors / run.columns.step_s])
  : null);

const loadChart = () => {
  const steps = (run) => run.phases.filter((phase) => phase.kind === "measured" && phase.asked_per_second !== null);
  const rates = (run) => new Set(steps(run).map((phase) => phase.asked_per_second)).size;
  if (!page.runs.some((run) => rates(run) > 1)) return null;
  const at = (label) => (run) => steps(run)
    .map(({ asked_per_second: asked, figures }) => [asked, quantileAt(figures.latency, label)])
    .sort(([left], [right]) => left - right);
  return chartOf({
    title: "Latency by load", x: "rate", scale: "log", show: time, axis: timeAxis, note: "Each measured phase at its rate.",
    metrics: [{ name: "p99", points: at("p99") }, { name: "p50", points: at("p50") }, { name: "p99.9", points: at("p99.9"), quiet: true }],
  });
};

const verdict = (run) => {
  const missed = run.thresholds.filter((threshold) => !threshold.met);
  const [tone, word] = run.validity.problems.length > 0 ? ["bad", "invalid"]
    : missed.length > 0 ? ["bad", "threshold missed"] : run.interrupted ? ["doubtful", "interrupted"] : ["good", "valid"];
  const item = (kind, text) => html("li", { class: kind }, text);
  const bounds = run.thresholds.map(({ sentence, met }) => item(met ? "good" : "bad", sentence));
  const notes = [
    ...run.validity.problems.map((text) => item("bad", text)),
    run.interrupted ? item("doubtful", "Interrupted: what was measured until then.") : null,
    ...run.validity.warnings.map((text) => item("doubtful", text)), ...bounds,
  ].filter(Boolean);
  const workers = run.workers > 1 ? `, ${run.workers} workers` : "";
  return html("section", { class: "run", style: `--run:${run.colour}` },
    html("h2", {}, run.label, html("span", { class: `badge ${tone}` }, word)),
    html("p", { class: "about" }, `${run.name} at ${run.url}`),
    html("p", { class: "about" }, `${span(run.total.seconds)} measured, begun ${run.started.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC")}`,
      `, loadgen ${run.loadgen}${workers}`),
    keyFigures(run), notes.length > 0 ? html("ul", {}, notes) : null);
};

const legend = () => html("nav", { class: "legend", "aria-label": "Runs shown" }, page.runs.map((run) => {
  const toggle = html("button", {
    type: "button", "aria-pressed": "true",
    onclick: () => {
      if (!hiddenRuns.delete(run)) hiddenRuns.add(run);
      toggle.setAttribute("aria-pressed", String(!hiddenRuns.has(run)));
      for (const chart of charts) {
        chart.figure.hidden = hiddenRuns.has(chart.options.onlyRun);
        chart.draw();
      }
    },
  }, swatch(run), run.label);
  return toggle;
}));

const section = (title, ...content) => {
  const present = content.flat().filter(Boolean);
  return present.length === 0 ? null : html("section", {}, html("h2", {}, title), present);
};
const grid = (figures) => {
  const present = figures.filter(Boolean);
  return present.length === 0 ? null : html("div", { class: "charts" }, present);
};

const build = () => {
  const root = document.getElementById("page");
  const several = page.runs.length > 1;
  root.append(html("h1", {}, page.title || "No runs"));
  if (page.runs.length === 0) return;
  root.append(html("div", { class: "runs" }, page.runs.map(verdict)));
  if (several) {
    root.append(legend(), html("p", { class: "caution" },
      "Single runs of the same server differ, often by tens of percent at p99: loadgen compare tells a difference from noise."));
  }
  const [latency, ...otherCurves] = percentileCharts();
  const [latencyInTime, ...otherTimes] = timeCharts();
  root.append(...[
    section("Figures", headline()),
    section("Latency", latency, latencyInTime),
    several ? section("All deliveries", html("p", { class: "caution" }, MAP_NOTE), grid(page.runs.map(mapOf))) : null,
    section("Load over time", grid(otherTimes)),
    section("By percentile", grid(otherCurves), percentilesTable()),
    section("Phases", phasesTable(), loadChart()),
    section("Audit", auditTable()),
    section("Counters of the server", namedTable((run) => run.server?.counters ?? {}, number)),
    section("Machine", namedTable((run) => ({ class: run.machine.class, ...run.machine.facts }), known(String)),
      namedTable((run) => run.machine.calibration, number)),
    section("Scenario", page.runs.map((run) => html("details", { open: !several },
      html("summary", {}, several ? swatch(run) : null, `${run.label}: ${run.name}`), html("pre", {}, run.scenario)))),
  ].filter(Boolean));
  // At once, for whoever prints or photographs the page before its first frame.
  charts.forEach((chart) => chart.draw());
};

build();
