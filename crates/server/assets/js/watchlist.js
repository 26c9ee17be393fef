// The watchlist: one row per symbol.

import { h, notice } from "/js/dom.js";
import { age, price, short, signed } from "/js/format.js";

const SESSIONS = { regular: "regular", pre: "pre-market", post: "after hours", closed: "closed" };

export class Watchlist {
  #rows = new Map();
  #data = new Map();
  #selected = null;

  constructor(choose) {
    this.choose = choose;
    this.search = h("input", { type: "search", id: "search", placeholder: "Symbol", "aria-label": "Search symbols", autocomplete: "off", spellcheck: "false" });
    this.search.addEventListener("input", () => this.#filter());
    this.search.addEventListener("keydown", (event) => {
      const first = [...this.#rows.values()].find((row) => !row.element.hidden);
      if (event.key === "Enter" && first) choose(first.symbol);
      if (event.key === "Escape") {
        this.search.value = "";
        this.#filter();
      }
    });
    this.body = h("tbody");
    this.table = h("table", { "aria-label": "Watchlist", hidden: true },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Symbol"), h("th", { scope: "col", class: "num" }, "Last"), h("th", { scope: "col", class: "num" }, "Change"))), this.body);
    this.message = h("div", {}, notice("Loading symbols…", "Reading the topics from their beginning."));
    this.element = h("section", { class: "panel watch", "aria-label": "Watchlist" },
      h("div", { class: "search" }, this.search), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Symbols" }, this.message, this.table));
    this.timer = setInterval(() => this.#ages(), 1000);
  }

  get first() {
    return [...this.#data.keys()].sort()[0];
  }

  data(symbol) {
    return this.#data.get(symbol);
  }

  /** Adds or updates rows from the API or the stream. */
  take(rows) {
    for (const row of rows) {
      this.#data.set(row.symbol, row);
      this.#row(row.symbol);
      this.#fill(row);
    }
    this.table.hidden = this.#data.size === 0;
    if (this.#data.size > 0) this.message.replaceChildren();
    else this.message.replaceChildren(notice("No symbols yet", "Nothing has been published to the topics. Start a source: tapeline run --serve --source 'alpaca:iex?symbols=SPY', or tapeline demo --serve."));
    this.#filter();
  }

  fail(problem) {
    this.message.replaceChildren(notice("The symbols could not be loaded", `${problem.message} ${problem.hint ?? ""}`, "bad"));
  }

  select(symbol) {
    this.#selected = symbol;
    for (const row of this.#rows.values()) {
      row.element.setAttribute("aria-selected", String(row.symbol === symbol));
      row.button.setAttribute("aria-current", String(row.symbol === symbol));
    }
  }

  #row(symbol) {
    if (this.#rows.has(symbol)) return;
    const cells = { last: h("td", { class: "num" }), change: h("td", { class: "num" }), note: h("small") };
    const button = h("button", { type: "button", class: "sym" }, symbol);
    const element = h("tr", { click: () => this.choose(symbol) }, h("td", {}, button, cells.note), cells.last, cells.change);
    this.#rows.set(symbol, { symbol, element, button, cells });
    // Alphabetical order, wherever the symbol first appeared.
    const next = [...this.#rows.keys()].sort().find((other) => other > symbol);
    this.body.insertBefore(element, next ? this.#rows.get(next).element : null);
    this.select(this.#selected);
  }

  #fill(row) {
    const { cells } = this.#rows.get(row.symbol);
    cells.last.replaceChildren(price(row.last), h("small", {}, row.spread === undefined ? "" : `spread ${price(row.spread)}`));
    const tone = Number(row.change) > 0 ? "up" : Number(row.change) < 0 ? "down" : "";
    const percent = row.change_percent === undefined ? "" : `${signed(row.change_percent)} %`;
    cells.change.replaceChildren(h("span", { class: tone, title: row.change_from === "open" ? "since the session's first trade" : "since the previous close" }, signed(row.change)), h("small", { class: tone }, percent));
    this.#note(row);
  }

  #note(row) {
    const parts = [SESSIONS[row.session] ?? "", row.volume === undefined ? "" : `vol ${short(row.volume)}`, row.recv_ts ? age(row.recv_ts) : ""];
    this.#rows.get(row.symbol).cells.note.textContent = parts.filter(Boolean).join(" · ");
  }

  #ages() {
    for (const row of this.#data.values()) this.#note(row);
  }

  #filter() {
    const text = this.search.value.trim().toUpperCase();
    for (const row of this.#rows.values()) row.element.hidden = !row.symbol.toUpperCase().includes(text);
  }

  destroy() {
    clearInterval(this.timer);
  }
}
