"use strict";
// The tables: a column per run, so that they stand beside one another.

const quantileAt = (curve, label) => curve?.quantiles_ns[page.quantiles.indexOf(label)] ?? null;

const sumOf = (kinds) => Object.values(kinds).reduce((sum, one) => sum + one, 0);
const kindsOf = (kinds) => {
  const each = Object.entries(kinds).map(([kind, number]) => `${count(number)} ${kind}`);
  return each.length === 0 ? "0" : `${count(sumOf(kinds))} (${each.join(", ")})`;
};
const lostOf = (audit) => audit.lost_in_gaps + audit.lost_at_tail;

// A row is [name, value of a run, how bad it is (optional)]; a string begins a group.
const table = (rows) => {
  const head = html("tr", {}, html("th", {}), page.runs.map((run) => html("th", { scope: "col", class: "run-name" }, swatch(run), run.label)));
  const line = (row) => {
    if (typeof row === "string") {
      return html("tr", { class: "group" }, html("th", { colspan: page.runs.length + 1, scope: "colgroup" }, row));
    }
    const [name, value, isBad] = row;
    const cells = page.runs.map((run) => html("td", { class: isBad?.(run) ? "bad" : undefined }, value(run)));
    return html("tr", {}, html("th", { scope: "row" }, name), cells);
  };
  const some = (row) => typeof row === "string" || page.runs.some((run) => row[1](run) !== "–");
  // No wider than its runs need, or the eye has far to go from a name to its figure.
  const several = page.runs.length > 1;
  return html("div", { class: "scroll", style: `max-width:${340 + 190 * page.runs.length}px` },
    html("table", {}, several ? html("thead", {}, head) : null, html("tbody", {}, rows.filter(some).map(line))));
};

const swatch = (run) => html("span", { class: "swatch", style: `background:${run.colour}` });

// What somebody asks first.
const keyFigures = (run) => {
  const { latency, lost } = run.total;
  const figures = [
    ["p50", time(quantileAt(latency, "p50"))], ["p99", time(quantileAt(latency, "p99"))],
    ["p99.9", time(quantileAt(latency, "p99.9"))], ["deliveries", perSecond(run.total.deliveries_per_second)],
    ["lost", count(lost), lost > 0], ["CPU / delivery", time(run.server?.cpu_ns_per_delivery)],
  ];
  return html("dl", {}, figures.map(([name, figure, bad]) =>
    html("div", {}, html("dt", {}, name), html("dd", { class: bad ? "bad" : undefined }, figure))));
};

const headlineRows = () => [
  "Load",
  ["messages, asked", (run) => (run.asked_per_second === null ? "closed loop" : perSecond(run.asked_per_second))],
  ["messages, reached", (run) => (run.total.seconds > 0 ? perSecond(run.total.published / run.total.seconds) : "–")],
  ["deliveries", (run) => perSecond(run.total.deliveries_per_second)],
  ["payload", (run) => bytesPerSecond(run.total.bytes_per_second)],
  ["lost", (run) => count(run.total.lost), (run) => run.total.lost > 0],
  "Latency, from when a message was due",
  ...page.quantiles.map((label) => [label, (run) => time(quantileAt(run.total.latency, label))]),
  "Fan-out, first to last subscriber of a message",
  ["spread p50", (run) => time(quantileAt(run.total.spread, "p50"))],
  ["spread p99", (run) => time(quantileAt(run.total.spread, "p99"))],
  "Server",
  ["CPU per delivery", (run) => time(run.server?.cpu_ns_per_delivery)],
  ["CPU", (run) => cores(run.server && run.total.seconds > 0 ? run.server.cpu_seconds / run.total.seconds : null)],
  ["memory at the end", (run) => bytes(run.server?.memory_end_bytes)],
  ["memory per connection", (run) => bytes(run.server?.memory_per_connection_bytes)],
  ["kernel TCP per connection", (run) => bytes(run.server?.tcp_per_connection_bytes)],
  "Generator",
  ["lateness p99.9", (run) => time(quantileAt(run.total.lateness, "p99.9"))],
  ["CPU per delivery", (run) => time(run.generator.cpu_ns_per_delivery)],
  ["busiest thread, of a core", (run) => share(run.generator.busiest_thread)],
  ["machine: others", (run) => cores(run.generator.others)],
  ["machine: stolen", (run) => share(run.generator.steal)],
];

// One run: its groups beside one another, a column of figures would leave the page empty.
const headline = () => {
  const rows = headlineRows();
  if (page.runs.length > 1) return table(rows);
  const groups = [];
  for (const row of rows) {
    if (typeof row === "string") groups.push([row]);
    else groups.at(-1).push(row);
  }
  return html("div", { class: "groups" }, groups.map((group) => table(group)));
};

