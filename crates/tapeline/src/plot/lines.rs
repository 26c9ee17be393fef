//! Bars of readings: the mean as a line, lowest to highest value as a band. Both end where readings are missing.

use super::axis::{Slot, TimeAxis, ticks};
use super::legend::{self, Entry, Mark};
use super::page::{Panel, PanelLine};
use super::{FAINT, FONT, INK, LINES, Picture, bounds, css, fail};
use crate::time_input::Zone;
use market::bar::{Bar, Values};
use market::time::SECOND;
use market::{Price, UnixNanos};
use plotters::coord::Shift;
use plotters::prelude::*;
use ports::Result;

/// Two bars this many times further apart than usual have missing readings between them.
const MISSING: i64 = 3;
const COLOR: RGBColor = LINES[5];

/// The bars of one series on one feed.
pub(crate) struct ReadingSeries {
    pub(crate) title: String,
    /// The zone of the labels.
    pub(crate) zone: Zone,
    /// Unit of the values; empty if unknown.
    pub(crate) unit: String,
    /// In order of their start.
    pub(crate) bars: Vec<Bar>,
}

/// One chart below the other.
pub(crate) struct ReadingLines {
    pub(crate) series: Vec<ReadingSeries>,
}

/// A bar at its position.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    /// Intervals since the first bar.
    x: f64,
    start: UnixNanos,
    min: f64,
    mean: f64,
    max: f64,
}

impl Picture for ReadingLines {
    fn title(&self) -> String {
        self.series.iter().map(|series| series.title.as_str()).collect::<Vec<_>>().join("; ")
    }

    fn panels(&self) -> Vec<Panel> {
        self.series.iter().map(ReadingSeries::panel).collect()
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(fail)?;
        for (series, part) in self.series.iter().zip(area.split_evenly((self.series.len().max(1), 1))) {
            series.draw(&part)?;
        }
        Ok(())
    }
}

impl ReadingSeries {
    fn points(&self) -> Vec<Point> {
        let origin = self.bars.first().map_or(0, |bar| bar.start.0);
        let mut out = Vec::new();
        for bar in &self.bars {
            let Values::Readings(values) = &bar.values else { continue };
            let [_, max, min, _] = values.first_max_min_last.map(Price::to_f64);
            let mean = values.mean().map_or((min + max) / 2.0, Price::to_f64);
            let width = bar.interval.nanos().unwrap_or(market::time::DAY).max(1);
            let x = (bar.start.0 - origin) as f64 / width as f64;
            out.push(Point { x, start: bar.start, min, mean, max });
        }
        out
    }

    fn panel(&self) -> Panel {
        let points = self.points();
        let length = bounds(points.iter().flat_map(|point| [point.min, point.max]), 0.0);
        let line = |name: &str, is_thin, value: fn(&Point) -> f64| PanelLine {
            name: name.to_owned(),
            color: css(COLOR),
            pane: 0,
            is_thin,
            points: points.iter().map(|point| (point.start.0.div_euclid(SECOND), value(point))).collect(),
        };
        Panel {
            title: self.title.clone(),
            zone: self.zone.name().to_owned(),
            is_daily: self.bars.first().is_some_and(|bar| bar.interval.is_day()),
            decimals: decimals(length.map_or(1.0, |(low, high)| high - low)) + 1,
            unit: self.unit.clone(),
            bars: Vec::new(),
            lines: vec![
                line("highest", true, |point| point.max),
                line("mean", false, |point| point.mean),
                line("lowest", true, |point| point.min),
            ],
        }
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        let entry = |mark, text: &str| Entry { mark, text: text.to_owned(), color: COLOR };
        let entries = [entry(Mark::Line, "mean"), entry(Mark::Patch, "lowest to highest")];
        let (width, _) = area.dim_in_pixel();
        let above = legend::HEIGHT * legend::lines(&self.title, &entries, width as i32);
        let (head, below) = area.split_vertically(above);
        legend::draw(&head, &self.title, &entries)?;
        let points = self.points();
        let values = points.iter().flat_map(|point| [point.min, point.max]);
        let (low, high) = bounds(values, 0.05).unwrap_or((0.0, 1.0));
        let slots: Vec<Slot> = points.iter().map(|point| (point.x, point.start)).collect();
        let is_daily = self.bars.first().is_some_and(|bar| bar.interval.is_day());
        let last = points.last().map_or(0.0, |point| point.x) + 1.0;
        let axis = TimeAxis { ticks: ticks(&slots, &self.zone, is_daily, f64::from(width)), width: last };
        let mut chart = ChartBuilder::on(&below)
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(72)
            .build_cartesian_2d(axis, low..high)
            .map_err(fail)?;
        let decimals = decimals(high - low);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(FAINT)
            .y_desc(self.unit.clone())
            .y_label_formatter(&|value| format!("{value:.decimals$}"))
            .label_style((FONT, 12).into_font().color(&INK))
            .draw()
            .map_err(fail)?;
        for run in runs(&points) {
            let outline = outline(run);
            chart
                .draw_series(std::iter::once(Polygon::new(outline, COLOR.mix(0.25).filled())))
                .map_err(fail)?;
            let [first, .., last] = run else {
                let at = run.iter().map(|point| Circle::new((point.x, point.mean), 2, COLOR.filled()));
                chart.draw_series(at).map_err(fail)?;
                continue;
            };
            debug_assert!(first.x < last.x);
            let line = run.iter().map(|point| (point.x, point.mean));
            chart.draw_series(LineSeries::new(line, COLOR.stroke_width(2))).map_err(fail)?;
        }
        Ok(())
    }
}

