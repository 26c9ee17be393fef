"use strict";
// Draws the panels of #data: candles, volume and lines, with the values under the cursor above each chart.
const UP = "#1b9e77";
const DOWN = "#d95f02";
const root = getComputedStyle(document.documentElement);
const [ink, faint, paper] = ["--ink", "--faint", "--paper"].map((name) => root.getPropertyValue(name).trim());

/** Formats seconds since 1970 in the panel's zone: date, time of day. */
function clock(zone) {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone, hourCycle: "h23",
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  return (time) => {
    const of = Object.fromEntries(parts.formatToParts(new Date(time * 1000)).map((part) => [part.type, part.value]));
    return { date: `${of.year}-${of.month}-${of.day}`, month: `${of.year}-${of.month}`, time: `${of.hour}:${of.minute}:${of.second}` };
  };
}

function element(parent, name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function draw(panel) {
  const section = element(document.getElementById("charts"), "section");
  element(section, "h2", "", panel.title);
  const values = element(section, "div", "values");
  const surface = element(section, "div", "chart");
  surface.setAttribute("role", "img");
  surface.setAttribute("aria-label", panel.title);
  const at = clock(panel.zone);
  const isFine = panel.bars.concat(panel.lines.flatMap((line) => line.points)).some(([time]) => time % 60 !== 0);
  const when = (time) => {
    const { date, time: day } = at(time);
    return panel.daily ? date : `${date} ${isFine ? day : day.slice(0, 5)}`;
  };
  const { TickMarkType } = LightweightCharts;
  const chart = LightweightCharts.createChart(surface, {
    autoSize: true,
    layout: { attributionLogo: false, background: { type: "solid", color: paper }, textColor: ink, panes: { separatorColor: faint } },
    grid: { vertLines: { color: faint }, horzLines: { color: faint } },
    rightPriceScale: { borderColor: faint },
    crosshair: { mode: LightweightCharts.CrosshairMode.Normal },
    localization: { timeFormatter: when },
    timeScale: {
      borderColor: faint, timeVisible: !panel.daily, secondsVisible: isFine, minBarSpacing: 0.005,
      tickMarkFormatter: (time, type) => {
        const { date, month, time: day } = at(time);
        if (type === TickMarkType.Year) return month.slice(0, 4);
        if (type === TickMarkType.Month) return month;
        if (type === TickMarkType.DayOfMonth) return date.slice(5);
        return type === TickMarkType.Time ? day.slice(0, 5) : day;
      },
    },
  });
  const priceFormat = { type: "price", precision: panel.decimals, minMove: 10 ** -panel.decimals };
  const quiet = { lastValueVisible: false, priceLineVisible: false };
  const bars = new Map(panel.bars.map((bar) => [bar[0], bar]));
  if (panel.bars.length > 0) {
    const candles = chart.addSeries(LightweightCharts.CandlestickSeries, {
      priceFormat, upColor: UP, downColor: DOWN, borderUpColor: UP, borderDownColor: DOWN, wickUpColor: UP, wickDownColor: DOWN,
    });
    candles.setData(panel.bars.map(([time, [open, high, low, close]]) => ({ time, open, high, low, close })));
    candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.24 } });
    const volume = chart.addSeries(LightweightCharts.HistogramSeries, { ...quiet, priceScaleId: "volume", priceFormat: { type: "volume" } });
    volume.setData(panel.bars.map(([time, [open, , , close], value]) => ({ time, value, color: (close >= open ? UP : DOWN) + "99" })));
    volume.priceScale().applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
  }
  const lines = panel.lines.map((line) => {
    const options = { ...quiet, color: line.color, lineWidth: line.thin ? 1 : 2, priceFormat };
    const series = chart.addSeries(LightweightCharts.LineSeries, options, line.pane);
    series.setData(line.points.map(([time, value]) => ({ time, value })));
    return { name: line.name, color: line.color, series, values: new Map(line.points) };
  });
  const number = (value) => value.toFixed(panel.decimals);
  const show = (time) => {
    values.replaceChildren();
    element(values, "b", "", when(time));
    const bar = bars.get(time);
    if (bar) {
      const [, [open, high, low, close], volume, notes] = bar;
      const text = `open ${number(open)}  high ${number(high)}  low ${number(low)}  close ${number(close)}  volume ${volume.toLocaleString("en-US")}`;
      values.append(`  ${text}${notes ? "  " + notes : ""}`);
    }
    for (const line of lines) {
      const value = line.values.get(time);
      if (value === undefined) continue;
      values.append("  ");
      element(values, "span", "", `${line.name} ${number(value)}${panel.unit ? " " + panel.unit : ""}`).style.color = line.color;
    }
  };
  const last = [...bars.keys(), ...lines.flatMap((line) => [...line.values.keys()])].reduce((a, b) => Math.max(a, b), 0);
  show(last);
  chart.subscribeCrosshairMove((event) => show(event.time ?? last));
  chart.timeScale().fitContent();
}

JSON.parse(document.getElementById("data").textContent).forEach(draw);