const auditTable = () => {
  const rows = [["owed", "expected"], ["arrived", "received"]].map(([name, field]) =>
    [name, (run) => count(run.audit[field])]);
  const bad = [
    ["lost: later ones arrived", "lost_in_gaps"], ["lost: nothing later arrived", "lost_at_tail"],
    ["arrived again", "duplicated"], ["out of order", "out_of_order"], ["wrong checksum", "corrupt"],
    ["of another room", "misrouted"], ["not of this run", "foreign"],
  ].map(([name, field]) => [name, (run) => count(run.audit[field]), (run) => run.audit[field] > 0]);
  return table([
    "Deliveries", ...rows,
    ["lost, of those owed", (run) => share(lostOf(run.audit) / Math.max(1, run.audit.expected)), (run) => lostOf(run.audit) > 0],
    ...bad,
    ["losses that the server announced", (run) => count(run.audit.announced_drops)],
    ["missed while away, not owed", (run) => count(run.audit.missed_while_away)],
    "Connections",
    ["wanted", (run) => count(run.connections.wanted)],
    ["most at once", (run) => count(run.connections.connected_max),
      (run) => run.connections.connected_max < run.connections.wanted],
    ["times that somebody joined", (run) => count(run.connections.established)],
    ["attempts that failed", (run) => kindsOf(run.connections.failed), (run) => sumOf(run.connections.failed) > 0],
    ["connections lost", (run) => kindsOf(run.connections.lost), (run) => sumOf(run.connections.lost) > 0],
    ["resumed", (run) => count(run.connections.resumed)],
  ]);
};

const TIMES = [
  ["latency", "latency", "due time to receipt"],
  ["latency_with_losses", "latency with losses", "lost ones at the arrival timeout"],
  ["completion", "completion", "due time to the last subscriber"],
  ["spread", "spread", "first to last subscriber"],
  ["lateness", "lateness", "due time to sent: the generator's own"],
  ["connect", "connect", "TCP connect to established"],
  ["handshake", "handshake", "established to member of the room"],
  ["resume", "resume", "loss found to first message again"],
];

const percentilesTable = () => {
  const several = page.runs.length > 1;
  const rows = TIMES.flatMap(([field, name, meaning]) => {
    const present = page.runs.filter((run) => run.total[field]);
    if (present.length === 0) return [];
    const label = html("th", { colspan: several ? page.quantiles.length + 2 : 1, scope: "rowgroup" }, name, html("small", {}, meaning));
    const cells = (run) => [html("td", {}, count(run.total[field].count)),
      ...run.total[field].quantiles_ns.map((ns) => html("td", {}, time(ns)))];
    if (!several) return [html("tr", {}, label, cells(present[0]))];
    return [html("tr", { class: "group" }, label),
      ...present.map((run) => html("tr", {}, html("th", { scope: "row" }, swatch(run), run.label), cells(run)))];
  });
  const head = html("tr", {}, html("th", {}), html("th", {}, "times"), page.quantiles.map((label) => html("th", { scope: "col" }, label)));
  return html("div", { class: "scroll" }, html("table", {}, html("thead", {}, head), html("tbody", {}, rows)));
};

const phasesTable = () => {
  const columns = ["", "asked", "reached", "deliveries", "p50", "p99", "p99.9", "max", "lost"];
  const row = (run) => ({ name, kind, asked_per_second: asked, figures }) => html("tr", { class: kind === "measured" ? undefined : "faint" },
    html("th", { scope: "row" }, page.runs.length > 1 ? swatch(run) : null, name, kind === "measured" || kind === name ? null : html("small", {}, kind)),
    [asked === null ? "closed loop" : perSecond(asked),
      figures.seconds > 0 ? perSecond(figures.published / figures.seconds) : "–", perSecond(figures.deliveries_per_second),
      ...["p50", "p99", "p99.9", "max"].map((label) => time(quantileAt(figures.latency, label)))].map((text) => html("td", {}, text)),
    html("td", { class: figures.lost > 0 ? "bad" : undefined }, count(figures.lost)));
  const head = html("tr", {}, columns.map((name) => html("th", { scope: "col" }, name)));
  return html("div", { class: "scroll" },
    html("table", {}, html("thead", {}, head), html("tbody", {}, page.runs.flatMap((run) => run.phases.map(row(run))))));
};

// Names that at least one of the runs has, with what each run has there.
const namedTable = (of, show) => {
  const names = [...new Set(page.runs.flatMap((run) => Object.keys(of(run))))].sort();
  return names.length === 0 ? null : table(names.map((name) => [name, (run) => show(of(run)[name])]));
};
