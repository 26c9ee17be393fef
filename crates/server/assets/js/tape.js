// Time and sales: the last trades of one symbol, newest first.

import { h, notice } from "/js/dom.js";
import { clockMillis, grouped, price } from "/js/format.js";

const SHOWN = 60;

export class Tape {
  #last = null;

  constructor() {
    this.body = h("tbody");
    this.message = h("div");
    this.count = h("span", { class: "muted" });
    this.table = h("table", { "aria-label": "Time and sales" },
      h("thead", {}, h("tr", {}, ["Time", "Price", "Size", "Venue"].map((title, index) => h("th", { scope: "col", class: index === 1 || index === 2 ? "num" : null }, title)))), this.body);
    this.element = h("section", { class: "panel tape", "aria-label": "Time and sales" },
      h("header", {}, h("h2", {}, "Time & sales"), this.count),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Trades" }, this.message, this.table));
  }

  /** Restarts with trades of the API, newest first. */
  reset(rows, zone) {
    this.zone = zone;
    this.#last = null;
    this.body.replaceChildren();
    this.count.textContent = "";
    this.message.replaceChildren(...(rows.length ? [] : [notice("No trades yet", "Trades appear here as they are published.")]));
    this.take([...rows].reverse(), 0);
  }

  loading() {
    this.body.replaceChildren();
    this.message.replaceChildren(notice("Loading trades…", ""));
  }

  fail(problem) {
    this.body.replaceChildren();
    this.message.replaceChildren(notice("The trades could not be loaded", `${problem.message} ${problem.hint ?? ""}`, "bad"));
  }

  /** Adds trades, oldest first. */
  take(trades, skipped) {
    if (trades.length) this.message.replaceChildren();
    const rows = trades.slice(-SHOWN).map((trade) => {
      const value = Number(trade.price);
      const tone = this.#last === null || value === this.#last ? "" : value > this.#last ? "up" : "down";
      this.#last = value;
      const amended = trade.canceled || trade.revision > 0;
      const title = [`conditions ${trade.conditions.join(" ") || "none"}`, trade.side ? `aggressor ${trade.side}` : "", amended ? (trade.canceled ? "canceled" : `corrected, revision ${trade.revision}`) : ""].filter(Boolean).join(", ");
      return h("tr", { class: trade.canceled ? "amended" : null, title },
        h("td", {}, clockMillis(trade.ts, this.zone)), h("td", { class: `num ${tone}` }, price(trade.price)), h("td", { class: "num" }, grouped(trade.size)), h("td", {}, trade.venue || "–"));
    });
    this.body.prepend(...rows.reverse());
    while (this.body.children.length > SHOWN) this.body.lastChild.remove();
    if (skipped > 0) this.count.textContent = `${grouped(skipped)} more in between`;
    else if (trades.length) this.count.textContent = "";
  }
}
