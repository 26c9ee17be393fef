//! The panes of candles: prices, volume, and an indicator each below.

use super::axis::TimeAxis;
use super::range::PriceRange;
use super::series::{Layout, Lines};
use super::{DOWN, FAINT, FONT, INK, LINES, UP, bounds, fail, price_decimals};
use plotters::coord::Shift;
use plotters::prelude::*;
use ports::Result;

pub(super) const RED: RGBColor = RGBColor(200, 0, 0);
pub(super) const GREY: RGBColor = RGBColor(120, 120, 120);
/// Outside regular hours.
pub(super) const EXTENDED: RGBColor = RGBColor(90, 110, 160);

pub(super) fn prices<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    axis: &TimeAxis,
    (layout, sessions): (&Layout, &[f64]),
    lines: &[Lines],
    range: &PriceRange,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let drawn = lines.iter().filter(|(_, over, _)| *over).flat_map(|(.., lines)| lines.iter().flatten());
    // Indicators may lie outside of the candles, but not by so much that these become flat.
    let length = range.high - range.low;
    let drawn = drawn.map(|(_, y)| y.clamp(range.low - length / 2.0, range.high + length / 2.0));
    let Some((low, high)) = bounds([range.low, range.high].into_iter().chain(drawn), 0.06) else {
        return Ok(());
    };
    let within = |price: f64| price.clamp(low, high);
    let decimals = price_decimals(high - low);
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
        .y_label_formatter(&|y| format!("{y:.decimals$}"))
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
    for x in sessions {
        chart.draw_series([PathElement::new([(*x, low), (*x, high)], INK.mix(0.35))]).map_err(fail)?;
    }
    let slot = f64::from(area.dim_in_pixel().0.saturating_sub(LEFT + RIGHT)) / axis.width.max(1.0);
    for candle in &layout.candles {
        let [open, top, bottom, close] = candle.ohlc.map(within);
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
            chart
                .draw_series(LineSeries::new(points.iter().map(|(x, y)| (*x, within(*y))), style))
                .map_err(fail)?;
        }
    }
    let room = (high - low) * 0.02;
    for candle in &layout.candles {
        let at = (candle.x, within(candle.ohlc[2]) - room);
        if candle.restated {
            chart.draw_series([TriangleMarker::new(at, 5, RED.filled())]).map_err(fail)?;
        }
        if candle.incomplete {
            chart
                .draw_series([Cross::new((candle.x, within(candle.ohlc[1]) + room), 4, RED)])
                .map_err(fail)?;
        }
        if candle.open {
            chart
                .draw_series([Circle::new((candle.x, within(candle.ohlc[1]) + room), 3, GREY)])
                .map_err(fail)?;
        }
    }
    // A price beyond the axis is an arrow at its edge, with the price.
    for candle in layout.candles.iter().filter(|candle| range.is_cut(candle)) {
        let [_, top, bottom, _] = candle.ohlc;
        for (price, edge, down) in [(top, high, -1), (bottom, low, 1)] {
            if !(low..=high).contains(&price) {
                let at = chart.plotting_area().map_coordinate(&(candle.x, edge));
                let (x, y) = (at.0 - area.get_base_pixel().0, at.1 - area.get_base_pixel().1);
                let tip = [(x, y), (x - 5, y - 9 * down), (x + 5, y - 9 * down)];
                area.draw(&Polygon::new(tip.to_vec(), RED.filled())).map_err(fail)?;
                let style = (FONT, 12).into_font().color(&RED);
                let label = (x + 8, if down == 1 { y - 14 } else { y + 2 });
                area.draw(&Text::new(format!("{price:.decimals$}"), label, style)).map_err(fail)?;
            }
        }
    }
    // The last price, at the right.
    if let Some(last) = layout.candles.last() {
        let close = last.ohlc[3];
        let (_, y) = chart.plotting_area().map_coordinate(&(axis.width, within(close)));
        let y = y - area.get_base_pixel().1;
        let x = area.dim_in_pixel().0 as i32 - RIGHT as i32 + 3;
        let color = if close >= last.ohlc[0] { UP } else { DOWN };
        area.draw(&Rectangle::new([(x, y - 8), (x + RIGHT as i32 - 6, y + 8)], color.filled()))
            .map_err(fail)?;
        let style = (FONT, 13).into_font().color(&WHITE);
        area.draw(&Text::new(format!("{close:.decimals$}"), (x + 4, y - 5), style)).map_err(fail)?;
    }
    Ok(())
}

/// Room for labels at the left and for the last price at the right, in pixels.
pub(super) const LEFT: u32 = 62;
pub(super) const RIGHT: u32 = 58;

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => format!("{:.1}B", value / 1e9),
        v if v >= 1e6 => format!("{:.1}M", value / 1e6),
        v if v >= 1e3 => format!("{:.0}k", value / 1e3),
        v if v >= 1.0 || v == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.3}"),
    }
}

pub(super) fn volume<DB: DrawingBackend>(
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
    let slot = f64::from(area.dim_in_pixel().0.saturating_sub(LEFT + RIGHT)) / axis.width.max(1.0);
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

pub(super) fn oscillator<DB: DrawingBackend>(
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
