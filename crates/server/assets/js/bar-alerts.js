// The alerts of the symbol on the chart, by bar.

import { get } from "/js/api.js";
import { offset } from "/js/format.js";
import { live } from "/js/live.js";

const EVERY = 3000;
const MOST = 500;

export class BarAlerts {
  #timer = 0;
  #rows = [];
  #seen = "";
  #symbol = null;
  #bars = null;
  #state = [null];
  #byBar = new Map();

  /** `changed()` is called when the alerts or the bars that they belong to have changed. */
  constructor(signal, changed) {
    this.signal = signal;
    this.changed = changed;
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
  }

  /** Follows a symbol; `bars` are those on the chart. */
  follow(symbol, bars) {
    if (symbol !== this.#symbol) [this.#rows, this.#seen] = [[], ""];
    [this.#symbol, this.#bars, this.#state] = [symbol, bars, [null]];
    this.changed();
    this.#poll();
  }

  async #poll() {
    clearTimeout(this.#timer);
    const symbol = this.#symbol;
    let wait = EVERY;
    try {
      // Without rules there are none, and the chart is complete without them.
      const status = await live.known();
      if (this.signal.aborted || status?.alerts === false) return;
      const { rows } = await get("alerts", { symbol, limit: MOST }, this.signal);
      if (symbol !== this.#symbol) return;
      const seen = JSON.stringify(rows.map((alert) => [alert.key, alert.acknowledged_at]));
      if (seen !== this.#seen) {
        [this.#rows, this.#seen] = [rows, seen];
        this.changed();
      }
    } catch (problem) {
      if (problem.name === "AbortError" || problem.status === 404) return;
      wait *= 4;
    }
    clearTimeout(this.#timer);
    if (!this.signal.aborted) this.#timer = setTimeout(() => this.#poll(), wait);
  }

  /** Lists of alerts, newest first, by the time of the bar in which they fired. */
  byBar() {
    const bars = this.#bars;
    // Moving the pointer asks for one bar after another.
    const state = [this.#rows, bars?.list[0]?.time, bars?.last?.time, bars?.list.length];
    if (state.every((part, index) => part === this.#state[index])) return this.#byBar;
    this.#state = state;
    return (this.#byBar = this.#group(bars));
  }

  #group(bars) {
    const out = new Map();
    if (!bars?.list.length) return out;
    for (const alert of this.#rows) {
      const seconds = Math.floor(Date.parse(alert.time) / 1000);
      const time = seconds + offset(seconds, bars.zone);
      // The last bar that starts at or before the alert.
      const at = bars.find(time + 1) - 1;
      if (at < 0) continue;
      const key = bars.list[at].time;
      if (!out.has(key)) out.set(key, []);
      out.get(key).push(alert);
    }
    return out;
  }

  /** The alerts of a bar. */
  of(bar) {
    return this.byBar().get(bar.time) ?? [];
  }

  /** The alerts of a bar, for screen readers. */
  sentence(bar) {
    const alerts = this.of(bar);
    if (!alerts.length) return "";
    const open = alerts.filter((alert) => !alert.acknowledged_by).length;
    return `${alerts.length === 1 ? "1 alert" : `${alerts.length} alerts`}, ${open} open: ${alerts.slice(0, 3).map((alert) => alert.message).join("; ")}`;
  }
}
