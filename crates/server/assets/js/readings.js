// Readings: the series of sensors with their last values, and the bars of one of them.

import { get } from "/js/api.js";
import { Bars, MOST } from "/js/chart-data.js";
import { keyboard } from "/js/cursor.js";
import { announce, h, notice, table } from "/js/dom.js";
import { age, grouped, stamp, zoneName } from "/js/format.js";
import { live } from "/js/live.js";
import { ReadingChart, readingSentence, rounded, toReadingBar } from "/js/reading-chart.js";
import { replace } from "/js/route.js";

const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "1d"];
const EVERY = 2000;
const FIRST = 500;
const OLDER = 1000;
const LISTED = 500;
const TABLE = 100;
const LATEST = 20;

const key = (row) => `${row.series}\n${row.feed}`;
const valued = (row) => `${row.type === "text" ? row.value : grouped(row.value)}${row.unit ? ` ${row.unit}` : ""}`;

/** The list of series with their last values. */
class SeriesList {
  #rows = new Map();

  constructor(choose, searched) {
    this.choose = choose;
    this.search = h("input", { type: "search", id: "search", placeholder: "Series", "aria-label": "Search series", autocomplete: "off", spellcheck: "false", input: () => searched() });
    this.body = h("tbody");
    this.table = h("table", { "aria-label": "Series", hidden: true },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Series"), h("th", { scope: "col", class: "num" }, "Last value"))), this.body);
    this.message = h("div", {}, notice("Loading series…", "Reading the topic from its beginning."));
    this.element = h("section", { class: "panel watch", "aria-label": "Series list" },
      h("div", { class: "search" }, this.search), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Series" }, this.message, this.table));
  }

  get text() {
    return this.search.value.trim();
  }

  /** Shows rows in the order of the API; elements are kept, so that the focus is. */
  take(rows, more, zone) {
    const known = new Set(rows.map(key));
    for (const [name, entry] of this.#rows) {
      if (known.has(name)) continue;
      entry.element.remove();
      this.#rows.delete(name);
    }
    rows.forEach((row, index) => {
      const entry = this.#entry(row);
      entry.value.replaceChildren(valued(row), h("small", {}, row.quality ? `quality ${row.quality}` : ""));
      const ago = age(row.ts);
      entry.note.textContent = `${row.feed} · ${stamp(row.ts, zone)} · ${ago === "now" ? ago : `${ago} ago`}`;
      if (this.body.children[index] !== entry.element) this.body.insertBefore(entry.element, this.body.children[index] ?? null);
    });
    this.table.hidden = rows.length === 0;
    if (more) this.message.replaceChildren(notice("Not all are shown", `The first ${grouped(rows.length)} series in alphabetical order. Search to see others.`));
    else if (rows.length) this.message.replaceChildren();
    else if (this.text) this.message.replaceChildren(notice("No such series", `No series contains “${this.text}”.`));
    else this.message.replaceChildren(notice("No readings yet", "Nothing has been published to the topic of readings. Start a source: tapeline run --serve --source 'mqtt://HOST/site/#?format=ndjson&series={topic}.{field}', or lines: for files; the documentation page readings.md describes both."));
  }

  fail(problem) {
    this.message.replaceChildren(notice("The series could not be loaded", `${problem.message} ${problem.hint ?? ""}`, "bad"));
  }

  select(row) {
    for (const [name, entry] of this.#rows) {
      const chosen = row !== null && name === key(row);
      entry.element.setAttribute("aria-selected", String(chosen));
      entry.button.setAttribute("aria-current", String(chosen));
    }
  }

  #entry(row) {
    const found = this.#rows.get(key(row));
    if (found) return found;
    const entry = { value: h("td", { class: "num" }), note: h("small") };
    entry.button = h("button", { type: "button", class: "sym" }, row.series);
    entry.element = h("tr", { click: () => this.choose(row) }, h("td", {}, entry.button, entry.note), entry.value);
    this.#rows.set(key(row), entry);
    return entry;
  }
}

export class Readings {
  #stopped = new AbortController();
  #polling = null;
  #timer = 0;
  #filled = "";
  #newest = "";
  #noOlder = true;

