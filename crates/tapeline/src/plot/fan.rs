//! Closes, the fan of a forecast of the return, and how the forecasts before it did.

use super::axis::{Slot, TimeAxis, ticks};
use super::{FAINT, FONT, HoverArea, INK, LINES, Picture, bounds, fail};
use crate::time_input::Zone;
use market::UnixNanos;
use plotters::coord::Shift;
use plotters::prelude::*;
use ports::Result;
use std::cell::RefCell;

/// Opacity of the areas, from the widest interval to the narrowest; they lie over each other.
const SHADES: [f64; 3] = [0.18, 0.22, 0.3];
/// Height of a line of the record, pixels.
const LINE: i32 = 17;

/// The forecast of one horizon, as prices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FanStep {
    pub(crate) horizon: usize,
    pub(crate) point: f64,
    /// Lower and upper end of the 50, 80 and 90 % interval.
    pub(crate) bounds: Option<[[f64; 2]; 3]>,
}

/// A forecast and what came before.
pub(crate) struct Fan {
    pub(crate) title: String,
    pub(crate) zone: Zone,
    pub(crate) is_daily: bool,
    /// Start and close of the bars up to that of the forecast.
    pub(crate) closes: Vec<(UnixNanos, f64)>,
    /// Ascending horizons.
    pub(crate) steps: Vec<FanStep>,
    /// The track record in words.
    pub(crate) record: Vec<String>,
    pub(crate) areas: RefCell<Vec<HoverArea>>,
}

impl Picture for Fan {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn areas(&self) -> Vec<HoverArea> {
        self.areas.borrow().clone()
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(fail)?;
        let (width, height) = area.dim_in_pixel();
        let below = LINE * i32::try_from(self.record.len()).unwrap_or(0) + 12;
        let (chart, words) = area.split_vertically((height as i32 - below).max(LINE));
        self.chart(&chart, f64::from(width))?;
        for (index, line) in self.record.iter().enumerate() {
            let at = (12, index as i32 * LINE);
            words.draw(&Text::new(line.clone(), at, (FONT, 13).into_font().color(&INK))).map_err(fail)?;
        }
        Ok(())
    }
}

impl Fan {
    fn chart<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pixels: f64) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        let origin = self.closes.len().saturating_sub(1) as f64;
        let last = self.steps.last().map_or(0, |step| step.horizon) as f64;
        let ends = self.steps.iter().flat_map(|step| step.bounds.iter().flatten().flatten().copied());
        let points = self.steps.iter().map(|step| step.point);
        let closes = self.closes.iter().map(|(_, close)| *close);
        let (low, high) = bounds(closes.chain(points).chain(ends), 0.06).unwrap_or((0.0, 1.0));
        let slots: Vec<Slot> =
            self.closes.iter().enumerate().map(|(index, (start, _))| (index as f64, *start)).collect();
        let width = origin + last + 1.0;
        let share = self.closes.len() as f64 / width.max(1.0);
        let axis = TimeAxis { ticks: ticks(&slots, &self.zone, self.is_daily, pixels * share), width };
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(&self.title, (FONT, 16).into_font().color(&INK))
            .x_label_area_size(30)
            .y_label_area_size(64)
            .build_cartesian_2d(axis, low..high)
            .map_err(fail)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(FAINT)
            .y_label_formatter(&|price| format!("{price:.2}"))
            .label_style((FONT, 12).into_font().color(&INK))
            .draw()
            .map_err(fail)?;
        let start = (origin, self.closes.last().map_or(0.0, |(_, close)| *close));
        for (level, shade) in (0..3).rev().zip(SHADES) {
            let Some(outline) = self.outline(level, start) else { continue };
            chart
                .draw_series(std::iter::once(Polygon::new(outline, LINES[5].mix(shade).filled())))
                .map_err(fail)?;
        }
        let past = self.closes.iter().enumerate().map(|(index, (_, close))| (index as f64, *close));
        chart.draw_series(LineSeries::new(past, INK.stroke_width(2))).map_err(fail)?;
        let ahead = self.steps.iter().map(|step| (origin + step.horizon as f64, step.point));
        let path = std::iter::once(start).chain(ahead);
        chart.draw_series(LineSeries::new(path, LINES[1].stroke_width(2))).map_err(fail)?;
        let mut areas = self.areas.borrow_mut();
        areas.clear();
        let mut note = |x: f64, text: String| {
            let [left, right] =
                [(x - 0.5, high), (x + 0.5, low)].map(|at| chart.plotting_area().map_coordinate(&at));
            let (width, height) = ((right.0 - left.0).max(1), right.1 - left.1);
            areas.push(HoverArea { x: left.0, y: left.1, width, height, text });
        };
        for (index, (start, close)) in self.closes.iter().enumerate() {
            note(index as f64, format!("{}: close {close:.4}", self.zone.write(*start, 0)));
        }
        for step in &self.steps {
            let levels = step.bounds.iter().flatten().zip(["50", "80", "90"]);
            let levels: Vec<String> =
                levels.map(|([low, high], name)| format!("{name} %: {low:.4} to {high:.4}")).collect();
            let point = format!("{} ahead: {:.4}", step.horizon, step.point);
            note(origin + step.horizon as f64, [vec![point], levels].concat().join("\n"));
        }
        Ok(())
    }

    /// From the close along the upper ends and back along the lower ones; `None` without intervals.
    fn outline(&self, level: usize, start: (f64, f64)) -> Option<Vec<(f64, f64)>> {
        let side = |side: usize| -> Option<Vec<(f64, f64)>> {
            let end = |step: &FanStep| Some((start.0 + step.horizon as f64, step.bounds?[level][side]));
            self.steps.iter().map(end).collect()
        };
        let mut outline = vec![start];
        outline.extend(side(1)?);
        outline.extend(side(0)?.into_iter().rev());
        Some(outline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_of_an_interval_starts_and_ends_at_the_close() {
        let step = |horizon, reach| FanStep {
            horizon,
            point: 100.0,
            bounds: Some([[100.0 - reach, 100.0 + reach]; 3]),
        };
        let mut fan = Fan {
            title: String::new(),
            zone: Zone::utc(),
            is_daily: false,
            closes: vec![(UnixNanos(0), 99.0), (UnixNanos(1), 100.0)],
            steps: vec![step(1, 1.0), step(5, 2.0)],
            record: Vec::new(),
            areas: RefCell::default(),
        };
        let outline = fan.outline(0, (1.0, 100.0)).unwrap();
        assert_eq!(outline, [(1.0, 100.0), (2.0, 101.0), (6.0, 102.0), (6.0, 98.0), (2.0, 99.0)]);
        fan.steps[1].bounds = None;
        assert_eq!(fan.outline(0, (1.0, 100.0)), None);
    }
}
