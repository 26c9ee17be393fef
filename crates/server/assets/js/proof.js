// The proof: source = topic = store, gaps, dead letters.

import { get, post } from "/js/api.js";
import { h, notice, table } from "/js/dom.js";
import { grouped, stamp } from "/js/format.js";
import { live } from "/js/live.js";

export class Proof {
  #stopped = new AbortController();
  #timer = 0;

  constructor(root) {
    document.title = "Proof · Tapeline";
    this.day = h("input", { type: "date" });
    this.button = h("button", { type: "button", class: "primary", id: "verify", click: () => this.#verify() }, "Verify now");
    this.result = h("div", { "aria-live": "polite" });
    this.gaps = h("div");
    this.letters = h("div");
    const panel = (title, controls, body) => h("section", { class: "panel", "aria-label": title }, h("header", {}, h("h2", {}, title), controls), body);
    root.replaceChildren(h("h1", { class: "visually-hidden" }, "Proof"), h("div", { class: "stack" },
      panel("Source = topic = store", h("span", {}, h("label", { class: "muted" }, "Only this day, New York time ", this.day), " ", this.button), this.result),
      panel("Gap ledger", null, this.gaps), panel("Dead letters", null, this.letters)));
    const signal = this.#stopped.signal;
    live.subscribe({});
    live.addEventListener("refetch", () => this.#lists(), { signal });
    live.addEventListener("frame", ({ detail }) => (detail.gaps || detail.dead_letters) && this.#lists(), { signal });
    this.#lists();
    this.#poll();
  }

  async #verify() {
    // The exchange day in New York; the server compares event times.
    const range = {};
    if (this.day.value) {
      range.from = `${this.day.value}T00:00[America/New_York]`;
      const next = new Date(Date.parse(this.day.value) + 86400000).toISOString().slice(0, 10);
      range.to = `${next}T00:00[America/New_York]`;
    }
    try {
      await post("verify", range);
      this.#poll();
    } catch (problem) {
      this.result.replaceChildren(notice("The comparison could not be started", `${problem.message} ${problem.hint ?? ""}`, "bad"));
    }
  }

  async #poll() {
    clearTimeout(this.#timer);
    try {
      const answer = await get("verify", {}, this.#stopped.signal);
      this.#show(answer);
      if (answer.state === "running") this.#timer = setTimeout(() => this.#poll(), 700);
    } catch (problem) {
      if (problem.name !== "AbortError") this.result.replaceChildren(notice("The result could not be loaded", problem.message, "bad"));
    }
  }

  #show(answer) {
    this.button.disabled = answer.state === "running" || answer.state === "unavailable";
    if (answer.state === "none") this.result.replaceChildren(notice("Not verified yet", "Verify now reads source, topic and store to their ends and compares every record, field for field. Choose a day to compare less. While records still arrive, topic and store may differ by what is on its way."));
    else if (answer.state === "unavailable") this.result.replaceChildren(notice("This server cannot compare", "Run tapeline verify where source, topic and store are configured."));
    else if (answer.state === "running") this.result.replaceChildren(notice("Comparing…", "Reading source, topic and store to their ends."));
    else if (answer.state === "failed") this.result.replaceChildren(notice("The comparison failed", answer.error, "bad"));
    else this.result.replaceChildren(this.#proof(answer));
  }

  #proof({ proof, equal, at, seconds, from }) {
    const total = proof.lines.reduce((sum, line) => sum + line.counts[0], 0);
    const summary = equal
      ? h("p", { class: "body" }, h("span", { class: "badge good" }, "equal"), ` ${grouped(total)} records are the same in ${proof.places.join(", ")}${from ? `, from ${from}` : ""}. ${seconds.toFixed(1)} s, ${stamp(at, "UTC")} UTC.`)
      : h("p", { class: "body" }, h("span", { class: "badge bad" }, "different"), ` ${proof.lines.filter((line) => !line.equal).length} of ${proof.lines.length} lines differ between ${proof.places.join(", ")}. Records still on their way count as different: verify again when the pipeline is idle.`);
    const columns = [
      { title: "Symbol", cell: (line) => line.symbol }, { title: "Kind", cell: (line) => line.kind },
      ...proof.places.map((place, index) => ({ title: place[0].toUpperCase() + place.slice(1), num: true, cell: (line) => grouped(line.counts[index]) })),
      { title: "Result", cell: (line) => h("span", { class: `badge ${line.equal ? "good" : "bad"}` }, line.equal ? "equal" : "different") },
      { title: "Fingerprint", class: "mono", cell: (line) => (line.equal ? line.fingerprints[0] : line.fingerprints.join(" / ")) },
    ];
    return h("div", {}, summary, table(columns, proof.lines, { caption: "Records by symbol and kind" }), proof.notes.map((note) => h("p", { class: "body muted" }, note)));
  }

  async #lists() {
    try {
      const [gaps, letters] = await Promise.all([get("gaps", {}, this.#stopped.signal), get("dead-letters", {}, this.#stopped.signal)]);
      this.gaps.replaceChildren(gaps.rows.length ? this.#gapTable(gaps.rows) : notice("No gaps", "No feed is known to have missed anything."));
      this.letters.replaceChildren(letters.rows.length ? this.#letterTable(letters.rows) : notice("No dead letters", "Every message could be read and stored."));
    } catch (problem) {
      if (problem.name !== "AbortError") this.gaps.replaceChildren(notice("The ledgers could not be loaded", problem.message, "bad"));
    }
  }

  #gapTable(rows) {
    const columns = [
      { title: "State", cell: (gap) => h("span", { class: `badge ${gap.state === "open" ? "bad" : "good"}` }, gap.state) },
      { title: "Feed", cell: (gap) => gap.feed }, { title: "Symbols", class: "wrap", cell: (gap) => gap.symbols.join(", ") },
      { title: "From (UTC)", cell: (gap) => gap.from }, { title: "To (UTC)", cell: (gap) => gap.to ?? "not known yet" },
      { title: "Fetched", num: true, cell: (gap) => grouped(gap.proof?.fetched) },
      { title: "Cause", class: "wrap", cell: (gap) => [gap.cause, gap.note].filter(Boolean).join("; still open: ") + (gap.offsets ? ` (${gap.offsets.topic}/${gap.offsets.partition}, offsets ${gap.offsets.from} to ${gap.offsets.to ?? "unknown"})` : "") },
    ];
    const open = rows.filter((gap) => gap.state === "open").length;
    return table(columns, [...rows].reverse(), { caption: `${rows.length === 1 ? "1 gap" : `${rows.length} gaps`}, ${open} open, newest first` });
  }

  #letterTable(rows) {
    const columns = [
      { title: "Time (UTC)", cell: (letter) => letter.time }, { title: "Stage", cell: (letter) => letter.stage },
      { title: "Reason", class: "wrap", cell: (letter) => letter.reason }, { title: "Origin", class: "wrap", cell: (letter) => letter.origin },
      { title: "Bytes", num: true, cell: (letter) => grouped(letter.bytes) }, { title: "Begins with", class: "wrap", cell: (letter) => h("span", { class: "mono" }, letter.payload.slice(0, 120)) },
    ];
    return table(columns, rows, { caption: `Last ${rows.length}, newest first` });
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }
}
