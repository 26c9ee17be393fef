// The bars on the page: in time order, one per start, at most 10,000.

import { offset } from "/js/format.js";

export const MOST = 10000;
const SPARE = 500;

/** A row of the API in the chart's form; `time` is local time, because the chart has no time zones. */
export function toBar(row, zone) {
  const seconds = Math.floor(Date.parse(row.start) / 1000);
  return {
    time: seconds + offset(seconds, zone), utc: seconds, row,
    open: Number(row.open), high: Number(row.high), low: Number(row.low), close: Number(row.close),
    volume: Number(row.volume ?? 0), vwap: row.vwap === undefined ? null : Number(row.vwap),
    session: row.session, forming: row.forming === true,
  };
}

export class Bars {
  list = [];
  /** `convert` makes a bar of a row; a row without the field `first` is empty. */
  constructor(zone, { convert = toBar, first = "open" } = {}) {
    this.zone = zone;
    this.convert = convert;
    this.first = first;
  }

  /** Replaces everything; rows are oldest first. */
  reset(rows) {
    this.list = this.#unique(rows);
  }

  /** Prepends older bars; false if there is no room. */
  prepend(rows) {
    const first = this.list[0]?.time ?? Infinity;
    const older = this.#unique(rows).filter((bar) => bar.time < first);
    const room = Math.max(0, MOST - this.list.length);
    this.list = older.slice(Math.max(0, older.length - room)).concat(this.list);
    return older.length <= room;
  }

  #unique(rows) {
    const bars = rows.filter((row) => row[this.first] !== undefined).map((row) => this.convert(row, this.zone));
    // When clocks are set back, an hour occurs twice; the later bar is shown.
    return bars.filter((bar, index) => index + 1 === bars.length || bar.time < bars[index + 1].time);
  }

  /** Adds or updates one bar: "append", "last", "older", "trimmed" (the oldest were dropped), "removed" or "ignored". */
  take(row) {
    const bar = this.convert(row, this.zone);
    const at = this.find(bar.time);
    const found = this.list[at]?.time === bar.time;
    if (row[this.first] === undefined) {
      if (!found) return "ignored";
      this.list.splice(at, 1);
      return "removed";
    }
    if (found) {
      // Bars emitted by the aggregator are never replaced by provisional ones.
      if (bar.forming && !this.list[at].forming) return "ignored";
      this.list[at] = bar;
      return at === this.list.length - 1 ? "last" : "older";
    }
    if (at < this.list.length) {
      if (at === 0) return "ignored";
      this.list.splice(at, 0, bar);
      return "inserted";
    }
    this.list.push(bar);
    if (this.list.length > MOST) {
      this.list.splice(0, SPARE);
      return "trimmed";
    }
    return "append";
  }

  /** Index of the first bar at or after a time. */
  find(time) {
    let [low, high] = [0, this.list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.list[middle].time < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  get last() {
    return this.list[this.list.length - 1];
  }
}
