// The chart for keyboards and screen readers: a focusable surface whose cursor the arrow keys move.

import { announce } from "/js/dom.js";
import { price, short } from "/js/format.js";

/** Describes a bar in one sentence. */
export function sentence(bar, when) {
  const { row } = bar;
  const marks = [
    bar.forming ? "still forming" : row.final ? "final" : "may be restated",
    row.revision > 0 ? `restated ${row.revision} times` : "",
    row.complete === false ? "incomplete: a gap touches it" : "",
  ].filter(Boolean);
  return `${when(row.start)}: open ${price(row.open)}, high ${price(row.high)}, low ${price(row.low)}, close ${price(row.close)}, volume ${short(row.volume)}, ${marks.join(", ")}`;
}

/**
 * `chart()` and `bars()` give the current ones; `when` formats a time; `describe` words a bar, `notes` its alerts; `pick`
 * explains a bar.
 */
export function keyboard(surface, { chart, bars, when, show, pick, describe = sentence, notes = () => "" }) {
  let time = null;
  const move = (index) => {
    const { list } = bars();
    if (list.length === 0) return;
    const bar = list[Math.max(0, Math.min(list.length - 1, index))];
    time = bar.time;
    chart().point(bar);
    show(bar);
    announce([describe(bar, when), notes(bar)].filter(Boolean).join(". "));
  };
  surface.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { list } = bars();
    const at = time === null ? list.length : bars().find(time);
    const page = Math.max(10, Math.round(list.length / 20));
    const steps = { ArrowLeft: at - 1, ArrowRight: time === null ? list.length - 1 : at + 1, Home: 0, End: list.length - 1, PageUp: at - page, PageDown: at + page };
    if (event.key in steps) move(steps[event.key]);
    else if (event.key === "Enter" && time !== null && list[at]?.time === time) pick(list[at]);
    else if (event.key === "+" || event.key === "=") chart().zoom(0.7);
    else if (event.key === "-") chart().zoom(1.4);
    else if (event.key === "Escape") {
      time = null;
      chart().unpoint();
      show(null);
    } else return;
    event.preventDefault();
  });
  surface.addEventListener("blur", () => chart()?.unpoint());
}
