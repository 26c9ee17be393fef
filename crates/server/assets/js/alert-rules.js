// Alert rules: those of the configuration, and those that are added here.

import { get, post, remove } from "/js/api.js";
import { announce, h, notice, table } from "/js/dom.js";

/** The fields of each kind of rule; the last ones are optional. */
const KINDS = {
  percent_move: ["window", "threshold", "direction", "hysteresis"],
  cross: ["level", "indicator", "interval", "direction", "hysteresis"],
  volume_surge: ["window", "baseline", "threshold", "hysteresis"],
  vwap_deviation: ["threshold", "direction", "hysteresis"],
  spread: ["threshold", "hysteresis"],
  new_extreme: ["days", "direction"],
  open_gap: ["threshold", "direction"],
  halt: [],
  stall: ["window"],
  threshold: ["threshold", "direction", "hysteresis"],
  rate_of_change: ["window", "threshold", "direction", "hysteresis"],
  silence: ["window"],
  pipeline_lag: ["threshold", "hysteresis"],
};
const EXAMPLES = { window: "60s", baseline: "30m", threshold: "0.5", level: "170", indicator: "sma:20", interval: "1m", days: "20", hysteresis: "0.1", cooldown: "10m" };
const NUMBERS = new Set(["threshold", "level", "days", "hysteresis"]);
const CHOICES = { direction: ["both", "up", "down"], severity: ["warning", "info", "critical"], session: ["any", "regular", "extended"] };

export class AlertRules {
  #shown = "";
  #fields = new Map();

  /** `by()` gives the person's name. */
  constructor({ by }) {
    this.by = by;
    this.name = h("input", { id: "rule-name", size: "14", maxlength: "64", required: true });
    this.kind = h("select", { id: "rule-kind", change: () => this.#choose() }, Object.keys(KINDS).map((kind) => h("option", { value: kind }, kind.replaceAll("_", " "))));
    this.symbols = h("input", { id: "rule-symbols", size: "14", maxlength: "500", placeholder: "SPY, B*, !BAC" });
    this.parameters = h("span", { class: "parameters" });
    this.list = h("div", { id: "rules" });
    this.failure = h("div", { role: "alert" });
    this.form = h("form", { class: "silence body", submit: (event) => this.#add(event) },
      h("label", {}, "Name ", this.name), h("label", {}, "Kind ", this.kind), h("label", {}, "Symbols ", this.symbols),
      this.parameters, h("button", { type: "submit", id: "add-rule" }, "Add rule"));
    this.element = h("section", { class: "panel", "aria-label": "Rules" },
      h("header", {}, h("h2", {}, "Rules"), h("small", { class: "muted" }, "tapeline alert replay shows when a rule would have fired.")),
      this.form, this.failure, this.list);
    this.#choose();
  }

  /** Shows the fields of the chosen kind. */
  #choose() {
    this.#fields.clear();
    const labels = [...KINDS[this.kind.value], "session", "severity", "cooldown"].map((name) => {
      const input = CHOICES[name]
        ? h("select", { id: `rule-${name}` }, CHOICES[name].map((value) => h("option", { value }, value)))
        : h("input", { id: `rule-${name}`, size: "6", maxlength: "40", placeholder: EXAMPLES[name] ?? "" });
      this.#fields.set(name, input);
      return h("label", {}, `${name[0].toUpperCase()}${name.slice(1)} `, input);
    });
    this.parameters.replaceChildren(...labels);
  }

  #rule() {
    const rule = { name: this.name.value.trim(), kind: this.kind.value, symbols: this.symbols.value.split(",").map((symbol) => symbol.trim()).filter(Boolean) };
    for (const [name, input] of this.#fields) {
      const value = input.value.trim();
      if (value) rule[name] = NUMBERS.has(name) ? Number(value) : value;
    }
    return rule;
  }

  async load(signal) {
    const { rows } = await get("alerts/rules", {}, signal);
    const content = JSON.stringify(rows);
    if (content === this.#shown) return;
    this.#shown = content;
    if (!rows.length) {
      this.list.replaceChildren(notice("No rules yet", "Add one here, or [[alert.rules]] to the configuration."));
      return;
    }
    const columns = [
      { title: "Rule", cell: (rule) => rule.name }, { title: "Kind", cell: (rule) => rule.kind.replaceAll("_", " ") },
      { title: "Symbols", class: "wrap", cell: (rule) => rule.symbols }, { title: "Severity", cell: (rule) => rule.severity },
      { title: "Parameters", class: "wrap", cell: (rule) => rule.parameters },
      { title: "By", cell: (rule) => rule.by ?? "configuration" },
      { title: "Actions", class: "actions", cell: (rule) => (rule.editable ? h("button", { type: "button", "aria-label": `Remove rule ${rule.name}`, click: () => this.#change(() => remove(`alerts/rules/${encodeURIComponent(rule.name)}`), `Rule ${rule.name} removed`) }, "Remove") : "") },
    ];
    this.list.replaceChildren(table(columns, rows, { caption: rows.length === 1 ? "1 rule" : `${rows.length} rules` }));
  }

  #add(event) {
    event.preventDefault();
    const rule = this.#rule();
    this.#change(() => post("alerts/rules", { by: this.by() }, rule), `Rule ${rule.name} added`);
  }

  async #change(request, done) {
    try {
      await request();
      this.failure.replaceChildren();
      announce(done);
      await this.load();
    } catch (problem) {
      this.failure.replaceChildren(notice("The rules were not changed", `${problem.message} ${problem.hint ?? ""}`, "bad"));
    }
  }
}
