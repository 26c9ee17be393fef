//! Candles with volume and indicators, one column per symbol. Restated, unfinished and incomplete bars are
//! marked, and so are times within a session without a bar.

use super::{DOWN, FAINT, FONT, INK, LINES, Picture, UP, bounds, fail};
use market::bar::{Bar, Values};
use market::calendar::Calendar;
use market::indicator::{Indicator, Input};
use plotters::coord::Shift;
use plotters::prelude::*;
use ports::Result;

/// The bars of one symbol.
pub(crate) struct Series {
    pub(crate) title: String,
    pub(crate) calendar: Calendar,
    pub(crate) bars: Vec<Bar>,
    pub(crate) indicators: Vec<Indicator>,
}

pub(crate) struct Candles {
    pub(crate) series: Vec<Series>,
}

/// A bar at its position.
struct Candle {
    x: f64,
    ohlc: [f64; 4],
    volume: f64,
    restated: bool,
    open: bool,
    incomplete: bool,
}

struct Layout {
    candles: Vec<Candle>,
    /// Slots without a bar within a session: from, to.
    gaps: Vec<(f64, f64)>,
    /// Slots where a new session starts.
    sessions: Vec<f64>,
    /// Start of the bar of each slot, for the labels.
    starts: Vec<(f64, market::UnixNanos)>,
    width: f64,
}

/// A longer run of empty slots is drawn as one break.
const WIDEST: i64 = 400;

impl Series {
    /// Positions of bars: nights and holidays take no room, missing bars of a session do.
    fn layout(&self) -> Layout {
        let mut out = Layout {
            candles: Vec::new(),
            gaps: Vec::new(),
            sessions: Vec::new(),
            starts: Vec::new(),
            width: 1.0,
        };
        let mut last: Option<(&Bar, market::calendar::Day)> = None;
        let mut x = 0.0;
        for bar in &self.bars {
            let Values::Trades(values) = &bar.values else { continue };
            let day = self.calendar.day(bar.start);
            if let Some((before, of)) = last {
                x += 1.0;
                let step = bar.interval.nanos();
                if of.start != day.start && step.is_some() {
                    out.sessions.push(x - 0.5);
                } else if let Some(step) = step {
                    let missing = (bar.start.0 - before.start.0) / step - 1;
                    // Outside the regular session silence is normal.
                    if missing > 0 && of.is_regular(before.start.0) && of.is_regular(bar.start.0) {
                        let slots = missing.min(WIDEST) as f64;
                        out.gaps.push((x - 0.5, x - 0.5 + slots));
                        x += slots;
                    }
                }
            }
            out.candles.push(Candle {
                x,
                ohlc: values.ohlc.map(market::Price::to_f64),
                volume: values.volume.to_f64(),
                restated: bar.revision > 0,
                open: !bar.is_final,
                incomplete: !bar.complete,
            });
            out.starts.push((x, bar.start));
            last = Some((bar, day));
        }
        out.width = x + 1.0;
        out
    }

    /// Points of each indicator.
    fn lines(&self, layout: &Layout) -> Vec<Lines> {
        let traded: Vec<&Bar> =
            self.bars.iter().filter(|bar| matches!(bar.values, Values::Trades(_))).collect();
        let mut out = Vec::new();
        for indicator in &self.indicators {
            let mut indicator = indicator.clone();
            let mut lines: Vec<Vec<(f64, f64)>> = Vec::new();
            for (bar, candle) in traded.iter().zip(&layout.candles) {
                let [_, high, low, close] = candle.ohlc;
                let vwap = match &bar.values {
                    Values::Trades(values) => values.vwap.map(market::Price::to_f64),
                    _ => None,
                };
                let session = self.calendar.day(bar.start).yyyymmdd;
                let vwap = vwap.unwrap_or((high + low + close) / 3.0);
                let input = Input { session, high, low, close, vwap, volume: candle.volume };
                for (index, value) in indicator.next(&input).into_iter().enumerate() {
                    if lines.len() <= index {
                        lines.push(Vec::new());
                    }
                    lines[index].push((candle.x, value));
                }
            }
            out.push((indicator.name().to_owned(), indicator.over_price(), lines));
        }
        out
    }
}

/// An indicator's name, whether it is drawn over the prices, and the points of each of its lines.
type Lines = (String, bool, Vec<Vec<(f64, f64)>>);

impl Picture for Candles {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(fail)?;
        let columns = match self.series.len() {
            0..=3 => self.series.len().max(1),
            n => n.div_ceil(2).min(4),
        };
        let rows = self.series.len().div_ceil(columns).max(1);
        for (panel, series) in area.split_evenly((rows, columns)).iter().zip(&self.series) {
            column(panel, series)?;
        }
        Ok(())
    }
}

