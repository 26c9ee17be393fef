// Silences: alerts that are recorded and not sent for a while.

import { get, post, remove } from "/js/api.js";
import { announce, h, notice, table } from "/js/dom.js";
import { wall } from "/js/format.js";

const SPANS = { "30m": "30 minutes", "1h": "1 hour", "4h": "4 hours", "1d": "1 day", "7d": "7 days" };

export class Silences {
  #shown = "";

  /** `by()` gives the person's name; rule and symbol fill the form. */
  constructor({ by, rule, symbol }) {
    this.by = by;
    const field = (label, input) => h("label", {}, `${label} `, input);
    this.rule = h("input", { id: "silence-rule", size: "14", maxlength: "500", required: true, value: rule || "*" });
    this.symbol = h("input", { id: "silence-symbol", size: "8", maxlength: "500", required: true, value: symbol || "*" });
    this.span = h("select", { id: "silence-for" }, Object.entries(SPANS).map(([value, text]) => h("option", { value }, text)));
    this.reason = h("input", { id: "silence-reason", size: "24", maxlength: "500" });
    this.list = h("div", { id: "silences" });
    this.failure = h("div", { role: "alert" });
    this.element = h("section", { class: "panel", "aria-label": "Silences" },
      h("header", {}, h("h2", {}, "Silences"), h("small", { class: "muted" }, "Their alerts are recorded and not sent. * covers all.")),
      h("form", { class: "silence body", submit: (event) => this.#add(event) },
        field("Rule", this.rule), field("Symbol", this.symbol), field("For", this.span), field("Reason", this.reason), h("button", { type: "submit", id: "silence" }, "Silence")),
      this.failure, this.list);
  }

  /** Fills the form from an alert. */
  fill(alert) {
    this.rule.value = alert.rule;
    this.symbol.value = alert.symbol;
    this.element.scrollIntoView({ block: "nearest" });
    this.span.focus();
    announce(`Silence rule ${alert.rule} for ${alert.symbol}: choose how long`);
  }

  async load(signal) {
    const { rows } = await get("alerts/silences", {}, signal);
    const content = JSON.stringify(rows);
    if (content === this.#shown) return;
    this.#shown = content;
    if (!rows.length) {
      this.list.replaceChildren(notice("Nothing is silenced", "Choose Silence… at an alert, or fill in the form. tapeline alert silence lists and sets the same silences."));
      return;
    }
    const columns = [
      { title: "Rule", cell: (silence) => silence.rule }, { title: "Symbol", cell: (silence) => silence.symbol },
      { title: "Until", cell: (silence) => wall(silence.until) }, { title: "By", cell: (silence) => silence.by },
      { title: "Reason", class: "wrap", cell: (silence) => silence.reason },
      { title: "Actions", class: "actions", cell: (silence) => h("button", { type: "button", "aria-label": `End silence of rule ${silence.rule}, symbol ${silence.symbol}`, click: () => this.#change(() => remove(`alerts/silences/${silence.id}`), "Silence ended") }, "End") },
    ];
    this.list.replaceChildren(table(columns, rows, { caption: rows.length === 1 ? "1 silence" : `${rows.length} silences` }));
  }

  #add(event) {
    event.preventDefault();
    const silence = { rule: this.rule.value.trim(), symbol: this.symbol.value.trim(), for: this.span.value, reason: this.reason.value.trim(), by: this.by() };
    this.#change(() => post("alerts/silences", silence), `Rule ${silence.rule}, symbol ${silence.symbol} silenced`);
  }

  async #change(request, done) {
    try {
      await request();
      this.failure.replaceChildren();
      announce(done);
      await this.load();
    } catch (problem) {
      this.failure.replaceChildren(notice("The silences were not changed", `${problem.message} ${problem.hint ?? ""}`, "bad"));
    }
  }
}