/// Decimals of labels for an axis of this length.
fn decimals(length: f64) -> usize {
    (2.0 - length.max(1e-9).log10()).clamp(0.0, 9.0) as usize
}

/// The bars between which no readings are missing.
fn runs(points: &[Point]) -> impl Iterator<Item = &[Point]> {
    let mut steps: Vec<i64> = points.windows(2).map(|pair| pair[1].start.0 - pair[0].start.0).collect();
    steps.sort_unstable();
    let usual = steps.get(steps.len() / 2).copied().unwrap_or(i64::MAX);
    let apart = usual.saturating_mul(MISSING);
    points.chunk_by(move |a, b| b.start.0 - a.start.0 <= apart)
}

/// Along the highest values and back along the lowest. A single bar is half a slot wide on either side.
fn outline(run: &[Point]) -> Vec<(f64, f64)> {
    if let [point] = run {
        let (left, right) = (point.x - 0.5, point.x + 0.5);
        return vec![(left, point.max), (right, point.max), (right, point.min), (left, point.min)];
    }
    let upper = run.iter().map(|point| (point.x, point.max));
    upper.chain(run.iter().rev().map(|point| (point.x, point.min))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(minute: i64) -> Point {
        let start = UnixNanos(minute * market::interval::MINUTE);
        Point { x: minute as f64, start, min: 1.0, mean: 2.0, max: 4.0 }
    }

    #[test]
    fn a_line_ends_where_readings_are_missing() {
        let lengths = |minutes: &[i64]| -> Vec<usize> {
            let points: Vec<Point> = minutes.iter().map(|minute| point(*minute)).collect();
            runs(&points).map(<[Point]>::len).collect()
        };
        assert_eq!(lengths(&[0, 1, 2, 3, 7, 8]), [4, 2]);
        // A sensor that reports every five minutes has no gaps in bars of a minute.
        assert_eq!(lengths(&[0, 5, 10, 15, 25, 30, 60]), [6, 1]);
        assert_eq!(lengths(&[3]), [1]);
        assert_eq!(lengths(&[]), [0; 0]);
    }

    #[test]
    fn the_band_encloses_the_line() {
        let run = [point(0), point(1)];
        assert_eq!(outline(&run), [(0.0, 4.0), (1.0, 4.0), (1.0, 1.0), (0.0, 1.0)]);
        assert_eq!(outline(&run[..1]), [(-0.5, 4.0), (0.5, 4.0), (0.5, 1.0), (-0.5, 1.0)]);
    }

    #[test]
    fn labels_have_the_decimals_that_distinguish_them() {
        assert_eq!([250.0, 30.0, 3.0, 0.2, 0.0].map(decimals), [0, 0, 1, 2, 9]);
    }
}
