// Candles, volume, indicators, session shading and marks, on lightweight-charts.

import { CandlestickSeries, CrosshairMode, HistogramSeries, LineSeries, createChart, createSeriesMarkers } from "/vendor/lightweight-charts.js";
import { BarChart } from "/js/bar-chart.js";
import { indicators } from "/js/indicators.js";
import { colour, onTheme } from "/js/theme.js";

const MARKS = 200;

/** Shades times outside the regular session. */
class Shading {
  constructor(bars) {
    this.bars = bars;
  }
  attached({ chart, requestUpdate }) {
    this.chart = chart;
    this.requestUpdate = requestUpdate;
  }
  paneViews() {
    return [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.#draw(target) }) }];
  }
  #draw(target) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    const bars = this.bars().list;
    if (!range || bars.length === 0) return;
    const half = scale.options().barSpacing / 2;
    const [first, last] = [Math.max(0, Math.floor(range.from)), Math.min(bars.length - 1, Math.ceil(range.to))];
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio }) => {
      context.fillStyle = colour("shade");
      let start = null;
      for (let i = first; i <= last + 1; i++) {
        const outside = i <= last && bars[i].session !== "regular";
        if (outside && start === null) start = i;
        if (!outside && start !== null) {
          const from = (scale.logicalToCoordinate(start) - half) * horizontalPixelRatio;
          const to = (scale.logicalToCoordinate(i - 1) + half) * horizontalPixelRatio;
          context.fillRect(from, 0, to - from, bitmapSize.height);
          start = null;
        }
      }
    });
  }
}

export class Chart extends BarChart {
  #lines = new Map();
  #gaps = [];
  #alerts = new Map();

