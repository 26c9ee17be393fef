// State of the pipeline: rates, lag, latency.

import { get } from "/js/api.js";
import { h, notice, table } from "/js/dom.js";
import { duration, grouped } from "/js/format.js";
import { live } from "/js/live.js";

const KEPT = 120;
/** Time between two looks at the lag, in milliseconds. */
const EVERY = 5000;
/** Maximum number of partitions shown. */
const LAGS = 24;
/** Maximum latency measured: a replayed session is further behind. */
const AN_HOUR = 3600e6;
const SVG = "http://www.w3.org/2000/svg";
/** Kept while other views are shown. */
const history = { trades: [], quotes: [], stored: [] };

live.addEventListener("status", ({ detail }) => {
  const push = (list, value) => {
    list.push(value);
    if (list.length > KEPT) list.shift();
  };
  push(history.trades, detail.topic.trades_per_second + detail.topic.quotes_per_second);
  push(history.quotes, detail.topic.bars_per_second);
  push(history.stored, detail.loops?.stored_per_second ?? 0);
});

function spark(values, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${KEPT} 44`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${label}, last two minutes, at most ${grouped(Math.max(0, ...values))} per second`);
  const most = Math.max(1, ...values);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", values.map((value, index) => `${index ? "L" : "M"}${KEPT - values.length + index} ${(42 - (40 * value) / most).toFixed(1)}`).join(""));
  svg.append(path);
  return svg;
}

const list = (pairs) => h("dl", {}, pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const stage = (title, pairs, picture) => h("section", { class: "panel stage", "aria-label": title }, h("header", {}, h("h2", {}, title)), h("div", { class: "body stack" }, picture ?? "", list(pairs)));
const arrow = () => h("span", { class: "arrow", "aria-hidden": "true" }, "→");

export class Pipeline {
  #stopped = new AbortController();

  constructor(root) {
    document.title = "Pipeline · Tapeline";
    this.body = h("div", { class: "stack" }, notice("Waiting for the state of the pipeline…", "It is sent once a second."));
    this.lag = h("div", { class: "stack" });
    root.replaceChildren(h("h1", { class: "visually-hidden" }, "Pipeline"), h("div", { class: "stack" }, this.body, this.lag));
    live.subscribe({});
    this.#lags();
    live.addEventListener("status", ({ detail }) => this.#show(detail), { signal: this.#stopped.signal });
    if (live.status) this.#show(live.status);
  }

  #show(status) {
    const { topic, loops } = status;
    const per = (value) => `${grouped(value)}/s`;
    const source = loops
      ? [["Rows read", grouped(loops.read)], ["Behind the market", loops.event_to_receipt && loops.event_to_receipt.p50_us >= AN_HOUR ? "a replay" : duration(loops.event_to_receipt?.p50_us)], ["Published", grouped(loops.published)], ["Rate", per(loops.published_per_second)], ["Gaps found", grouped(loops.gaps)], ["Gaps filled", grouped(loops.gaps_closed)]]
      : [["In this process", "no"]];
    const store = loops
      ? [["Stored", grouped(loops.stored)], ["Rate", per(loops.stored_per_second)], ["Published, not yet stored", grouped(loops.not_stored)], ["Writes retried", grouped(loops.retries)], ["Engine", status.store.url]]
      : [["In this process", "no"], ["Engine", status.store.url]];
    const flow = h("div", { class: "flow" },
      stage("Source", source), arrow(),
      stage("Topic", [["Trades", `${grouped(topic.trades)} · ${per(topic.trades_per_second)}`], ["Quotes", `${grouped(topic.quotes)} · ${per(topic.quotes_per_second)}`], ["Bars emitted", `${grouped(topic.bars)} · ${per(topic.bars_per_second)}`], ["Not read by this page yet", grouped(topic.unread)], ["Repeats", grouped(topic.repeats)], ["Engine", topic.url]], spark(history.trades, "Records read from the topic")), arrow(),
      stage("Store", store, loops ? spark(history.stored, "Records stored") : null));
    const rows = [
      ["Receipt to stored", loops?.receipt_to_stored], ["Event to receipt (vendor's clock to ours)", loops?.event_to_receipt],
    ].filter(([, value]) => value && value.p50_us < AN_HOUR);
    const columns = [
      { title: "Path", cell: ([name]) => name }, { title: "Records", num: true, cell: ([, value]) => grouped(value.count) },
      ...[["p50", "p50_us"], ["p99", "p99_us"], ["p99.9", "p999_us"]].map(([title, key]) => ({ title, num: true, cell: ([, value]) => duration(value[key]) })),
    ];
    const latency = h("section", { class: "panel", "aria-label": "Latency" }, h("header", {}, h("h2", {}, "Latency")),
      rows.length ? table(columns, rows, { caption: "Since the start of this process" }) : notice("No latency measured here", "Latency is measured by the consumer. It is shown when this page is served by tapeline run --serve or demo --serve."));
    const bars = h("section", { class: "panel stage", "aria-label": "Aggregation" }, h("header", {}, h("h2", {}, "Aggregation and health")), h("div", { class: "body" }, list([
      ...(loops ? [["Records aggregated", `${grouped(loops.aggregated)} · ${per(loops.aggregated_per_second)}`], ["Bars emitted", grouped(loops.bars)], ["Late records", grouped(loops.late)], ["Duplicates", grouped(loops.duplicates)], ["Messages lost by the topic", grouped(loops.lost_messages ?? 0)]] : []),
      ["Symbols", grouped(status.symbols)], ["Open gaps", grouped(status.open_gaps)], ["Dead letters", grouped(status.dead_letters)], ["Open pages", grouped(status.streams)], ["Serving for", `${grouped(status.uptime_s)} s`]])));
    this.body.replaceChildren(...(status.error ? [notice("The topics cannot be read", status.error, "bad")] : []), flow, h("div", { class: "columns" }, bars, latency));
  }

  /** How far consumer and aggregator are behind; fetched again after a while. */
  async #lags() {
    const { signal } = this.#stopped;
    try {
      const { rows } = await get("lag", {}, signal);
      const columns = [
        { title: "Group", cell: (row) => row.group }, { title: "Topic", cell: (row) => row.topic }, { title: "Partition", num: true, cell: (row) => row.partition },
        { title: "Committed", num: true, cell: (row) => (row.committed === undefined ? "nothing yet" : grouped(row.committed)) },
        { title: "End", num: true, cell: (row) => grouped(row.end) }, { title: "Lag", num: true, cell: (row) => grouped(row.lag) },
      ];
      const total = rows.reduce((sum, row) => sum + row.lag, 0);
      const caption = `${grouped(total)} messages are not committed. The aggregator commits a message once the bars of its session are final.${rows.length > LAGS ? ` The ${LAGS} partitions with the largest lag:` : ""}`;
      this.lag.replaceChildren(h("section", { class: "panel", "aria-label": "Lag by partition" }, h("header", {}, h("h2", {}, "Lag by partition")),
        rows.length ? table(columns, rows.slice(0, LAGS), { caption }) : notice("Nothing to read", "The topics hold no records.")));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.lag.replaceChildren(h("section", { class: "panel", "aria-label": "Lag by partition" }, notice("The lag could not be loaded", `${problem.message} ${problem.hint ?? ""}`, "bad")));
    }
    this.timer = setTimeout(() => this.#lags(), EVERY);
  }

  destroy() {
    this.#stopped.abort();
    clearTimeout(this.timer);
  }
}
