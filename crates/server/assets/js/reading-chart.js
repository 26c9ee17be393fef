// Bars of readings: the mean as a line, lowest to highest value as a band, on lightweight-charts.

import { CrosshairMode, LineSeries, createChart } from "/vendor/lightweight-charts.js";
import { BarChart } from "/js/bar-chart.js";
import { offset } from "/js/format.js";
import { colour, onTheme } from "/js/theme.js";

/** A row of the API in the chart's form; `time` is local time, because the chart has no time zones. */
export function toReadingBar(row, zone) {
  const seconds = Math.floor(Date.parse(row.start) / 1000);
  const [first, min, max, last] = [row.first, row.min, row.max, row.last].map(Number);
  // A bar whose sum does not fit has no mean.
  const mean = row.mean === undefined ? (min + max) / 2 : Number(row.mean);
  return { time: seconds + offset(seconds, zone), utc: seconds, row, first, min, max, last, mean, close: mean };
}

/** Describes a bar in one sentence. */
export function readingSentence(bar, when) {
  const { row } = bar;
  const state = [row.final ? "final" : "may be restated", row.revision > 0 ? `restated ${row.revision} times` : "", row.complete === false ? "incomplete" : ""];
  return `${when(row.start)}: mean ${rounded(row.mean)}, lowest ${row.min}, highest ${row.max}, last ${row.last}, ${row.count} readings, ${state.filter(Boolean).join(", ")}`;
}

/** A mean for people: up to six decimals. All other values are shown with the digits they have. */
export function rounded(text) {
  if (text === undefined) return "";
  const [whole, part = ""] = String(text).split(".");
  return part.length <= 6 ? String(text) : Number(text).toFixed(Math.abs(Number(whole)) > 1e9 ? 0 : 6).replace(/\.?0+$/, "");
}

/** Draws band and line; both end where readings are missing. */
class Band {
  constructor(owner) {
    this.owner = owner;
  }
  attached({ chart, series }) {
    this.chart = chart;
    this.series = series;
  }
  paneViews() {
    return [{ zOrder: () => "normal", renderer: () => ({ draw: (target) => target.useBitmapCoordinateSpace((space) => this.#draw(space)) }) }];
  }
  #draw({ context, horizontalPixelRatio, verticalPixelRatio }) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    const { list } = this.owner.bars();
    if (!range || list.length === 0) return;
    const from = Math.max(0, Math.floor(range.from) - 1);
    const to = Math.min(list.length - 1, Math.ceil(range.to) + 1);
    const x = (index) => scale.logicalToCoordinate(index) * horizontalPixelRatio;
    const y = (value) => this.series.priceToCoordinate(value) * verticalPixelRatio;
    const apart = this.owner.apart();
    for (let start = from; start <= to;) {
      let end = start;
      while (end < to && list[end + 1].utc - list[end].utc <= apart) end++;
      this.#run(context, list, start, end, x, y, horizontalPixelRatio);
      start = end + 1;
    }
  }
  #run(context, list, start, end, x, y, ratio) {
    const half = (this.chart.timeScale().options().barSpacing / 2) * ratio;
    // A single bar is as wide as its slot.
    const left = start === end ? x(start) - half : x(start);
    const right = start === end ? x(end) + half : x(end);
    context.beginPath();
    context.moveTo(left, y(list[start].max));
    for (let i = start + 1; i < end; i++) context.lineTo(x(i), y(list[i].max));
    context.lineTo(right, y(list[end].max));
    context.lineTo(right, y(list[end].min));
    for (let i = end - 1; i > start; i--) context.lineTo(x(i), y(list[i].min));
    context.lineTo(left, y(list[start].min));
    context.closePath();
    context.globalAlpha = 0.2;
    context.fillStyle = colour("accent");
    context.fill();
    context.globalAlpha = 1;
    context.beginPath();
    context.moveTo(left, y(list[start].mean));
    for (let i = start + 1; i < end; i++) context.lineTo(x(i), y(list[i].mean));
    context.lineTo(right, y(list[end].mean));
    context.strokeStyle = colour("accent");
    context.lineWidth = 2 * ratio;
    context.lineJoin = "round";
    context.stroke();
  }
}

export class ReadingChart extends BarChart {
  /** `bars` returns the data; `handlers` are `hover(bar)` and `older()`. */
  constructor(element, bars, handlers) {
    super();
    this.bars = bars;
    this.chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: "system-ui, 'DejaVu Sans', sans-serif" },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 0.3 },
      crosshair: { mode: CrosshairMode.Normal },
      // A finger that moves up or down scrolls the page.
      handleScroll: { vertTouchDrag: false },
      localization: { timeFormatter: (time) => new Date(time * 1000).toISOString().slice(0, 19).replace("T", " ") },
    });
    // The band draws; this series has the scale, the crosshair and the last value.
    this.series = this.line = this.chart.addSeries(LineSeries, { lineVisible: false, priceLineVisible: false, autoscaleInfoProvider: () => this.#scale() });
    this.line.attachPrimitive(new Band(this));
    this.chart.subscribeCrosshairMove((event) => this.isPointer(event) && handlers.hover(event.time === undefined ? null : this.#at(event.time)));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => range && range.from < 30 && handlers.older());
    this.stopTheme = onTheme(() => this.recolour());
    this.recolour();
  }

  #at(time) {
    const bars = this.bars();
    const bar = bars.list[bars.find(time)];
    return bar?.time === time ? bar : null;
  }

  #scale() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const { list } = this.bars();
    const shown = range ? list.slice(Math.max(0, Math.floor(range.from)), Math.ceil(range.to) + 1) : list;
    if (!shown.length) return null;
    const [minValue, maxValue] = shown.reduce(([low, high], bar) => [Math.min(low, bar.min), Math.max(high, bar.max)], [Infinity, -Infinity]);
    return { priceRange: { minValue, maxValue } };
  }

  /** Seconds between two bars beyond which readings are missing: three times what is usual. */
  apart() {
    return this.usual * 3;
  }

  recolour() {
    const [text, line] = ["muted", "grid"].map(colour);
    this.chart.applyOptions({
      layout: { background: { type: "solid", color: colour("panel") }, textColor: text },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line }, timeScale: { borderColor: line },
    });
    this.line.applyOptions({ color: colour("accent"), crosshairMarkerBorderColor: colour("panel") });
  }

  /** Redraws everything. */
  setAll() {
    const { list } = this.bars();
    const steps = list.slice(1).map((bar, index) => bar.utc - list[index].utc).sort((a, b) => a - b);
    this.usual = steps[Math.floor(steps.length / 2)] ?? 0;
    const interval = list[list.length - 1]?.row.interval ?? "";
    // As many decimals as distinguish values of this range.
    const [low, high] = list.reduce(([low, high], bar) => [Math.min(low, bar.min), Math.max(high, bar.max)], [Infinity, -Infinity]);
    const length = list.length ? high - low || Math.abs(high) || 1 : 1;
    const precision = Math.min(Math.max(0, 3 - Math.floor(Math.log10(length))), 8);
    this.line.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
    this.chart.applyOptions({ timeScale: { timeVisible: interval !== "1d", secondsVisible: /s$/.test(interval) } });
    this.line.setData(list.map((bar) => ({ time: bar.time, value: bar.mean })));
  }
}