  /** `bars` returns the data; `handlers` are `hover(bar)`, `pick(bar)` and `older()`. */
  constructor(element, bars, handlers) {
    super();
    this.bars = bars;
    this.chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: "system-ui, 'DejaVu Sans', sans-serif", panes: { enableResize: true } },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 0.3 },
      crosshair: { mode: CrosshairMode.Normal },
      // A finger that moves up or down scrolls the page.
      handleScroll: { vertTouchDrag: false },
      localization: { timeFormatter: (time) => new Date(time * 1000).toISOString().slice(0, 19).replace("T", " ") },
    });
    this.series = this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: true });
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.22 } });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.candles.attachPrimitive(new Shading(bars));
    this.markers = createSeriesMarkers(this.candles, []);
    this.chart.subscribeCrosshairMove((event) => this.isPointer(event) && handlers.hover(event.time === undefined ? null : this.#at(event.time)));
    this.chart.subscribeClick((event) => event.time !== undefined && handlers.pick(this.#at(event.time)));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => range && range.from < 30 && handlers.older());
    this.stopTheme = onTheme(() => this.recolour());
    this.recolour(false);
  }

  #at(time) {
    const bars = this.bars();
    const bar = bars.list[bars.find(time)];
    return bar?.time === time ? bar : null;
  }

  recolour(redraw = true) {
    const [text, line, up, down] = ["muted", "grid", "up", "down"].map(colour);
    this.tones = { warn: colour("warn"), volumeUp: colour("volume-up"), volumeDown: colour("volume-down") };
    this.chart.applyOptions({
      layout: { background: { type: "solid", color: colour("panel") }, textColor: text, panes: { separatorColor: line } },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line }, timeScale: { borderColor: line },
    });
    this.candles.applyOptions({ upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down });
    if (redraw) {
      for (const { name } of this.#lines.values()) this.indicator(name, true);
      this.setAll();
    }
  }

  #candle(bar) {
    const point = { time: bar.time, open: bar.open, high: bar.high, low: bar.low, close: bar.close };
    if (bar.row.complete === false) point.borderColor = point.wickColor = this.tones.warn;
    return point;
  }

  #bar(bar) {
    return { time: bar.time, value: bar.volume, color: bar.close >= bar.open ? this.tones.volumeUp : this.tones.volumeDown };
  }

  /** Redraws everything. */
  setAll() {
    const { list } = this.bars();
    const row = list[list.length - 1]?.row;
    const decimals = Math.max(2, ...list.slice(-200).map((bar) => (String(bar.row.close).split(".")[1] ?? "").length));
    const precision = Math.min(decimals, 8);
    this.candles.applyOptions({ priceFormat: { type: "price", precision, minMove: 1 / 10 ** precision } });
    this.chart.applyOptions({ timeScale: { timeVisible: row?.interval !== "1d", secondsVisible: /s$/.test(row?.interval ?? "") } });
    this.candles.setData(list.map((bar) => this.#candle(bar)));
    this.volume.setData(list.map((bar) => this.#bar(bar)));
    this.#computeLines(false);
    this.#mark();
  }

  /** Redraws after `Bars.take`. */
  update(change, bar) {
    if (change === "ignored") return;
    if (change === "append" || change === "last" || change === "older") {
      this.candles.update(this.#candle(bar), change === "older");
      this.volume.update(this.#bar(bar), change === "older");
      if (change === "older") this.#mark();
    } else this.setAll();
  }

  /** Recomputes the indicators after updates of the last bars. */
  refreshLines() {
    this.#computeLines(true);
  }

  #computeLines(lastOnly) {
    const { list } = this.bars();
    for (const { name, series } of this.#lines.values()) {
      indicators[name].of(list).forEach((values, index) => {
        const point = (i) => (values[i] === null ? { time: list[i].time } : { time: list[i].time, value: values[i] });
        if (lastOnly) {
          for (let i = Math.max(0, list.length - 2); i < list.length; i++) series[index].update(point(i), i < list.length - 1);
        } else series[index].setData(list.map((_, i) => point(i)));
      });
    }
  }

  /** Shows or hides an indicator. */
  indicator(name, shown) {
    const line = this.#lines.get(name);
    if (!shown) {
      line?.series.forEach((series) => this.chart.removeSeries(series));
      this.#lines.delete(name);
      return;
    }
    const { pane, lines } = indicators[name];
    const options = (variable) => ({ color: colour(variable.slice(2)), lineWidth: 1, ...(pane === 0 ? { autoscaleInfoProvider: () => null } : {}), lastValueVisible: pane > 0, priceLineVisible: false, crosshairMarkerVisible: false });
    if (line) {
      line.series.forEach((series, index) => series.applyOptions(options(lines[index])));
      return;
    }
    const series = lines.map((variable) => this.chart.addSeries(LineSeries, options(variable), pane));
    this.#lines.set(name, { name, series });
    if (pane > 0) this.chart.panes()[pane]?.setStretchFactor(0.25);
    this.#computeLines(false);
  }

  /** Shows known gaps: `{from, to, open}` on the chart's clock. */
  setGaps(gaps) {
    this.#gaps = gaps;
    this.#mark();
  }

  /** Shows alerts: lists of alerts by the time of their bar. */
  setAlerts(alerts) {
    this.#alerts = alerts;
    this.#mark();
  }

  #mark() {
    const bars = this.bars();
    const marks = [];
    for (const bar of bars.list) {
      if (bar.row.complete === false) marks.push({ time: bar.time, position: "belowBar", shape: "square", color: colour("down"), size: 0.7 });
      if (bar.row.revision > 0) marks.push({ time: bar.time, position: "aboveBar", shape: "circle", color: colour("warn"), size: 0.5 });
    }
    for (const gap of this.#gaps) {
      const bar = bars.list[Math.min(bars.find(gap.from), bars.list.length - 1)];
      if (!bar || gap.to < bars.list[0].time || gap.from > bars.last.time) continue;
      marks.push({ time: bar.time, position: "aboveBar", shape: "arrowDown", color: colour(gap.open ? "down" : "muted"), text: gap.open ? "gap, open" : "gap, filled" });
    }
    for (const [time, alerts] of this.#alerts) {
      const open = alerts.filter((alert) => !alert.acknowledged_by).length;
      marks.push({ time, position: "belowBar", shape: "arrowUp", color: colour(open ? "alert" : "muted"), size: 1, text: alerts.length > 1 ? String(alerts.length) : "", id: `alert-${time}` });
    }
    marks.sort((a, b) => a.time - b.time);
    this.markers.setMarkers(marks.slice(-MARKS));
  }
}
