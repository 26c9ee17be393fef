// Alerts that fired, newest first; who has acknowledged them; silences.

import { AlertRules } from "/js/alert-rules.js";
import { Problem, get, post } from "/js/api.js";
import { announce, h, notice, table } from "/js/dom.js";
import { clockMillis, isoDate, wall, zoneName } from "/js/format.js";
import { live } from "/js/live.js";
import { link } from "/js/route.js";
import { Silences } from "/js/silences.js";

const EVERY = 2000;
const ZONE = "America/New_York";
const BADGE = { critical: "bad", warning: "warn", info: "" };
/** Keys that one request may acknowledge. */
const KEYS = 50;
const NAME = "tapeline-name";
/** The symbol of a summary of many alerts. */
const MANY = "*";

export class Alerts {
  #stopped = new AbortController();
  #timer = 0;
  #shown = "";
  #rows = [];

  constructor(root, { symbol = "", rule = "" }) {
    document.title = "Alerts · Tapeline";
    this.filter = { symbol, rule, limit: 500 };
    this.body = h("div", { id: "alerts" });
    this.name = h("input", { id: "name", autocomplete: "nickname", maxlength: "64", size: "14", value: localStorage.getItem(NAME) ?? "", change: () => localStorage.setItem(NAME, this.name.value.trim()) });
    this.open = h("input", { type: "checkbox", id: "open", change: () => this.#show() });
    this.all = h("button", { type: "button", id: "acknowledge-all", hidden: true, click: () => this.#acknowledge(this.#visible().filter((alert) => !alert.acknowledged_by)) }, "");
    this.failure = h("div", { role: "alert" });
    this.silences = new Silences({ by: () => this.name.value.trim(), rule, symbol });
    this.rules = new AlertRules({ by: () => this.name.value.trim() });
    const filtered = symbol || rule;
    root.replaceChildren(h("div", { class: "stack" },
      h("section", { class: "panel", "aria-label": "Alerts" },
        h("header", {}, h("h1", {}, filtered ? `Alerts of ${symbol || rule}` : "Alerts"), filtered ? h("a", { href: link("alerts") }, "Show all") : null,
          h("label", {}, this.open, " only open"), h("label", { class: "name" }, "Your name ", this.name), this.all),
        this.failure, this.body),
      this.silences.element, this.rules.element));
    // Only for the state of the connection in the header.
    live.subscribe({});
    this.#poll();
  }

  async #poll() {
    clearTimeout(this.#timer);
    try {
      const { signal } = this.#stopped;
      const status = await live.known();
      if (signal.aborted) return;
      // Not requested, so that the browser reports no failure where none is.
      if (status?.alerts === false) throw new Problem(404, "This server evaluates no alert rules.");
      const [{ rows }] = await Promise.all([get("alerts", this.filter, signal), this.silences.load(signal), this.rules.load(signal)]);
      this.#rows = rows;
      this.#show();
      this.#timer = setTimeout(() => this.#poll(), EVERY);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      const none = problem.status === 404;
      this.silences.element.hidden = this.rules.element.hidden = none;
      this.#shown = "";
      this.body.replaceChildren(notice(none ? "No rules" : "The alerts could not be loaded", none ? "This server evaluates no alert rules. Add [[alert.rules]] to the configuration, or set alert.editable." : problem.message, none ? "" : "bad"));
      if (!none) this.#timer = setTimeout(() => this.#poll(), EVERY);
    }
  }

  #visible() {
    return this.open.checked ? this.#rows.filter((alert) => !alert.acknowledged_by) : this.#rows;
  }

  async #acknowledge(alerts) {
    try {
      for (let at = 0; at < alerts.length; at += KEYS) {
        const key = alerts.slice(at, at + KEYS).map((alert) => alert.key).join(",");
        await post("alerts/acknowledge", { key, by: this.name.value.trim() });
      }
      this.failure.replaceChildren();
      announce(alerts.length === 1 ? `${alerts[0].symbol}, ${alerts[0].rule} acknowledged` : `${alerts.length} alerts acknowledged`);
    } catch (problem) {
      this.failure.replaceChildren(notice("Not acknowledged", `${problem.message} ${problem.hint ?? ""}`, "bad"));
    }
    await this.#poll();
  }

  #show() {
    const rows = this.#visible();
    const content = JSON.stringify([this.open.checked, rows.map((alert) => [alert.key, alert.acknowledged_at])]);
    if (content === this.#shown) return;
    this.#shown = content;
    const count = rows.filter((alert) => !alert.acknowledged_by).length;
    this.all.textContent = `Acknowledge all ${count} shown`;
    this.all.hidden = count < 2;
    if (!rows.length) {
      this.body.replaceChildren(this.#rows.length ? notice("No open alerts", "All are acknowledged.") : notice("No alerts yet", "The rules are evaluated as records arrive."));
      return;
    }
    const columns = [
      { title: `Time (${zoneName(rows[0].time, ZONE)})`, cell: (alert) => `${isoDate(alert.time, ZONE)} ${clockMillis(alert.time, ZONE)}` },
      { title: "Severity", cell: (alert) => h("span", { class: `badge ${BADGE[alert.severity] ?? ""}` }, alert.severity) },
      { title: "Symbol", cell: (alert) => (alert.symbol === MANY ? "several" : h("a", { href: link("market", { symbol: alert.symbol }) }, alert.symbol)) },
      { title: "Rule", cell: (alert) => h("a", { href: link("alerts", { rule: alert.rule }) }, alert.rule) },
      { title: "Message", class: "wrap", cell: (alert) => alert.message },
      { title: "Value", num: true, cell: (alert) => `${alert.value.toFixed(2)} ${alert.unit}` },
      { title: "Threshold", num: true, cell: (alert) => `${alert.threshold.toFixed(2)} ${alert.unit}` },
      { title: "Acknowledged", class: "state", cell: (alert) => (alert.acknowledged_by ? h("span", {}, alert.acknowledged_by, h("small", {}, [wall(alert.acknowledged_at), alert.acknowledged_note].filter(Boolean).join(": "))) : h("span", { class: "badge" }, "open")) },
      { title: "Actions", class: "actions", cell: (alert) => this.#actions(alert) },
    ];
    const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset : null;
    const scrolled = this.body.querySelector(".scroll")?.scrollTop ?? 0;
    this.body.replaceChildren(table(columns, rows, { caption: `${rows.length} alerts, newest first; ${count} open`, rowClass: (alert) => (alert.acknowledged_by ? "acknowledged" : "") }));
    this.body.querySelector(".scroll").scrollTop = scrolled;
    if (focused?.key) this.#focus(focused.key);
  }

  /** Puts the focus back on the row that had it before the table was replaced. */
  #focus(key) {
    const buttons = [...this.body.querySelectorAll("button[data-key]")];
    (buttons.find((button) => button.dataset.key === key) ?? buttons[0])?.focus();
  }

  #actions(alert) {
    const what = `${alert.symbol}, ${alert.rule}, ${clockMillis(alert.time, ZONE)}`;
    return h("span", {},
      alert.acknowledged_by ? null : h("button", { type: "button", "data-key": alert.key, "aria-label": `Acknowledge ${what}`, click: () => this.#acknowledge([alert]) }, "Acknowledge"),
      h("button", { type: "button", "data-key": alert.key, "aria-label": `Silence ${what}`, click: () => this.silences.fill(alert) }, "Silence…"));
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }
}
