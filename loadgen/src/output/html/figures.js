"use strict";
// Figures as people read them: three digits and a unit, as in the summary in text.

const digits = (value) => {
  const size = Math.abs(value);
  return size < 9.995 ? value.toFixed(2) : size < 99.95 ? value.toFixed(1) : value.toFixed(0);
};

const scaled = (value, limit, scales) => {
  const [divisor, unit] = scales.find(([one]) => Math.abs(value / one) < limit) ?? scales.at(-1);
  return `${digits(value / divisor)} ${unit}`;
};

const grouped = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",");

// What is not known, or not meaningful with so few times, is a dash.
const known = (show) => (value) => (value === null || value === undefined ? "–" : show(value));

const time = known((ns) =>
  Math.abs(ns) < 999.5 ? `${ns.toFixed(0)} ns` : scaled(ns, 999.5, [[1e3, "µs"], [1e6, "ms"], [1e9, "s"]]));
const count = known(grouped);
const perSecond = known((value) => `${value < 9999.5 ? value.toFixed(1).replace(/\.0$/, "") : grouped(value)}/s`);
const bytes = known((value) =>
  Math.abs(value) < 999.5
    ? `${value.toFixed(0)} B`
    : scaled(value, 999.5, [[1024, "KiB"], [1024 ** 2, "MiB"], [1024 ** 3, "GiB"]]));
const bytesPerSecond = known((value) =>
  Math.abs(value) < 999.5
    ? `${value.toFixed(0)} B/s`
    : scaled(value, 999.5, [[1e3, "kB/s"], [1e6, "MB/s"], [1e9, "GB/s"]]));
const cores = known((value) => `${value.toFixed(2)} cores`);
const share = known((part) => {
  const percent = part * 100;
  if (percent === 0) return "0 %";
  if (percent < 0.00095) return "< 0.001 %";
  if (percent < 0.995) return `${+percent.toFixed(3)} %`;
  return percent < 9.95 ? `${percent.toFixed(1)} %` : `${percent.toFixed(0)} %`;
});
const number = known((value) =>
  Number.isInteger(value) ? grouped(value) : Math.abs(value) >= 1 ? value.toFixed(2) : value.toPrecision(3));
const span = known((seconds) => {
  if (seconds < 119.5) return `${seconds < 9.95 ? seconds.toFixed(1) : seconds.toFixed(0)} s`;
  const whole = Math.round(seconds);
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  return whole < 7200
    ? `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
    : `${Math.floor(whole / 3600)} h ${two((whole % 3600) / 60)} min`;
});

// Short, for an axis: no digits that every label has.
const axisLabel = (show) => (value) => show(value).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
const compact = (value) => {
  if (value >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
  return value >= 1e4 ? `${+(value / 1e3).toPrecision(3)} k` : `${+value.toPrecision(3)}`;
};

// A percentile by how many nines it has: 1 is 90 %, 2 is 99 %.
const percentile = (nines) => {
  const percent = 100 * (1 - 10 ** -nines);
  const whole = Math.abs(nines - Math.round(nines)) < 1e-6;
  const decimals = whole ? Math.round(nines) - 2 : Math.ceil(nines) - 1;
  return `${percent.toFixed(Math.max(0, Math.min(7, decimals)))} %`;
};

// An element with attributes and children. Text goes in as text only, so nothing that a run holds becomes markup.
const element = (namespace) => (tag, attributes = {}, ...children) => {
  const node = namespace ? document.createElementNS(namespace, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
};
const html = element();
const svg = element("http://www.w3.org/2000/svg");
