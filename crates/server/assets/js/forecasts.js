// Forecasts: a fan of the next bars, each target with its track record, and what became of the last forecasts.

import { get } from "/js/api.js";
import { h, notice, table } from "/js/dom.js";
import { clock, grouped, isoDate, signed, zoneName } from "/js/format.js";
import { link, replace } from "/js/route.js";

const EVERY = 5000;
const ZONE = "America/New_York";
const LEVELS = [90, 80, 50];
const SVG = "http://www.w3.org/2000/svg";
const BARS = 60;
// The label of the last horizon is centred below the end of the fan.
const [WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT] = [960, 300, 64, 24, 24];

function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const percent = (value, target) => (target === "return" ? signed(value * 100, 3) : (value * 100).toFixed(3));
const share = (value) => (value === undefined ? "" : `${(value * 100).toFixed(1)} %`);
const time = (text) => `${isoDate(text, ZONE)} ${clock(text, ZONE)}`;

/** Prices as a line, and the fan of the newest forecast of the return behind it. */
function fan(bars, newest) {
  const closes = bars.map((bar) => Number(bar.close));
  const steps = newest.filter((row) => row.target === "return").sort((a, b) => a.horizon - b.horizon);
  if (!steps.length || !closes.length) return null;
  const { close } = steps[0];
  const price = (row, name) => close * Math.exp(row[name]);
  const last = steps.at(-1).horizon;
  const values = [...closes, ...steps.flatMap((row) => ["low_90", "high_90", "point"].filter((name) => row[name] !== undefined).map((name) => price(row, name)))];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low) * 0.06 || high * 0.01;
  const x = (bar) => LEFT + ((bar + closes.length - 1) / (closes.length - 1 + last)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => 8 + ((high + room - value) / (high - low + 2 * room)) * (HEIGHT - BOTTOM - 8);
  const at = (bar, value) => `${x(bar).toFixed(1)},${y(value).toFixed(1)}`;
  const areas = LEVELS.filter((level) => steps.every((row) => row[`low_${level}`] !== undefined)).map((level) => {
    const upper = steps.map((row) => at(row.horizon, price(row, `high_${level}`)));
    const lower = steps.map((row) => at(row.horizon, price(row, `low_${level}`))).reverse();
    return s("polygon", { class: "fan", points: [at(0, close), ...upper, ...lower].join(" ") }, s("title", {}, `${level} % interval`));
  });
  const past = closes.map((value, index) => at(index - closes.length + 1, value)).join(" ");
  const points = [at(0, close), ...steps.map((row) => at(row.horizon, price(row, "point")))].join(" ");
  const ticks = [0, 1, 2, 3, 4].map((step) => low + ((high - low) * step) / 4);
  const labels = ticks.flatMap((value) => [
    s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value).toFixed(1), y2: y(value).toFixed(1) }),
    s("text", { x: LEFT - 6, y: (y(value) + 4).toFixed(1), "text-anchor": "end" }, value.toFixed(2))]);
  const below = steps.map((row) => s("text", { x: x(row.horizon).toFixed(1), y: HEIGHT - 6, "text-anchor": "middle" }, `+${row.horizon}`));
  const text = `Closes of the last ${closes.length} bars, and the forecast up to ${last} bars ahead with its 50, 80 and 90 % intervals`;
  return s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "fan-chart", role: "img", "aria-label": text },
    ...labels, ...areas, s("polyline", { class: "past", points: past }), s("polyline", { class: "point", points }), ...below);
}

export class Forecasts {
  #stopped = new AbortController();
  #timer = 0;
  #shown = "";