fn column<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, series: &Series) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let layout = series.layout();
    let lines = series.lines(&layout);
    let below = lines.iter().filter(|(_, over, _)| !over).count() as i32;
    let height = area.dim_in_pixel().1 as i32;
    let lower = ((height - 40) * 16 / 100).max(60);
    let (head, body) = area.split_vertically(28);
    head.draw(&Text::new(series.title.clone(), (12, 8), (FONT, 16).into_font().color(&INK))).map_err(fail)?;
    let legend = legend(&layout, &lines);
    let indent = 24 + series.title.len() as i32 * 9;
    let mut x = indent;
    for (text, color) in legend {
        head.draw(&Text::new(text.clone(), (x, 10), (FONT, 13).into_font().color(&color))).map_err(fail)?;
        x += 14 + text.chars().count() as i32 * 7;
    }
    let top = height - 28 - lower * (1 + below);
    let (price, mut rest) = body.split_vertically(top);
    prices(&price, series, &layout, &lines)?;
    let (volume_area, left) = rest.split_vertically(lower);
    volume(&volume_area, series, &layout, below == 0)?;
    rest = left;
    let over = lines.len() - below as usize;
    for (index, (name, _, lines)) in lines.iter().filter(|(_, over, _)| !over).enumerate() {
        let (panel, left) = rest.split_vertically(lower);
        oscillator(&panel, series, &layout, name, lines, over + index, index as i32 + 1 == below)?;
        rest = left;
    }
    Ok(())
}

fn legend(layout: &Layout, lines: &[Lines]) -> Vec<(String, RGBColor)> {
    let mut out: Vec<(String, RGBColor)> = lines
        .iter()
        .filter(|(_, over, _)| *over)
        .enumerate()
        .map(|(index, (name, ..))| (name.clone(), LINES[index % LINES.len()]))
        .collect();
    let count = |f: &dyn Fn(&Candle) -> bool| layout.candles.iter().filter(|candle| f(candle)).count();
    for (count, text, color) in [
        (count(&|candle| candle.restated), "▲ restated", RGBColor(200, 0, 0)),
        (count(&|candle| candle.open), "○ not final", RGBColor(120, 120, 120)),
        (count(&|candle| candle.incomplete), "✕ incomplete", RGBColor(200, 0, 0)),
        (layout.gaps.len(), "▒ no bars", RGBColor(150, 150, 150)),
    ] {
        if count > 0 {
            out.push((format!("{text}: {count}"), color));
        }
    }
    out
}

/// Labels of slots: the time of their bar.
fn label(series: &Series, layout: &Layout, x: f64) -> String {
    let place = layout.starts.partition_point(|(at, _)| *at < x - 0.5);
    let Some((_, start)) = layout.starts.get(place) else { return String::new() };
    let (first, last) =
        (layout.starts.first().map_or(*start, |s| s.1), layout.starts.last().map_or(*start, |s| s.1));
    let days = (last.0 - first.0) / market::time::DAY;
    let pattern = match series.bars.first().is_some_and(|bar| bar.interval.is_day()) {
        true => "%Y-%m-%d",
        false if days > 0 => "%m-%d %H:%M",
        false if last.0 - first.0 < market::time::HOUR / 6 => "%H:%M:%S",
        false => "%H:%M",
    };
    start.local(pattern, series.calendar.zone())
}

/// Width of a candle in pixels.
fn pixels<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, layout: &Layout) -> u32 {
    let room = f64::from(area.dim_in_pixel().0.saturating_sub(80)) / layout.width.max(1.0);
    (room * 0.7).clamp(1.0, 24.0) as u32
}

fn prices<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    series: &Series,
    layout: &Layout,
    lines: &[Lines],
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let drawn = lines.iter().filter(|(_, over, _)| *over).flat_map(|(.., lines)| lines.iter().flatten());
    let all = layout.candles.iter().flat_map(|candle| candle.ohlc).chain(drawn.map(|(_, y)| *y));
    let Some((low, high)) = bounds(all, 0.06) else { return Ok(()) };
    let mut chart = ChartBuilder::on(area)
        .margin_right(12)
        .y_label_area_size(62)
        .build_cartesian_2d(-1.0..layout.width, low..high)
        .map_err(fail)?;
    chart
        .configure_mesh()
        .disable_x_axis()
        .disable_x_mesh()
        .y_labels(8)
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .y_label_formatter(&|y| format!("{y:.2}"))
        .label_style((FONT, 12).into_font().color(&INK))
        .draw()
        .map_err(fail)?;
    for (from, to) in &layout.gaps {
        let gap = Rectangle::new([(*from, low), (*to, high)], RGBColor(150, 150, 150).mix(0.25).filled());
        chart.draw_series([gap]).map_err(fail)?;
    }
    for x in &layout.sessions {
        chart.draw_series([PathElement::new([(*x, low), (*x, high)], INK.mix(0.35))]).map_err(fail)?;
    }
    let width = pixels(area, layout);
    let candles = layout.candles.iter().map(|candle| {
        let [open, high, low, close] = candle.ohlc;
        CandleStick::new(candle.x, open, high, low, close, UP.filled(), DOWN.filled(), width)
    });
    chart.draw_series(candles).map_err(fail)?;
    let overlays = lines.iter().filter(|(_, over, _)| *over).enumerate();
    for (index, (.., lines)) in overlays {
        for points in lines {
            let style = LINES[index % LINES.len()].stroke_width(1);
            chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(fail)?;
        }
    }
    let room = (high - low) * 0.02;
    let red = RGBColor(200, 0, 0);
    for candle in &layout.candles {
        let at = (candle.x, candle.ohlc[2] - room);
        if candle.restated {
            chart.draw_series([TriangleMarker::new(at, 5, red.filled())]).map_err(fail)?;
        }
        if candle.incomplete {
            chart.draw_series([Cross::new((candle.x, candle.ohlc[1] + room), 4, red)]).map_err(fail)?;
        }
        if candle.open {
            let grey = RGBColor(120, 120, 120);
            chart.draw_series([Circle::new((candle.x, candle.ohlc[1] + room), 3, grey)]).map_err(fail)?;
        }
    }
    let _ = series;
    Ok(())
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => format!("{:.1}B", value / 1e9),
        v if v >= 1e6 => format!("{:.1}M", value / 1e6),
        v if v >= 1e3 => format!("{:.0}k", value / 1e3),
        v if v >= 1.0 || v == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.3}"),
    }
}

