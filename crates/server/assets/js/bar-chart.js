// What the charts of bars share: the cursor, zoom and scrolling.

/** Fewest places for bars on the chart: the first bars of a new symbol must not fill it, and later ones push them out. */
const FEWEST = 40;

/** A chart sets `chart`, `bars`, `series` (that of the cursor) and `stopTheme`. */
export class BarChart {
  /** Time of the bar on which the keyboard has put the crosshair. */
  pointed = null;

  /** Puts the crosshair on a bar and brings it into view. */
  point(bar) {
    this.pointed = bar.time;
    const scale = this.chart.timeScale();
    const index = this.bars().find(bar.time);
    const range = scale.getVisibleLogicalRange();
    if (range && (index < range.from + 1 || index > range.to - 1)) {
      const width = range.to - range.from;
      const from = index < range.from + 1 ? index - 2 : index - width + 2;
      scale.setVisibleLogicalRange({ from, to: from + width });
      // The chart scrolls with its next picture: a crosshair that is set before keeps its place on the screen, over another bar.
      requestAnimationFrame(() => this.pointed === bar.time && this.#cross(bar));
    } else this.#cross(bar);
  }

  #cross(bar) {
    this.chart.setCrosshairPosition(bar.close, bar.time, this.series);
  }

  /** The keyboard's crosshair goes. */
  unpoint() {
    this.pointed = null;
    this.chart.clearCrosshairPosition();
  }

  /** Whether the crosshair moved by pointer, or with the chart under one that rests; the keyboard's stays on its bar. */
  isPointer(event) {
    if (event.sourceEvent) this.pointed = null;
    return this.pointed === null;
  }

  zoom(factor) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const width = Math.max(10, (range.to - range.from) * factor);
    scale.setVisibleLogicalRange({ from: range.to - width, to: range.to });
  }

  /** Shows the newest bars. */
  toEnd() {
    this.chart.timeScale().scrollToRealTime();
  }

  showLast(count) {
    const end = this.bars().list.length + 3;
    this.chart.timeScale().setVisibleLogicalRange({ from: Math.min(Math.max(-1, end - count), end - FEWEST), to: end });
  }

  destroy() {
    this.stopTheme();
    this.chart.remove();
  }
}