  constructor(root, { symbol = "", interval = "" }) {
    document.title = "Forecasts · Tapeline";
    this.chosen = { symbol, interval };
    this.select = h("select", { id: "forecast-series", "aria-label": "Symbol and interval", change: () => this.#choose() });
    this.body = h("div", { class: "stack", id: "forecasts" });
    root.replaceChildren(h("section", { class: "panel", "aria-label": "Forecasts" },
      h("header", {}, h("h1", {}, "Forecasts"), this.select), this.body));
    this.#poll();
  }

  #choose() {
    const [symbol, interval] = JSON.parse(this.select.value);
    this.chosen = { symbol, interval };
    this.#shown = "";
    replace("forecasts", this.chosen);
    this.#poll();
  }

  async #poll() {
    clearTimeout(this.#timer);
    try {
      const signal = this.#stopped.signal;
      const { rows: series } = await get("forecasts/series", {}, signal);
      this.#list(series);
      if (!series.length) {
        this.body.replaceChildren(notice("No forecasts yet", "Train a model with `tapeline forecast train`, then start `tapeline forecast run`, or name the folder of models in forecast.models."));
      } else {
        const { rows } = await get("forecasts", { ...this.chosen, limit: 300 }, signal);
        const scored = rows.filter((row) => row.truth !== undefined).length;
        const state = `${this.chosen.symbol} ${this.chosen.interval} ${rows[0]?.made_at} ${scored}`;
        if (state !== this.#shown) {
          const { rows: records } = await get("forecasts/record", this.chosen, signal);
          const feed = rows[0]?.feed;
          const { rows: bars } = await get("bars", { ...this.chosen, feed, to: rows[0]?.made_at, order: "desc", limit: BARS }, signal);
          this.#show(rows, records, bars.reverse());
        }
        this.#shown = state;
      }
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.body.replaceChildren(notice("The forecasts could not be loaded", `${problem.message} ${problem.hint ?? ""}`, "bad"));
    }
    this.#timer = setTimeout(() => this.#poll(), EVERY);
  }

  #list(series) {
    const known = series.some((one) => one.symbol === this.chosen.symbol && one.interval === this.chosen.interval);
    if (!known && series.length) this.chosen = series.find((one) => one.symbol === this.chosen.symbol) ?? series[0];
    const options = series.map((one) => h("option", { value: JSON.stringify([one.symbol, one.interval]) }, `${one.symbol} ${one.interval}`));
    if (options.length !== this.select.options.length) this.select.replaceChildren(...options);
    if (series.length) this.select.value = JSON.stringify([this.chosen.symbol, this.chosen.interval]);
  }

  #show(rows, records, bars) {
    if (!rows.length) {
      this.body.replaceChildren(notice("No forecasts of this series", "Choose another one."));
      return;
    }
    const newest = rows.filter((row) => row.made_at === rows[0].made_at && row.feed === rows[0].feed);
    const of = (row) => records.find((record) => record.target === row.target && record.horizon === row.horizon) ?? {};
    const zone = zoneName(rows[0].made_at, ZONE);
    const record = (row) => {
      const found = of(row);
      const kind = found.gain === undefined || found.scored < 30 ? "" : found.gain > 0 ? "good" : "warn";
      return h("span", { class: `badge ${kind}` }, found.record ?? "");
    };
    const interval = (row, level) => row[`low_${level}`] === undefined ? "no record" : `${percent(row[`low_${level}`], row.target)} to ${percent(row[`high_${level}`], row.target)}`;
    const name = { title: "Forecast", cell: (row) => `${row.target}, ${row.horizon} ahead` };
    const model = { title: "Model", cell: (row) => row.model };
    const point = { title: "Point %", num: true, cell: (row) => percent(row.point, row.target) };
    const columns = [name, model, point,
      { title: "50 % interval", num: true, cell: (row) => interval(row, 50) },
      { title: "90 % interval", num: true, cell: (row) => interval(row, 90) },
      { title: "90 % covered", num: true, cell: (row) => share(of(row).coverage_90) },
      { title: "Record since it runs", class: "wrap", cell: record },
      { title: "Before, walk-forward", class: "wrap", cell: (row) => row.verdict },
    ];
    const scored = rows.filter((row) => row.truth !== undefined).slice(0, 60);
    const results = [{ title: `Made at (${zone})`, cell: (row) => time(row.made_at) }, name, model, point,
      { title: "90 % interval", num: true, cell: (row) => interval(row, 90) },
      { title: "Truth %", num: true, cell: (row) => percent(row.truth, row.target) },
      { title: "Inside", cell: (row) => row.low_90 === undefined ? "" : row.low_90 <= row.truth && row.truth <= row.high_90 ? "yes" : h("span", { class: "badge warn" }, "no") },
    ];
    const { symbol } = this.chosen;
    this.body.replaceChildren(
      h("p", { class: "body" }, h("a", { href: link("market", { symbol }) }, symbol), ` from the bar that ended ${time(rows[0].made_at)} ${zone}, close ${grouped(rows[0].close)}, model version ${rows[0].version}. `,
        "Return: log return over that many bars. Volatility and range: over those bars."),
      fan(bars, newest) ?? "",
      table(columns, newest, { caption: "Newest forecasts, and how the earlier ones did" }),
      scored.length ? table(results, scored, { caption: `The last ${scored.length} forecasts with a score` }) : notice("No scores yet", "A forecast is scored when the bars it was made for are final."));
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }
}