fn volume<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    series: &Series,
    layout: &Layout,
    labels: bool,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let most = layout.candles.iter().map(|candle| candle.volume).fold(0.0, f64::max).max(1e-9);
    let mut chart = ChartBuilder::on(area)
        .margin_right(12)
        .margin_top(8)
        .y_label_area_size(62)
        .x_label_area_size(if labels { 24 } else { 0 })
        .build_cartesian_2d(-1.0..layout.width, 0.0..most * 1.05)
        .map_err(fail)?;
    mesh(&mut chart, series, layout, labels, 3, &short)?;
    let bars = layout.candles.iter().map(|candle| {
        let color = if candle.ohlc[3] >= candle.ohlc[0] { UP } else { DOWN };
        Rectangle::new([(candle.x - 0.35, 0.0), (candle.x + 0.35, candle.volume)], color.mix(0.7).filled())
    });
    chart.draw_series(bars).map_err(fail)?;
    name(area, "volume", INK)
}

fn name<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, text: &str, color: RGBColor) -> Result<()>
where
    DB::ErrorType: 'static,
{
    area.draw(&Text::new(text.to_owned(), (70, 4), (FONT, 12).into_font().color(&color))).map_err(fail)
}

type Chart<'a, DB> = ChartContext<
    'a,
    DB,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn mesh<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    series: &Series,
    layout: &Layout,
    labels: bool,
    lines: usize,
    format: &dyn Fn(f64) -> String,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let shown = |x: &f64| if labels { label(series, layout, *x) } else { String::new() };
    let value = |y: &f64| format(*y);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(if labels { 8 } else { 0 })
        .y_labels(lines)
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .x_label_formatter(&shown)
        .y_label_formatter(&value)
        .label_style((FONT, 12).into_font().color(&INK))
        .draw()
        .map_err(fail)
}

fn oscillator<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    series: &Series,
    layout: &Layout,
    title: &str,
    lines: &[Vec<(f64, f64)>],
    first: usize,
    labels: bool,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let rsi = title.starts_with("rsi");
    let values = lines.iter().flatten().map(|(_, y)| *y);
    let (low, high) = if rsi { (0.0, 100.0) } else { bounds(values, 0.1).unwrap_or((0.0, 1.0)) };
    let mut chart = ChartBuilder::on(area)
        .margin_right(12)
        .margin_top(8)
        .y_label_area_size(62)
        .x_label_area_size(if labels { 24 } else { 0 })
        .build_cartesian_2d(-1.0..layout.width, low..high)
        .map_err(fail)?;
    mesh(&mut chart, series, layout, labels, 3, &|y| {
        if rsi { format!("{y:.0}") } else { format!("{y:.3}") }
    })?;
    if rsi {
        for level in [30.0, 70.0] {
            let line = PathElement::new([(-1.0, level), (layout.width, level)], INK.mix(0.4));
            chart.draw_series([line]).map_err(fail)?;
        }
    }
    let colors = |index: usize| LINES[(first + index) % LINES.len()];
    for (index, points) in lines.iter().enumerate() {
        if index == 2 {
            // MACD minus its signal.
            let bars = points.iter().map(|(x, y)| {
                Rectangle::new([(x - 0.3, 0.0), (x + 0.3, *y)], RGBColor(150, 150, 150).mix(0.6).filled())
            });
            chart.draw_series(bars).map_err(fail)?;
        } else {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colors(index).stroke_width(1)))
                .map_err(fail)?;
        }
    }
    name(area, title, colors(0))
}
