"use strict";
// A chart of lines, in SVG: redrawn when its width or what it shows changes.

const DASHES = ["", "7 4", "2 3", "9 3 2 3"];
const SHADES = 10;
const MARGIN = { top: 22, right: 14, bottom: 26, left: 62 };

const niceStep = (range, wanted) => {
  const raw = range / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].find((one) => one * power >= raw) * power;
};

const linearTicks = (low, high, wanted) => {
  const step = niceStep(high - low || 1, wanted);
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) ticks.push(index * step);
  return ticks;
};

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
const timeTicks = (low, high, wanted) => {
  const step = TIME_STEPS.find((one) => (high - low) / one <= wanted) ?? 86400;
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) ticks.push(at);
  return ticks;
};
const clock = (seconds, step) => {
  if (step < 60 && seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return seconds % 60 === 0 ? `${minutes} min` : `${minutes}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
};

const logTicks = (low, high, wanted) => {
  const decades = Math.log10(high / low);
  const digits = decades * 3 <= wanted ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const digit of digits) {
      const tick = digit * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  const every = Math.ceil(ticks.length / Math.max(1, wanted));
  return ticks.filter((_, index) => index % every === 0);
};

// The kinds of the axis below: where its marks are, what they say, and what the hover says.
const AXES = {
  nines: {
    ticks: (low, high) => [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7].filter((tick) => tick <= high + 0.01),
    label: (tick) => (tick === 0 ? "0 %" : tick < 1 ? "50 %" : percentile(tick)),
    hover: (x) => `${percentile(x)} of times`,
  },
  time: {
    ticks: timeTicks,
    label: (tick, ticks) => clock(tick, ticks.length > 1 ? ticks[1] - ticks[0] : 1),
    hover: (x, step) => `${clock(+(x - step / 2).toFixed(1), step)} – ${clock(+(x + step / 2).toFixed(1), step)}`,
  },
  rate: { ticks: linearTicks, label: (tick) => `${compact(tick)}/s`, hover: (x) => `${perSecond(x)} asked` },
};

class Chart {
  // `lines`: [{run, metric, colour, dash, points: [[x, y or null]]}], x rising; `metrics`: names in the order of the legend.
  constructor(options) {
    this.options = options;
    this.hidden = new Set(options.hiddenMetrics ?? []);
    this.scale = options.scale ?? "linear";
    this.plot = html("div", { class: "plot" });
    this.tip = html("div", { class: "tip", hidden: true });
    this.plot.append(this.tip);
    this.figure = html("figure", {},
      html("figcaption", {}, html("h3", {}, options.title), options.note ? html("p", {}, options.note) : null),
      this.controls(), this.plot);
    this.plot.addEventListener("pointermove", (event) => this.hover(event));
    this.plot.addEventListener("pointerdown", (event) => this.hover(event));
    this.plot.addEventListener("pointerleave", () => this.leave());
    // Drawing changes the height: not within the observer's own turn, and only for another width.
    const observer = new ResizeObserver(() => requestAnimationFrame(() => {
      if (this.plot.clientWidth !== this.width) this.draw();
    }));
    observer.observe(this.plot);
  }

  controls() {
    const bar = html("div", { class: "controls" });
    const { metrics, samples } = this.options;
    metrics.forEach((metric, index) => {
      if (metrics.length < 2) return;
      const sample = samples[index];
      const toggle = html("button", {
        type: "button", "aria-pressed": String(!this.hidden.has(metric)),
        onclick: () => {
          if (!this.hidden.delete(metric)) this.hidden.add(metric);
          toggle.setAttribute("aria-pressed", String(!this.hidden.has(metric)));
          this.draw();
        },
      }, sample.dash === null ? null : dashSample(sample.colour, sample.dash), metric);
      bar.append(toggle);
    });
    if (this.options.scales !== false) {
      const toggle = html("button", {
        type: "button", class: "scale",
        onclick: () => {
          this.scale = this.scale === "log" ? "linear" : "log";
          toggle.textContent = `scale: ${this.scale}`;
          this.draw();
        },
      }, `scale: ${this.scale}`);
      bar.append(toggle);
    }
    return bar;
  }

  visible() {
    return this.options.lines.filter((line) => !this.hidden.has(line.metric) && !hiddenRuns.has(line.run));
  }

  ranges(lines) {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const { points } of lines) {
      for (const [x, y] of points) {
        [left, right] = [Math.min(left, x), Math.max(right, x)];
        if (y !== null && (this.scale === "linear" || y > 0)) [low, high] = [Math.min(low, y), Math.max(high, y)];
      }
    }
    if (this.scale === "log" && this.options.cells) {
      [low, high] = [Math.min(low, this.options.cells.low), Math.max(high, this.options.cells.high)];
    }
    if (!(low <= high)) [low, high] = [0, 1];
    if (this.options.x === "nines") left = 0;
    for (const band of this.options.bands ?? []) [left, right] = [Math.min(left, band.from_s), Math.max(right, band.to_s)];
    if (!(left < right)) [left, right] = [(left === Infinity ? 0 : left) - 0.5, (right === -Infinity ? 0 : right) + 0.5];
    if (this.scale === "linear") return { left, right, low: 0, high: high * 1.06 || 1 };
    // At least a factor of ten, or noise would fill the chart.
    const middle = Math.sqrt(low * high);
    const half = Math.max(Math.sqrt(10), Math.sqrt(high / low) * 1.15);
    return { left, right, low: middle / half, high: middle * half };
  }

  draw() {
    const width = this.plot.clientWidth;
    if (width === 0) return;
    this.width = width;
    const height = width < 480 ? 230 : this.options.tall ? 350 : 270;
    const lines = this.visible();
    const range = this.ranges(lines);
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const x = (value) => MARGIN.left + ((value - range.left) / (range.right - range.left)) * inner.width;
    const part = this.scale === "log"
      ? (value) => Math.log(value / range.low) / Math.log(range.high / range.low)
      : (value) => (value - range.low) / (range.high - range.low);
    const y = (value) => MARGIN.top + (1 - part(value)) * inner.height;
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this.options.title });
    this.drawBands(root, x, inner);
    this.drawAxes(root, { x, y, range, inner, height });
    this.drawCells(root, x, y);
    // The first metric on top: the others often lie under it.
    for (const line of [...lines].reverse()) root.append(this.path(line, x, y));
    if (this.options.x === "rate") root.append(...lines.flatMap((line) => this.dots(line, x, y)));
    this.mark = svg("g", { class: "mark" });
    root.append(this.mark);
    this.plot.querySelector("svg")?.remove();
    this.plot.prepend(root);
    this.drawn = { lines, x, y, range, inner, width, height };
    this.tip.hidden = true;
  }

  drawBands(root, x, inner) {
    for (const band of this.options.bands ?? []) {
      const [from, to] = [Math.max(MARGIN.left, x(band.from_s)), Math.min(MARGIN.left + inner.width, x(band.to_s))];
      if (to <= from) continue;
      const kind = band.measured ? "band measured" : "band";
      root.append(svg("rect", { class: kind, x: from, y: MARGIN.top, width: to - from, height: inner.height }));
      const room = Math.floor((to - from - 6) / 6.2);
      // A name of which too little would be left is left out.
      if (room < Math.min(band.name.length, 7)) continue;
      const name = band.name.length > room ? `${band.name.slice(0, room - 1)}…` : band.name;
      root.append(svg("text", { class: "band-name", x: (from + to) / 2, y: MARGIN.top - 7 }, name));
    }
  }

  drawAxes(root, { x, y, range, inner, height }) {
    const right = MARGIN.left + inner.width;
    const [ticksOf, distance] = this.scale === "log" ? [logTicks, 26] : [linearTicks, 42];
    for (const tick of ticksOf(range.low, range.high, Math.max(2, Math.floor(inner.height / distance)))) {
      root.append(svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(tick), y2: y(tick) }));
      root.append(svg("text", { class: "y-label", x: MARGIN.left - 7, y: y(tick) + 4 }, this.options.axis(tick)));
    }
    const axis = AXES[this.options.x];
    const ticks = axis.ticks(range.left, range.right, Math.max(2, Math.floor(inner.width / 70)));
    let free = -Infinity;
    for (const tick of ticks) {
      const label = axis.label(tick, ticks);
      const at = x(tick);
      root.append(svg("line", { class: "grid", x1: at, x2: at, y1: MARGIN.top, y2: MARGIN.top + inner.height }));
      const half = label.length * 3.4;
      if (at - half < free) continue;
      free = at + half + 6;
      const anchor = at + half > right + MARGIN.right ? "end" : "middle";
      const place = anchor === "end" ? right + MARGIN.right - 2 : at;
      root.append(svg("text", { class: "x-label", x: place, y: height - 8, "text-anchor": anchor }, label));
    }
  }

  // All of a distribution over time: the darker, the more of a step's times are there. A path per shade, not per cell.
  drawCells(root, x, y) {
    const { cells } = this.options;
    if (!cells || this.scale !== "log" || this.hidden.has(cells.metric) || hiddenRuns.has(cells.run)) return;
    const paths = Array(SHADES).fill("");
    for (const { from, to, low, high, part } of cells.list) {
      // The root lifts single times out of the paper: they are what one looks for.
      const shade = Math.min(SHADES - 1, Math.floor(SHADES * part ** 0.35));
      const [left, right, top, bottom] = [x(from), x(to), y(high), y(low)].map((one) => one.toFixed(1));
      paths[shade] += `M${left} ${top}H${right}V${bottom}H${left}Z`;
    }
    paths.forEach((path, shade) => {
      if (path) root.append(svg("path", { d: path, fill: cells.colour, opacity: (0.1 + 0.6 * (shade / SHADES)).toFixed(2) }));
    });
  }

  path(line, x, y) {
    let path = "";
    let pen = false;
    for (const [at, value] of line.points) {
      const gap = value === null || (this.scale === "log" && value <= 0);
      // One decimal is a tenth of a pixel.
      if (!gap) path += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = !gap;
    }
    return svg("path", { class: "line", d: path, stroke: line.colour, "stroke-dasharray": DASHES[line.dash] });
  }

  // Few points, and nothing is known between them.
  dots({ points, colour }, x, y) {
    const present = points.filter(([, value]) => value !== null && (this.scale === "linear" || value > 0));
    return present.map(([at, value]) => svg("circle", { cx: x(at), cy: y(value), r: 3, fill: colour }));
  }

  hover(event) {
    if (!this.drawn) return;
    const { lines, x, y, range, inner, width } = this.drawn;
    const place = event.clientX - this.plot.getBoundingClientRect().left;
    const share = Math.min(1, Math.max(0, (place - MARGIN.left) / inner.width));
    const wanted = range.left + share * (range.right - range.left);
    const found = lines.map((line) => ({ line, point: nearest(line.points, wanted) })).filter(({ point }) => point);
    if (found.length === 0) return this.leave();
    // All of them at the place of the nearest, so that the crosshair says one thing.
    const at = found.reduce((best, { point }) =>
      Math.abs(point[0] - wanted) < Math.abs(best - wanted) ? point[0] : best, found[0].point[0]);
    const shown = found.map(({ line }) => ({ line, point: reading(line.points, at, this.options.x) }))
      .filter(({ point }) => point && point[1] !== null);
    const [top, bottom] = [MARGIN.top, MARGIN.top + inner.height];
    this.mark.replaceChildren(svg("line", { x1: x(at), x2: x(at), y1: top, y2: bottom }),
      ...shown.filter(({ point }) => this.scale === "linear" || point[1] > 0)
        .map(({ line, point }) => svg("circle", { cx: x(at), cy: y(point[1]), r: 3.5, fill: line.colour })));
    this.tip.replaceChildren(html("b", {}, AXES[this.options.x].hover(at, this.options.step)),
      html("table", {}, shown.map(({ line, point }) => html("tr", {},
        html("td", {}, dashSample(line.colour, line.dash)), html("td", {}, line.label),
        html("td", {}, this.options.show(point[1]))))));
    this.tip.hidden = false;
    const room = this.tip.offsetWidth + 14;
    const left = x(at) + room > width ? x(at) - room : x(at) + 14;
    this.tip.style.left = `${Math.max(0, left)}px`;
  }

  leave() {
    this.tip.hidden = true;
    this.mark?.replaceChildren();
  }
}

// Which runs the legend has switched off, for all charts.
const hiddenRuns = new Set();

const dashSample = (colour, dash) => svg("svg", { class: "sample", viewBox: "0 0 24 8", "aria-hidden": "true" },
  svg("line", { x1: 1, x2: 23, y1: 4, y2: 4, stroke: colour, "stroke-dasharray": DASHES[dash] }));

const nearest = (points, x) => {
  if (points.length === 0) return null;
  let [low, high] = [0, points.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle;
    else high = middle;
  }
  return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high];
};

// What a line says at a place: nothing beyond its end.
const reading = (points, x, kind) => {
  const point = nearest(points, x);
  const reach = kind === "nines" ? 0.03 : points.length > 1 ? Math.abs(points[1][0] - points[0][0]) : 1;
  return point && Math.abs(point[0] - x) <= reach ? point : null;
};
