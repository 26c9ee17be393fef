//! Candles with volume and indicators, one column per symbol. Restated, unfinished and incomplete bars are
//! marked, and so are times within a session without a bar.

use super::axis::{self, TimeAxis};
use super::legend::{self, Entry, Mark};
use super::{DOWN, FAINT, FONT, INK, LINES, Picture, UP, bounds, fail};
use crate::time_input::Zone;
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
    /// The zone of the labels.
    pub(crate) zone: Zone,
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
    /// Slots before the open or after the close: from, to.
    extended: Vec<(f64, f64)>,
    /// Slots where a new session starts.
    sessions: Vec<f64>,
    /// Start of the bar of each slot, for the labels.
    starts: Vec<(f64, market::UnixNanos)>,
    width: f64,
}

/// Whether any part of a bar is in the regular session.
pub(crate) fn is_regular(bar: &Bar, day: &market::calendar::Day) -> bool {
    let end = bar.start.0.saturating_add(bar.interval.nanos().unwrap_or(0).max(1));
    day.is_session() && bar.start.0 < day.parts[2] && end > day.parts[1]
}

/// A longer run of empty slots is drawn as one break.
const WIDEST: i64 = 400;

impl Series {
    /// Positions of bars: nights and holidays take no room, missing bars of a session do.
    fn layout(&self) -> Layout {
        let mut out = Layout {
            candles: Vec::new(),
            gaps: Vec::new(),
            extended: Vec::new(),
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
                    // Outside the regular session silence is normal, as is silence of less than a minute within it.
                    let long = missing > 0 && missing.saturating_mul(step) >= market::time::MINUTE;
                    if missing > 0 && of.is_regular(before.start.0) && of.is_regular(bar.start.0) {
                        let slots = missing.min(WIDEST) as f64;
                        if long {
                            out.gaps.push((x - 0.5, x - 0.5 + slots));
                        }
                        x += slots;
                    }
                }
            }
            if !self.calendar.is_continuous() && !bar.interval.is_day() && !is_regular(bar, &day) {
                match out.extended.last_mut() {
                    Some((_, to)) if *to >= x - 0.5 => *to = x + 0.5,
                    _ => out.extended.push((x - 0.5, x + 0.5)),
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

impl Candles {
    /// One line for each indicator without a value, because it needs more bars than there are.
    pub(crate) fn without_values(&self) -> Vec<String> {
        let mut out = Vec::new();
        for series in &self.series {
            for (name, _, lines) in series.lines(&series.layout()) {
                if lines.iter().all(Vec::is_empty) {
                    out.push(format!(
                        "nothing drawn for {name}: it needs more than the {} bars of {}",
                        series.bars.len(),
                        series.title
                    ));
                }
            }
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
    let entries = entries(&layout, &lines);
    let width = area.dim_in_pixel().0 as i32;
    let head_height =
        legend::HEIGHT + (legend::lines(&series.title, &entries, width) - 1) * (legend::HEIGHT - 8);
    let (head, body) = area.split_vertically(head_height);
    legend::draw(&head, &series.title, &entries)?;
    let axis = TimeAxis {
        ticks: axis::ticks(
            &layout.starts,
            &series.zone,
            series.bars.first().is_some_and(|bar| bar.interval.is_day()),
            f64::from(width - (LEFT + RIGHT) as i32),
        ),
        width: layout.width,
    };
    let top = height - head_height - lower * (1 + below);
    let (price, mut rest) = body.split_vertically(top);
    prices(&price, &axis, &layout, &lines)?;
    let (volume_area, left) = rest.split_vertically(lower);
    volume(&volume_area, &axis, &layout, below == 0)?;
    rest = left;
    let over = lines.len() - below as usize;
    for (index, (name, _, lines)) in lines.iter().filter(|(_, over, _)| !over).enumerate() {
        let (panel, left) = rest.split_vertically(lower);
        oscillator(&panel, &axis, name, lines, over + index, index as i32 + 1 == below)?;
        rest = left;
    }
    Ok(())
}

fn entries(layout: &Layout, lines: &[Lines]) -> Vec<Entry> {
    let over = lines.iter().filter(|(_, over, _)| *over).enumerate();
    let mut out: Vec<Entry> = over
        .map(|(index, (name, ..))| Entry {
            mark: Mark::Line,
            text: name.clone(),
            color: LINES[index % LINES.len()],
        })
        .collect();
    let count = |f: &dyn Fn(&Candle) -> bool| layout.candles.iter().filter(|candle| f(candle)).count();
    for (count, mark, text, color) in [
        (count(&|candle| candle.restated), Mark::Triangle, "restated", RED),
        (count(&|candle| candle.open), Mark::Circle, "not final", GREY),
        (count(&|candle| candle.incomplete), Mark::Cross, "incomplete", RED),
        (layout.gaps.len(), Mark::Patch, "no bars", GREY),
        (layout.extended.len().min(1), Mark::Patch, "pre-market and post-market", EXTENDED),
    ] {
        if count > 0 {
            let number = if color == EXTENDED { String::new() } else { format!(": {count}") };
            out.push(Entry { mark, text: format!("{text}{number}"), color });
        }
    }
    out
}

const RED: RGBColor = RGBColor(200, 0, 0);
const GREY: RGBColor = RGBColor(120, 120, 120);
/// Outside regular hours.
const EXTENDED: RGBColor = RGBColor(90, 110, 160);

fn prices<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    axis: &TimeAxis,
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
        .margin_right(RIGHT)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(axis.clone(), low..high)
        .map_err(fail)?;
    chart
        .configure_mesh()
        .disable_x_axis()
        .y_labels(8)
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .y_label_formatter(&|y| format!("{y:.2}"))
        .label_style((FONT, 12).into_font().color(&INK))
        .draw()
        .map_err(fail)?;
    for (from, to) in &layout.extended {
        let band = Rectangle::new([(*from, low), (*to, high)], EXTENDED.mix(0.10).filled());
        chart.draw_series([band]).map_err(fail)?;
    }
    for (from, to) in &layout.gaps {
        let gap = Rectangle::new([(*from, low), (*to, high)], RGBColor(150, 150, 150).mix(0.25).filled());
        chart.draw_series([gap]).map_err(fail)?;
    }
    for x in &layout.sessions {
        chart.draw_series([PathElement::new([(*x, low), (*x, high)], INK.mix(0.35))]).map_err(fail)?;
    }
    let slot = f64::from(area.dim_in_pixel().0.saturating_sub(LEFT + RIGHT)) / layout.width.max(1.0);
    for candle in &layout.candles {
        let [open, top, bottom, close] = candle.ohlc;
        let color = if close >= open { UP } else { DOWN };
        let wick = PathElement::new([(candle.x, bottom), (candle.x, top)], color);
        chart.draw_series([wick]).map_err(fail)?;
        // A body narrower than a pixel is the wick; where open and close are equal it is a dash.
        if slot >= 2.0 {
            let (left, right) = (candle.x - 0.35, candle.x + 0.35);
            let body = Rectangle::new([(left, open), (right, close)], color.filled());
            chart.draw_series([body]).map_err(fail)?;
            let dash = PathElement::new([(left, close), (right, close)], color);
            chart.draw_series([dash]).map_err(fail)?;
        }
    }
    let overlays = lines.iter().filter(|(_, over, _)| *over).enumerate();
    for (index, (.., lines)) in overlays {
        for points in lines {
            let style = LINES[index % LINES.len()].stroke_width(1);
            chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(fail)?;
        }
    }
    let room = (high - low) * 0.02;
    for candle in &layout.candles {
        let at = (candle.x, candle.ohlc[2] - room);
        if candle.restated {
            chart.draw_series([TriangleMarker::new(at, 5, RED.filled())]).map_err(fail)?;
        }
        if candle.incomplete {
            chart.draw_series([Cross::new((candle.x, candle.ohlc[1] + room), 4, RED)]).map_err(fail)?;
        }
        if candle.open {
            chart.draw_series([Circle::new((candle.x, candle.ohlc[1] + room), 3, GREY)]).map_err(fail)?;
        }
    }
    // The last price, at the right.
    if let Some(last) = layout.candles.last() {
        let close = last.ohlc[3];
        let (_, y) = chart.plotting_area().map_coordinate(&(layout.width, close));
        let y = y - area.get_base_pixel().1;
        let x = area.dim_in_pixel().0 as i32 - RIGHT as i32 + 3;
        let color = if close >= last.ohlc[0] { UP } else { DOWN };
        area.draw(&Rectangle::new([(x, y - 8), (x + RIGHT as i32 - 6, y + 8)], color.filled()))
            .map_err(fail)?;
        let style = (FONT, 13).into_font().color(&WHITE);
        area.draw(&Text::new(format!("{close:.2}"), (x + 4, y - 5), style)).map_err(fail)?;
    }
    Ok(())
}

/// Room for labels at the left and for the last price at the right, in pixels.
const LEFT: u32 = 62;
const RIGHT: u32 = 58;

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
    axis: &TimeAxis,
    layout: &Layout,
    labels: bool,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let most = layout.candles.iter().map(|candle| candle.volume).fold(0.0, f64::max).max(1e-9);
    let mut chart = ChartBuilder::on(area)
        .margin_right(RIGHT)
        .margin_top(8)
        .y_label_area_size(LEFT)
        .x_label_area_size(if labels { 24 } else { 0 })
        .build_cartesian_2d(axis.clone(), 0.0..most * 1.05)
        .map_err(fail)?;
    mesh(&mut chart, 3, &short)?;
    let slot = f64::from(area.dim_in_pixel().0.saturating_sub(LEFT + RIGHT)) / layout.width.max(1.0);
    for candle in &layout.candles {
        let color = if candle.ohlc[3] >= candle.ohlc[0] { UP } else { DOWN };
        // A rectangle narrower than a pixel would not be drawn at all.
        if slot >= 2.0 {
            let (left, right) = (candle.x - 0.35, candle.x + 0.35);
            let column = Rectangle::new([(left, 0.0), (right, candle.volume)], color.mix(0.7).filled());
            chart.draw_series([column]).map_err(fail)?;
        } else {
            let column = PathElement::new([(candle.x, 0.0), (candle.x, candle.volume)], color);
            chart.draw_series([column]).map_err(fail)?;
        }
    }
    name(area, "volume", INK)
}

fn name<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, text: &str, color: RGBColor) -> Result<()>
where
    DB::ErrorType: 'static,
{
    area.draw(&Text::new(text.to_owned(), (70, 4), (FONT, 12).into_font().color(&color))).map_err(fail)
}

type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<TimeAxis, plotters::coord::types::RangedCoordf64>>;

fn mesh<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    lines: usize,
    format: &dyn Fn(f64) -> String,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let value = |y: &f64| format(*y);
    chart
        .configure_mesh()
        .y_labels(lines)
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .y_label_formatter(&value)
        .label_style((FONT, 12).into_font().color(&INK))
        .draw()
        .map_err(fail)
}

fn oscillator<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    axis: &TimeAxis,
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
        .margin_right(RIGHT)
        .margin_top(8)
        .y_label_area_size(LEFT)
        .x_label_area_size(if labels { 24 } else { 0 })
        .build_cartesian_2d(axis.clone(), low..high)
        .map_err(fail)?;
    mesh(&mut chart, 3, &|y| {
        if rsi { format!("{y:.0}") } else { format!("{y:.3}") }
    })?;
    if rsi {
        for level in [30.0, 70.0] {
            let line = PathElement::new([(-1.0, level), (axis.width, level)], INK.mix(0.4));
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
