// Alerts that fired, newest first.

import { get } from "/js/api.js";
import { h, notice, table } from "/js/dom.js";
import { clockMillis, isoDate, zoneName } from "/js/format.js";
import { link } from "/js/route.js";

const EVERY = 2000;
const ZONE = "America/New_York";
const BADGE = { critical: "bad", warning: "warn", info: "" };

export class Alerts {
  #stopped = new AbortController();
  #timer = 0;
  #shown = "";

  constructor(root, { symbol = "", rule = "" }) {
    document.title = "Alerts · Tapeline";
    this.filter = { symbol, rule, limit: 500 };
    this.body = h("div", { "aria-live": "polite", id: "alerts" });
    const filtered = symbol || rule;
    root.replaceChildren(h("section", { class: "panel", "aria-label": "Alerts" },
      h("header", {}, h("h1", {}, filtered ? `Alerts of ${symbol || rule}` : "Alerts"), filtered ? h("a", { href: link("alerts") }, "Show all") : null),
      this.body));
    this.#poll();
  }

  async #poll() {
    clearTimeout(this.#timer);
    try {
      const { rows } = await get("alerts", this.filter, this.#stopped.signal);
      const newest = `${rows.length} ${rows[0]?.key}`;
      if (newest !== this.#shown) this.#show(rows);
      this.#shown = newest;
      this.#timer = setTimeout(() => this.#poll(), EVERY);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      const none = problem.status === 404;
      this.body.replaceChildren(notice(none ? "No rules" : "The alerts could not be loaded", none ? "This server evaluates no alert rules. Add [[alert.rules]] to the configuration." : problem.message, none ? "" : "bad"));
      if (!none) this.#timer = setTimeout(() => this.#poll(), EVERY);
    }
  }

  #show(rows) {
    if (!rows.length) {
      this.body.replaceChildren(notice("No alerts yet", "The rules are evaluated as records arrive."));
      return;
    }
    const columns = [
      { title: `Time (${zoneName(rows[0].time, ZONE)})`, cell: (alert) => `${isoDate(alert.time, ZONE)} ${clockMillis(alert.time, ZONE)}` },
      { title: "Severity", cell: (alert) => h("span", { class: `badge ${BADGE[alert.severity] ?? ""}` }, alert.severity) },
      { title: "Symbol", cell: (alert) => h("a", { href: link("market", { symbol: alert.symbol }) }, alert.symbol) },
      { title: "Rule", cell: (alert) => h("a", { href: link("alerts", { rule: alert.rule }) }, alert.rule) },
      { title: "What", cell: (alert) => alert.kind.replaceAll("_", " ") },
      { title: "Value", num: true, cell: (alert) => `${alert.value.toFixed(2)} ${alert.unit}` },
      { title: "Threshold", num: true, cell: (alert) => `${alert.threshold.toFixed(2)} ${alert.unit}` },
      { title: "Message", class: "wrap", cell: (alert) => alert.message },
    ];
    this.body.replaceChildren(table(columns, rows, { caption: `${rows.length} alerts, newest first` }));
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }
}