  constructor(root, params) {
    document.title = "Readings · Tapeline";
    this.wanted = { series: params.series ?? "", feed: params.feed ?? "" };
    this.row = null;
    this.interval = INTERVALS.includes(params.interval) ? params.interval : "1m";
    this.zoneChoice = ["UTC", "local"].includes(params.tz) ? params.tz : "";
    this.configured = "UTC";
    this.bars = this.#none();
    this.list = new SeriesList((row) => this.#choose(row), () => this.#poll());
    root.replaceChildren(h("h1", { class: "visually-hidden" }, "Readings"), h("div", { class: "market readings" }, this.list.element, this.#panel()));
    this.chart = new ReadingChart(this.canvas, () => this.bars, { hover: (bar) => this.#legend(bar), older: () => this.#older() });
    keyboard(this.surface, { chart: () => this.chart, bars: () => this.bars, when: (text) => stamp(text, this.zone), show: (bar) => this.#legend(bar), pick: () => {}, describe: readingSentence });
    // For the status in the header: readings themselves are polled.
    live.subscribe({});
    this.#poll();
  }

  get zone() {
    if (this.zoneChoice === "UTC") return "UTC";
    return this.zoneChoice === "local" ? Intl.DateTimeFormat().resolvedOptions().timeZone : this.configured;
  }

  #none() {
    return new Bars(this.zone, { convert: toReadingBar, first: "first" });
  }

  #panel() {
    this.title = h("h2", {}, "–");
    this.segments = h("div", { class: "segments", role: "group", "aria-label": "Interval" },
      INTERVALS.map((interval) => h("button", { type: "button", "aria-pressed": String(interval === this.interval), "data-interval": interval, click: () => this.#set({ interval }) }, interval)));
    this.zones = h("select", { "aria-label": "Time zone", change: (event) => this.#set({ zoneChoice: event.target.value }) });
    this.#offerZones();
    this.legend = h("div", { class: "legend" });
    this.canvas = h("div", { "aria-hidden": "true" });
    this.empty = h("div", { class: "empty" });
    this.surface = h("div", { class: "chart", id: "chart", tabindex: "0", role: "application", "aria-roledescription": "line chart with band", "aria-label": "Chart", "aria-describedby": "chart-help" }, this.canvas, this.empty);
    this.zoneNote = h("span", { id: "zone" });
    this.rows = h("details", { toggle: () => this.#table() }, h("summary", {}, "Bars as a table"), this.tableBody = h("div"));
    this.latest = h("details", { toggle: () => this.#readings() }, h("summary", {}, "Last readings"), this.latestBody = h("div"));
    return h("section", { class: "panel chart-panel", "aria-label": "Chart" },
      h("header", {}, this.title, this.segments), this.legend, this.surface,
      h("p", { class: "visually-hidden", id: "chart-help" }, "Left and right arrow move from bar to bar, Home and End to the ends, Page Up and Page Down in steps, plus and minus zoom. The same bars are in a table below."),
      h("div", { class: "chart-foot" }, this.zones, this.zoneNote, h("span", {}, h("span", { class: "key mean" }), "mean"), h("span", {}, h("span", { class: "key band" }), "lowest to highest"),
        h("button", { type: "button", click: () => this.chart.toEnd() }, "Newest"), this.rows, this.latest));
  }

  #offerZones() {
    const choices = [["", this.configured], ...(this.configured === "UTC" ? [] : [["UTC", "UTC"]]), ["local", "My time"]];
    this.zones.replaceChildren(...choices.map(([value, title]) => h("option", { value, selected: value === this.zoneChoice }, title)));
  }

  #choose(row) {
    this.row = row;
    this.#set({});
    announce(`${row.series} chosen`);
  }

  #set(change) {
    Object.assign(this, change);
    for (const button of this.segments.children) button.setAttribute("aria-pressed", String(button.dataset.interval === this.interval));
    this.#poll();
  }

  /** Fetches the series, and the bars of the chosen one if it has changed; then again after a while. */
  async #poll() {
    clearTimeout(this.#timer);
    this.#polling?.abort();
    this.#polling = new AbortController();
    const { signal } = this.#polling;
    try {
      const { rows, next } = await get("series", { search: this.list.text, limit: LISTED }, signal);
      this.#configure(rows[0]?.zone);
      this.list.take(rows, next !== null, this.zone);
      await this.#selected(rows, signal);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.list.fail(problem);
      if (!this.bars.list.length) this.#message(notice("The chart could not be loaded", `${problem.message} ${problem.hint ?? ""}`, "bad"));
    }
    // A choice in the meantime polls by itself.
    if (!signal.aborted) this.#timer = setTimeout(() => this.#poll(), EVERY);
  }

  #configure(zone) {
    if (!zone || zone === this.configured) return;
    this.configured = zone;
    this.#offerZones();
  }

  async #selected(rows, signal) {
    const same = (row, other) => row.series === other.series && (!other.feed || row.feed === other.feed);
    const current = this.row ?? (this.wanted.series ? this.wanted : null);
    this.row = (current && rows.find((row) => same(row, current))) ?? this.row ?? (this.list.text ? null : this.#first(rows));
    this.list.select(this.row);
    if (!this.row) {
      this.#message(notice("Waiting for the first reading", "The chart starts with the first series that is published, or with the one that you choose."));
      return;
    }
    const { series, feed } = this.row;
    this.title.replaceChildren(`${series} `, h("span", {}, valued(this.row)));
    document.title = `${series} · Tapeline`;
    replace("readings", { series, feed, interval: this.interval, tz: this.zoneChoice });
    const shown = `${key(this.row)} ${this.interval} ${this.zone}`;
    const newest = `${this.row.ts} ${this.row.value}`;
    if (shown !== this.#filled) await this.#load(shown, signal);
    else if (newest !== this.#newest || this.unsettled) await this.#follow(shown, signal);
    this.#newest = newest;
  }

  /** A link to a series that is not on the topic may still be in the store. */
  #first(rows) {
    if (this.wanted.series) return { ...this.wanted, ts: "", value: "", unit: "", type: "text" };
    return rows.find((row) => row.type !== "text") ?? rows[0] ?? null;
  }

  #query(more) {
    return { series: this.row.series, feed: this.row.feed, interval: this.interval, order: "desc", ...more };
  }

  async #load(shown, signal) {
    this.#message(notice(`Loading ${this.interval} bars of ${this.row.series}…`, ""));
    const { rows, next } = await get("reading-bars", this.#query({ limit: FIRST }), signal);
    const bars = this.#none();
    bars.reset(rows.reverse());
    this.bars = bars;
    this.hovered = null;
    this.#filled = shown;
    this.#noOlder = next === null;
    this.chart.setAll();
    this.chart.showLast(this.canvas.clientWidth < 600 ? 80 : 300);
    this.#changed();
    this.#readings();
  }

  /** The last bars again: the newest are still restated. */
  async #follow(shown, signal) {
    const { rows } = await get("reading-bars", this.#query({ limit: 100 }), signal);
    if (shown !== this.#filled) return;
    for (const row of rows.reverse()) this.bars.take(row);
    this.chart.setAll();
    this.#changed();
    this.#readings();
  }

  #changed() {
    const { list, last } = this.bars;
    this.unsettled = list.length === 0 || last.row.final === false;
    const name = zoneName(last?.row.start, this.zone);
    this.zoneNote.textContent = name === this.zone ? name : `${this.zone} (${name})`;
    this.surface.setAttribute("aria-label", `${this.row.series}, ${this.interval} bars, ${list.length} loaded`);
    this.#message(list.length ? null : this.#why());
    if (!this.hovered) this.#legend(null);
    this.#table();
  }

  #why() {
    const title = `No ${this.interval} bars of ${this.row.series} yet`;
    if (this.row.type === "text" && this.row.value) return notice(title, "Values that are text are in no bar. “Last readings” below shows them.");
    return notice(title, "Choose another interval; aggregate.intervals lists those that are built. Bars appear when the aggregator emits them; if it is not running, start it: tapeline aggregate.");
  }

  #message(content) {
    this.empty.replaceChildren(...(content ? [content] : []));
    this.empty.hidden = !content;
  }

  async #older() {
    const { bars } = this;
    if (this.#noOlder || !bars.list.length) return;
    this.#noOlder = true;
    if (bars.list.length >= MOST) {
      announce(`${grouped(MOST)} bars are shown, the most this page holds. Choose a longer interval to see more time.`);
      this.zoneNote.textContent += ` · ${grouped(MOST)} bars shown: choose a longer interval to go further back`;
      return;
    }
    try {
      const { rows, next } = await get("reading-bars", this.#query({ to: bars.list[0].row.start, limit: OLDER }), this.#stopped.signal);
      if (bars !== this.bars) return;
      this.#noOlder = bars.prepend(rows.reverse()) && next === null;
      if (rows.length) this.chart.setAll();
    } catch (problem) {
      if (problem.name !== "AbortError") announce(`Older bars could not be loaded: ${problem.message}`);
      this.#noOlder = false;
    }
  }

  #legend(bar) {
    this.hovered = bar;
    const shown = bar ?? this.bars.last;
    if (!shown) {
      this.legend.replaceChildren();
      return;
    }
    const { row } = shown;
    const part = (name, value) => h("span", {}, h("b", {}, name), value);
    const badges = [
      row.final ? h("span", { class: "badge good" }, "final") : h("span", { class: "badge" }, "may be restated"),
      row.revision > 0 ? h("span", { class: "badge warn" }, `restated ${row.revision}×`) : null,
      row.complete === false ? h("span", { class: "badge bad" }, "incomplete") : null,
    ];
    this.legend.replaceChildren(part("", stamp(row.start, this.zone)), part("mean", grouped(rounded(row.mean))), part("min", grouped(row.min)), part("max", grouped(row.max)), part("last", grouped(row.last)), part("readings", grouped(row.count)), ...badges.filter(Boolean));
  }

  #table() {
    if (!this.rows?.open) return;
    const columns = [
      { title: `Start (${zoneName(this.bars.last?.row.start, this.zone)})`, cell: (bar) => stamp(bar.row.start, this.zone) },
      ...["first", "min", "max", "last"].map((name) => ({ title: name[0].toUpperCase() + name.slice(1), num: true, cell: (bar) => grouped(bar.row[name]) })),
      { title: "Mean", num: true, cell: (bar) => grouped(rounded(bar.row.mean)) },
      { title: "Readings", num: true, cell: (bar) => grouped(bar.row.count) },
      { title: "State", cell: (bar) => [bar.row.final ? "final" : "may be restated", bar.row.revision > 0 ? `restated ${bar.row.revision}×` : "", bar.row.complete === false ? "incomplete" : ""].filter(Boolean).join(", ") },
    ];
    const rows = this.bars.list.slice(-TABLE).reverse();
    this.tableBody.replaceChildren(table(columns, rows, { caption: `Last ${rows.length} bars, as loaded` }));
  }

  /** The newest readings themselves, with all of their digits. */
  async #readings() {
    if (!this.latest?.open || !this.row) return;
    const { series, feed } = this.row;
    try {
      const { rows } = await get("readings", { series, feed, order: "desc", limit: LATEST }, this.#stopped.signal);
      const columns = [
        { title: `Time (${zoneName(rows[0]?.ts, this.zone)})`, cell: (row) => stamp(row.ts, this.zone) },
        { title: "Value", num: true, cell: (row) => (row.type === "text" ? row.value : grouped(row.value)) },
        { title: "Unit", cell: (row) => row.unit },
        { title: "Type", cell: (row) => row.type },
        { title: "Quality", cell: (row) => row.quality },
      ];
      this.latestBody.replaceChildren(rows.length ? table(columns, rows, { caption: `Last ${rows.length} readings of the store, newest first` }) : notice("No readings in the store", "They appear once they are stored."));
    } catch (problem) {
      if (problem.name !== "AbortError") this.latestBody.replaceChildren(notice("The readings could not be loaded", `${problem.message} ${problem.hint ?? ""}`, "bad"));
    }
  }

  destroy() {
    this.#stopped.abort();
    this.#polling?.abort();
    clearTimeout(this.#timer);
    this.chart.destroy();
    // The browser reports the loss of focus only after the chart is gone.
    this.chart = null;
  }
}
