// Explains a bar: its prints, what each was allowed to update, and which one set which price.

import { get } from "/js/api.js";
import { h, notice, table } from "/js/dom.js";
import { clockMillis, grouped, price, short, stamp, zoneName } from "/js/format.js";
import { go, link, replace } from "/js/route.js";

const STEP = { s: 1, m: 60, h: 3600, d: 86400 };

export class Explain {
  #loading = new AbortController();

  constructor(root, params) {
    this.params = { interval: "1m", ...params };
    this.form = this.#form();
    this.result = h("div", { class: "stack" });
    root.replaceChildren(h("div", { class: "stack" }, h("section", { class: "panel", "aria-label": "Bar" }, h("header", {}, h("h1", {}, "Explain a bar"), this.form)), this.result));
    document.title = "Explain · Tapeline";
    if (this.params.symbol && this.params.time) this.#load();
    else this.result.append(h("section", { class: "panel" }, notice("Choose a bar", "Click a bar of the chart in Market, or press Enter on it; or enter a symbol and a time here.")));
  }

  #form() {
    const field = (name, attributes) => h("input", { name, "aria-label": name, value: this.params[name] ?? "", ...attributes });
    const select = (name, label, options) => h("select", { name, "aria-label": label }, options.map(([value, text]) => h("option", { value, selected: (this.params[name] ?? "") === value }, text)));
    return h("form", { submit: (event) => {
      event.preventDefault();
      go("explain", Object.fromEntries(new FormData(event.target)));
    } },
      field("symbol", { placeholder: "SPY", size: 7, required: true, "aria-label": "Symbol" }),
      field("time", { placeholder: "2013-10-08T15:30:00Z", size: 26, required: true, "aria-label": "Time within the bar" }),
      select("interval", "Interval", ["1s", "1m", "5m", "15m", "1h", "1d"].map((one) => [one, one])),
      select("policy", "Condition policy", [["", "feed's policy"], ["sip", "sip"], ["lean", "lean"], ["all", "all"], ["official", "official"]]),
      h("button", { class: "primary" }, "Explain"));
  }

  async #load() {
    this.result.replaceChildren(h("section", { class: "panel" }, notice("Reading the trades…", "")));
    try {
      const answer = await get("explain", this.params, this.#loading.signal);
      this.result.replaceChildren(this.#neighbours(answer), ...answer.feeds.map((feed) => this.#feed(answer, feed)));
    } catch (problem) {
      if (problem.name !== "AbortError") this.result.replaceChildren(h("section", { class: "panel" }, this.#neighbours({ start: this.params.time, end: this.params.time }), notice("There is nothing to explain", `${problem.message}. ${problem.hint ?? ""}`)));
    }
  }

  #neighbours({ start, end }) {
    const step = Number.parseInt(this.params.interval, 10) * STEP[this.params.interval.slice(-1)] * 1000;
    const at = (millis) => link("explain", { ...this.params, time: new Date(millis).toISOString() });
    return h("nav", { class: "neighbours", "aria-label": "Neighbouring bars" },
      h("a", { href: at(Date.parse(start) - step) }, "← previous bar"), h("a", { href: at(Math.max(Date.parse(end), Date.parse(start) + 1)) }, "next bar →"),
      h("a", { href: link("market", { symbol: this.params.symbol, interval: this.params.interval }) }, `chart of ${this.params.symbol}`));
  }

  #feed(answer, feed) {
    const { zone, bar } = feed;
    const header = h("header", {}, h("h2", {}, `${answer.symbol}, ${answer.interval} from ${stamp(answer.start, zone)} ${zoneName(answer.start, zone)}`),
      h("span", { class: "badge" }, feed.feed), h("span", { class: "badge" }, `policy ${feed.policy}`), h("span", { class: "badge" }, `calendar ${feed.calendar}`),
      feed.rebuilt ? h("span", { class: "badge warn" }, "rebuilt from its prints") : h("span", { class: "badge good" }, "as stored"),
      bar?.revision > 0 ? h("span", { class: "badge warn" }, `restated ${bar.revision}×`) : null, bar?.complete === false ? h("span", { class: "badge bad" }, "incomplete: a gap touches it") : null);
    const body = h("div", { class: "body stack" });
    if (bar) body.append(h("div", { class: "answers" }, ["open", "high", "low", "close"].map((name) => this.#answer(name, bar, feed)), this.#volume(bar, feed)));
    else body.append(notice("No bar", "None of these prints may set a price under this policy."));
    if (feed.carries_volume) body.append(h("p", { class: "muted" }, "Under this policy a bar also takes the volume of prints after it, up to the next bar with a price."));
    const shown = feed.prints.length < feed.total ? ` ${grouped(feed.prints.length)} of ${grouped(feed.total)} prints are shown, with all that set a price.` : "";
    const columns = [
      { title: "Time", cell: (print) => h("span", { title: print.ts }, clockMillis(print.ts, zone)) },
      { title: "Price", num: true, cell: (print) => price(print.price) },
      { title: "Size", num: true, cell: (print) => grouped(print.size) },
      { title: "Venue", cell: (print) => print.venue || "–" },
      { title: "Set", cell: (print) => h("span", {}, print.sets.map((name) => h("span", { class: "badge good" }, name))) },
      { title: "Updates", cell: (print) => print.updates },
      { title: "Because", class: "wrap", cell: (print) => print.because.join("; ") },
      { title: "Id", class: "mono", cell: (print) => print.id },
    ];
    const list = table(columns, feed.prints, { caption: `${grouped(feed.total)} prints, ${grouped(feed.ignored)} of them update nothing.${shown}`, label: "Prints", rowClass: (print) => [print.counts ? "" : "ignored", print.sets.length ? "sets" : ""].join(" ").trim() });
    list.classList.add("prints");
    body.append(list);
    return h("section", { class: "panel", "aria-label": `Prints of ${feed.feed}` }, header, body);
  }

  #answer(name, bar, feed) {
    const print = feed.prints.find((one) => one.sets.includes(name));
    const why = print
      ? `${print.size} at ${clockMillis(print.ts, feed.zone)} on venue ${print.venue || "unknown"}: ${print.because.join("; ")}.`
      : "No stored print has this price: it was restated, or its print is outside this bar.";
    return h("div", { class: "answer", id: `why-${name}` }, h("span", { class: "muted" }, `Why is the ${name}`), h("strong", {}, `${price(bar[name])}?`), h("p", {}, why));
  }

  #volume(bar, feed) {
    const counted = feed.total - feed.ignored;
    return h("div", { class: "answer" }, h("span", { class: "muted" }, "Volume"), h("strong", {}, short(bar.volume)), h("p", {}, `${grouped(bar.trades)} trades count for volume, of ${grouped(feed.total)} prints; ${grouped(counted)} update something. VWAP ${bar.vwap ?? "–"}.`));
  }

  destroy() {
    this.#loading.abort();
  }
}
