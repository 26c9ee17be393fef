// The market: watchlist, chart, time and sales of one symbol.

import { get } from "/js/api.js";
import { Chart } from "/js/chart.js";
import { Bars, MOST } from "/js/chart-data.js";
import { keyboard } from "/js/cursor.js";
import { BarAlerts } from "/js/bar-alerts.js";
import { announce, h, notice, table } from "/js/dom.js";
import { grouped, offset, price, short, signed, stamp, zoneName } from "/js/format.js";
import { indicators } from "/js/indicators.js";
import { live } from "/js/live.js";
import { go, link, replace } from "/js/route.js";
import { Tape } from "/js/tape.js";
import { Watchlist } from "/js/watchlist.js";

const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "1d"];
const FIRST = 500;
const OLDER = 1000;
const TABLE = 100;
const RETRY = 3000;

export class Market {
  #loading = null;
  #noOlder = false;
  #linesAt = 0;
  #again = [];
  #refetch = 0;
  #stopped = new AbortController();

  constructor(root, params) {
    this.interval = INTERVALS.includes(params.interval) ? params.interval : "1m";
    this.session = params.session === "regular" ? "regular" : "all";
    this.zoneChoice = params.tz ?? "exchange";
    this.shown = new Set((params.ind ?? "vwap").split(",").filter((name) => name in indicators));
    this.symbol = params.symbol ?? null;
    this.bars = new Bars("UTC");
    this.watchlist = new Watchlist((symbol) => this.#choose(symbol));
    this.tape = new Tape();
    root.replaceChildren(h("h1", { class: "visually-hidden" }, "Market"), h("div", { class: "market" }, this.watchlist.element, this.#panel(), this.tape.element));
    this.chart = new Chart(this.canvas, () => this.bars, { hover: (bar) => this.#legend(bar), pick: (bar) => bar && this.#explain(bar), older: () => this.#older() });
    for (const name of this.shown) this.chart.indicator(name, true);
    keyboard(this.surface, { chart: () => this.chart, bars: () => this.bars, notes: (bar) => this.alerts.sentence(bar), when: (text) => stamp(text, this.zone), show: (bar) => this.#legend(bar), pick: (bar) => this.#explain(bar) });
    const signal = this.#stopped.signal;
    this.alerts = new BarAlerts(signal, () => this.#showAlerts());
    live.addEventListener("frame", (event) => this.#frame(event.detail), { signal });
    live.addEventListener("refetch", () => this.#soon(), { signal });
    this.#load();
  }

  get zone() {
    if (this.zoneChoice === "UTC") return "UTC";
    if (this.zoneChoice === "local") return Intl.DateTimeFormat().resolvedOptions().timeZone;
    return this.watchlist.data(this.symbol)?.zone || "UTC";
  }

  /** What the chart shows. */
  #key() {
    return `${this.symbol} ${this.interval} ${this.session} ${this.zone}`;
  }

  #panel() {
    this.title = h("h2", {}, "–");
    const segments = h("div", { class: "segments", role: "group", "aria-label": "Interval" },
      INTERVALS.map((interval) => h("button", { type: "button", "aria-pressed": String(interval === this.interval), "data-interval": interval, click: () => this.#set({ interval }) }, interval)));
    this.segments = segments;
    const boxes = Object.entries(indicators).map(([name, { title }]) =>
      h("label", {}, h("input", { type: "checkbox", checked: this.shown.has(name), change: (event) => this.#toggle(name, event.target.checked) }), title));
    const session = h("select", { "aria-label": "Session", change: (event) => this.#set({ session: event.target.value }) },
      h("option", { value: "all", selected: this.session === "all" }, "All hours"), h("option", { value: "regular", selected: this.session === "regular" }, "Regular hours"));
    const zone = h("select", { "aria-label": "Time zone", change: (event) => this.#set({ zoneChoice: event.target.value }) },
      ["exchange", "UTC", "local"].map((value) => h("option", { value, selected: value === this.zoneChoice }, value === "exchange" ? "Exchange time" : value === "UTC" ? "UTC" : "My time")));
    this.legend = h("div", { class: "legend" });
    this.canvas = h("div", { "aria-hidden": "true" });
    this.empty = h("div", { class: "empty" });
    this.surface = h("div", { class: "chart", id: "chart", tabindex: "0", role: "application", "aria-roledescription": "candlestick chart", "aria-label": "Chart", "aria-describedby": "chart-help" }, this.canvas, this.empty);
    this.zoneNote = h("span", { id: "zone" });
    this.rows = h("details", { toggle: () => this.#table() }, h("summary", {}, "Bars as a table"), this.tableBody = h("div"));
    return h("section", { class: "panel chart-panel", "aria-label": "Chart" },
      h("header", {}, this.title, segments, h("details", { class: "menu" }, h("summary", {}, "Indicators"), h("div", {}, boxes))),
      this.legend, this.surface,
      h("p", { class: "visually-hidden", id: "chart-help" }, "Left and right arrow move from bar to bar, Home and End to the ends, Page Up and Page Down in steps, plus and minus zoom, Enter explains the bar. The same bars are in a table below."),
      h("div", { class: "chart-foot" }, session, zone, this.zoneNote,
        h("span", {}, h("span", { class: "key session" }), "outside regular hours"), h("span", {}, h("span", { class: "key restated" }), "restated"), h("span", {}, h("span", { class: "key missing" }), "incomplete, gap"),
        h("a", { href: link("alerts"), id: "alert-key" }, h("span", { class: "key alert" }), "alert"),
        h("button", { type: "button", click: () => this.chart.toEnd() }, "Newest"), this.rows));
  }

  #link() {
    return { symbol: this.symbol, interval: this.interval, session: this.session === "all" ? "" : this.session, tz: this.zoneChoice === "exchange" ? "" : this.zoneChoice, ind: [...this.shown].join(",") === "vwap" ? "" : [...this.shown].join(",") || "none" };
  }

  #choose(symbol) {
    this.symbol = symbol;
    this.#set({});
    announce(`${symbol} chosen`);
  }

  #set(change) {
    Object.assign(this, change);
    for (const button of this.segments.children) button.setAttribute("aria-pressed", String(button.dataset.interval === this.interval));
    this.#load();
  }

  #toggle(name, shown) {
    if (shown) this.shown.add(name);
    else this.shown.delete(name);
    this.chart.indicator(name, shown);
    replace("market", this.#link());
  }

  #explain(bar) {
    go("explain", { symbol: this.symbol, time: bar.row.start, interval: this.interval });
  }

  /** Fetches again, at most once a second however often the stream requests it. */
  #soon() {
    clearTimeout(this.#refetch);
    this.#refetch = setTimeout(() => this.#load(), this.bars.list.length ? 1000 : 0);
  }

  /** Fetches everything of the selected symbol; a newer call aborts an older one. */
  async #load() {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    const { signal } = loading;
    try {
      // First the stream, then history: what arrives in between is in both and counted once.
      let open = this.symbol ? this.#subscribe() : null;
      const { rows } = await get("symbols", {}, signal);
      this.watchlist.take(rows);
      this.symbol ??= this.watchlist.first ?? null;
      if (!this.symbol) {
        live.subscribe({});
        this.#message(notice("Waiting for the first trade", "The chart starts with the first symbol that is published."));
        return;
      }
      this.watchlist.select(this.symbol);
      replace("market", this.#link());
      document.title = `${this.symbol} · Tapeline`;
      open ??= this.#subscribe();
      if (this.filled !== this.#key()) {
        this.#message(notice(`Loading ${this.interval} bars of ${this.symbol}…`, ""));
        this.tape.loading();
      }
      await open;
      signal.throwIfAborted();
      const feed = this.watchlist.data(this.symbol)?.feed;
      const asked = { symbol: this.symbol, order: "desc", session: this.session, interval: this.interval, feed };
      const [bars, trades, gaps] = await Promise.all([
        get("bars", { ...asked, limit: FIRST }, signal).catch((problem) => this.#missing(problem)),
        get("trades", { symbol: this.symbol, order: "desc", limit: 60, feed }, signal).catch((problem) => this.#missing(problem)),
        get("gaps", { symbol: this.symbol }, signal),
      ]);
      this.#fill(bars.rows.reverse(), trades.rows, gaps.rows, bars.next);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.watchlist.fail(problem);
      this.#message(notice("The chart could not be loaded", `${problem.message} ${problem.hint ?? ""}`, "bad"));
      // A stream that resumes requests nothing again: what failed for a passing reason is fetched again here.
      if (problem.status === 0 || problem.status === 429 || problem.status >= 500) this.#refetch = setTimeout(() => this.#load(), RETRY);
    } finally {
      if (this.#loading === loading) this.#loading = null;
    }
  }

  #subscribe() {
    this.pending = { bars: [], trades: [] };
    return live.subscribe({ symbol: this.symbol, interval: this.interval });
  }

  /** A missing store file is not an error: the chart fills from the stream. */
  #missing(problem) {
    if (problem.status === 422 || problem.status === 404) return { rows: [], next: null };
    throw problem;
  }

  #fill(rows, trades, gaps, next) {
    const same = this.filled === this.#key();
    this.bars = new Bars(this.zone);
    this.bars.reset(rows);
    this.#noOlder = next === null;
    for (const row of this.pending.bars) this.bars.take(row);
    const known = new Set(trades.map((trade) => `${trade.feed} ${trade.venue} ${trade.id} ${trade.revision}`));
    const newer = this.pending.trades.filter((trade) => !known.has(`${trade.feed} ${trade.venue} ${trade.id} ${trade.revision}`));
    this.pending = null;
    this.#reconcile();
    this.gaps = new Map(gaps.map((gap) => [gap.id, gap]));
    this.chart.setAll();
    this.#showGaps();
    this.alerts.follow(this.symbol, this.bars);
    if (!same) this.chart.showLast(this.canvas.clientWidth < 600 ? 60 : 140);
    this.filled = this.#key();
    this.tape.reset(trades, this.zone);
    this.tape.take(newer, 0);
    this.zoneShown = "";
    this.#showZone();
    this.#label();
    this.#message(this.bars.list.length ? null : notice(`No ${this.interval} bars of ${this.symbol} yet`, "Bars appear when the aggregator emits them. If the aggregator is not running, start it: tapeline aggregate."));
    this.#legend(null);
    this.#table();
  }

  /** The store lags a little behind the stream: bars missing when they were fetched are stored soon after. */
  #reconcile() {
    for (const timer of this.#again) clearTimeout(timer);
    const { bars } = this;
    const merge = async () => {
      const { rows } = await get("bars", { symbol: this.symbol, interval: this.interval, session: this.session, feed: this.watchlist.data(this.symbol)?.feed, order: "desc", limit: 100 }, this.#stopped.signal);
      if (bars !== this.bars) return;
      const known = (row) => this.#barOf(row);
      for (const row of rows.reverse()) {
        const have = known(row);
        if (!have || have.forming || have.row.start !== row.start) this.chart.update(this.bars.take(row), this.#barOf(row));
      }
    };
    this.#again = [2000, 10000].map((wait) => setTimeout(() => merge().catch(() => {}), wait));
  }

  #message(content) {
    this.empty.replaceChildren(...(content ? [content] : []));
    this.empty.hidden = !content;
  }

  async #older() {
    if (this.#noOlder || this.#loading || this.bars.list.length === 0) return;
    this.#noOlder = true;
    if (this.bars.list.length >= MOST) {
      announce(`${grouped(MOST)} bars are shown, the most this page holds. Choose a longer interval to see more time.`);
      this.zoneNote.textContent += ` · ${grouped(MOST)} bars shown: choose a longer interval to go further back`;
      return;
    }
    const bars = this.bars;
    try {
      const { rows, next } = await get("bars", { symbol: this.symbol, interval: this.interval, session: this.session, feed: this.watchlist.data(this.symbol)?.feed, order: "desc", to: bars.list[0].row.start, limit: OLDER }, this.#stopped.signal);
      if (bars !== this.bars) return;
      if (bars.prepend(rows.reverse())) this.#noOlder = next === null;
      else this.#noOlder = false;
      if (rows.length) {
        this.#label();
        this.chart.setAll();
        this.#showAlerts();
      }
    } catch (problem) {
      if (problem.name !== "AbortError") announce(`Older bars could not be loaded: ${problem.message}`);
      this.#noOlder = false;
    }
  }

  #frame(data) {
    if (data.symbols) {
      this.watchlist.take(data.symbols);
      if (!this.symbol && !this.#loading) this.#load();
      this.#headline();
    }
    if (data.gaps && this.gaps) {
      for (const gap of data.gaps.filter((gap) => gap.symbols?.includes(this.symbol))) this.gaps.set(gap.id, gap);
      this.#showGaps();
    }
    const feed = this.watchlist.data(this.symbol)?.feed;
    const mine = (row) => row.symbol === this.symbol;
    const bars = (data.bars ?? []).filter((row) => mine(row) && row.interval === this.interval && row.feed === feed && (this.session === "all" || row.session === "regular" || row.interval === "1d"));
    if (this.pending) {
      this.pending.bars.push(...bars);
      this.pending.trades.push(...(data.trades ?? []).filter(mine));
      return;
    }
    if (data.trades) this.tape.take(data.trades.filter(mine), data.skipped?.[0] ?? 0);
    let last = false;
    let appended = false;
    for (const row of bars) {
      const change = this.bars.take(row);
      appended ||= change === "append";
      this.chart.update(change, this.#barOf(row));
      last = true;
    }
    if (!last) return;
    if (appended) {
      this.chart.setAlerts(this.alerts.byBar());
      this.#showZone();
    }
    if (this.bars.list.length) this.#message(null);
    if (!this.hovered) this.#legend(null);
    const now = performance.now();
    if (this.shown.size && now - this.#linesAt > 400) {
      this.#linesAt = now;
      this.chart.refreshLines();
    }
  }

  #label() {
    this.surface.setAttribute("aria-label", `${this.symbol}, ${this.interval} bars, ${this.bars.list.length} loaded`);
  }

  /** The zone, and its name at the time of the bars: daylight saving begins and ends. */
  #showZone() {
    const text = `${this.zone} (${zoneName(this.bars.last?.row.start, this.zone)})`;
    if (text !== this.zoneShown) this.zoneNote.textContent = text;
    this.zoneShown = text;
  }

  #barOf(row) {
    const seconds = Math.floor(Date.parse(row.start) / 1000);
    const time = seconds + offset(seconds, this.zone);
    return this.bars.list[this.bars.find(time)];
  }

  #showGaps() {
    const clock = (text, otherwise) => {
      if (!text) return otherwise;
      const seconds = Math.floor(Date.parse(text) / 1000);
      return seconds + offset(seconds, this.zone);
    };
    this.chart.setGaps([...this.gaps.values()].map((gap) => ({ from: clock(gap.from), to: clock(gap.to, Infinity), open: gap.state === "open" })));
  }

  #showAlerts() {
    this.chart?.setAlerts(this.alerts.byBar());
    if (!this.hovered) this.#legend(null);
    this.#table();
  }

  #headline() {
    const row = this.watchlist.data(this.symbol);
    if (!row) return;
    const tone = Number(row.change) > 0 ? "up" : Number(row.change) < 0 ? "down" : "";
    this.title.replaceChildren(`${row.symbol} `, h("span", {}, price(row.last)), " ", h("span", { class: tone }, signed(row.change)));
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
      shown.forming ? h("span", { class: "badge" }, "forming") : row.final ? h("span", { class: "badge good" }, "final") : h("span", { class: "badge" }, "closed"),
      row.revision > 0 ? h("span", { class: "badge warn" }, `restated ${row.revision}×`) : null,
      row.complete === false ? h("span", { class: "badge bad" }, "incomplete") : null,
      ...this.alerts.of(shown).slice(0, 3).map((alert) => h("span", { class: "badge warn" }, alert.message)),
    ];
    this.legend.replaceChildren(part("", stamp(row.start, this.zone)), part("O", price(row.open)), part("H", price(row.high)), part("L", price(row.low)), part("C", price(row.close)), part("V", short(row.volume)), row.vwap ? part("VWAP", price(Number(row.vwap).toFixed(4))) : "", ...badges.filter(Boolean));
    this.#headline();
  }

  #table() {
    if (!this.rows?.open) return;
    const columns = [
      { title: "Start", cell: (bar) => h("a", { href: `#/explain?symbol=${encodeURIComponent(this.symbol)}&time=${bar.row.start}&interval=${this.interval}` }, stamp(bar.row.start, this.zone)) },
      ...["open", "high", "low", "close"].map((name) => ({ title: name[0].toUpperCase() + name.slice(1), num: true, cell: (bar) => price(bar.row[name]) })),
      { title: "Volume", num: true, cell: (bar) => grouped(bar.row.volume) },
      { title: "Trades", num: true, cell: (bar) => grouped(bar.row.trades) },
      { title: "State", cell: (bar) => [bar.forming ? "forming" : bar.row.final ? "final" : "closed", bar.row.revision > 0 ? `restated ${bar.row.revision}×` : "", bar.row.complete === false ? "incomplete" : ""].filter(Boolean).join(", ") },
      { title: "Alerts", class: "wrap", cell: (bar) => h("span", {}, this.alerts.of(bar).map((alert) => h("a", { class: "alert", href: link("alerts", { symbol: this.symbol }) }, alert.message))) },
    ];
    const rows = this.bars.list.slice(-TABLE).reverse();
    this.tableBody.replaceChildren(table(columns, rows, { caption: `Last ${rows.length} bars, as loaded` }));
  }

  destroy() {
    this.#stopped.abort();
    this.#loading?.abort();
    clearTimeout(this.#refetch);
    for (const timer of this.#again) clearTimeout(timer);
    this.watchlist.destroy();
    this.chart.destroy();
    // The browser reports the loss of focus only after the chart is gone.
    this.chart = null;
  }
}
