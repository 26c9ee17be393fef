//! Distribution of returns, and correlations between symbols.

use super::{DOWN, FAINT, FONT, HoverArea, INK, LINES, Picture, UP, fail};
use market::returns::{Moments, moments};
use plotters::coord::Shift;
use plotters::prelude::*;
use ports::Result;
use std::cell::RefCell;

/// Histograms of returns, one panel per symbol, all with the same axes.
pub(crate) struct Returns {
    /// Title and returns.
    pub(crate) series: Vec<(String, Vec<f64>)>,
    areas: RefCell<Vec<HoverArea>>,
}

impl Returns {
    pub(crate) fn new(series: Vec<(String, Vec<f64>)>) -> Self {
        Self { series, areas: RefCell::default() }
    }
}

impl Picture for Returns {
    fn title(&self) -> String {
        let titles: Vec<&str> = self.series.iter().map(|(title, _)| title.as_str()).collect();
        format!("Bar-to-bar returns of {}", titles.join("; "))
    }

    fn areas(&self) -> Vec<HoverArea> {
        self.areas.borrow().clone()
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(fail)?;
        let columns = if self.series.len() > 2 { 2 } else { self.series.len().max(1) };
        let rows = self.series.len().div_ceil(columns).max(1);
        self.areas.borrow_mut().clear();
        let all: Vec<Option<Histogram>> =
            self.series.iter().map(|(_, returns)| Histogram::new(returns)).collect();
        // They are compared: the widest and the highest set the axes of all.
        let known = || all.iter().flatten();
        let reach = known().fold((0.0_f64, 0.0_f64), |(low, high), it| (low.min(it.low), high.max(it.high)));
        let share = known().map(Histogram::most).fold(0.0, f64::max);
        for ((panel, (title, _)), histogram) in
            area.split_evenly((rows, columns)).iter().zip(&self.series).zip(&all)
        {
            match histogram {
                Some(histogram) => {
                    histogram.draw(panel, title, (reach, share), &mut self.areas.borrow_mut())?;
                }
                None => {
                    let text = format!("{title}: fewer than two different returns");
                    panel
                        .draw(&Text::new(text, (12, 10), (FONT, 16).into_font().color(&INK)))
                        .map_err(fail)?;
                }
            }
        }
        Ok(())
    }
}

/// Bins by the rule of Freedman and Diaconis (1981): 2 * IQR / n^(1/3) wide; 10 to 120 of them.
fn bins(returns: &[f64], low: f64, high: f64) -> usize {
    let mut sorted = returns.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let width = 2.0 * (at(0.75) - at(0.25)) / (sorted.len() as f64).cbrt();
    if width > 0.0 { ((high - low) / width).ceil().clamp(10.0, 120.0) as usize } else { 40 }
}

/// The bins of one series.
struct Histogram {
    moments: Moments,
    low: f64,
    high: f64,
    width: f64,
    heights: Vec<u32>,
    /// Returns of 0, in the bin that begins there.
    unchanged: usize,
    /// Returns outside of the bins, which the outermost count.
    beyond: usize,
}

impl Histogram {
    fn new(returns: &[f64]) -> Option<Self> {
        let moments = moments(returns)?;
        // Outliers would leave no room for the rest: they are counted in the outermost bins.
        let reach = 5.0 * moments.deviation;
        let (low, high) = (moments.mean - reach, moments.mean + reach);
        let width = (high - low) / bins(returns, low, high) as f64;
        // 0 is the edge of a bin: no bin holds losses and gains.
        let (low, high) = ((low / width).floor() * width, (high / width).ceil() * width);
        let count = ((high - low) / width).round() as usize;
        let beyond = returns.iter().filter(|value| !(low..high).contains(*value)).count();
        let unchanged = returns.iter().filter(|value| **value == 0.0).count();
        let mut heights = vec![0_u32; count];
        for value in returns {
            let bin = ((value - low) / width).floor().clamp(0.0, count as f64 - 1.0) as usize;
            heights[bin] += 1;
        }
        Some(Self { moments, low, high, width, heights, unchanged, beyond })
    }

    /// Height of the normal distribution with the same moments, in bars of a bin.
    fn normal(&self, x: f64) -> f64 {
        let z = (x - self.moments.mean) / self.moments.deviation;
        self.moments.count as f64 * self.width * (-z * z / 2.0).exp()
            / (self.moments.deviation * (2.0 * std::f64::consts::PI).sqrt())
    }

    fn most(&self) -> f64 {
        f64::from(self.heights.iter().copied().max().unwrap_or(1)).max(self.normal(self.moments.mean)) * 1.08
    }

    /// Draws it on axes that are `reach` wide and `most` high.
    fn draw<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        title: &str,
        ((from, to), most): ((f64, f64), f64),
        areas: &mut Vec<HoverArea>,
    ) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        let Self { moments, low, high, width, .. } = self;
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(title, (FONT, 16).into_font().color(&INK))
            .x_label_area_size(34)
            .y_label_area_size(52)
            .build_cartesian_2d(from * 1e4..to * 1e4, 0.0..most)
            .map_err(fail)?;
        let fine = (to - from) * 1e4 < 10.0;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(FAINT)
            .x_desc("bar-to-bar return, basis points")
            .y_desc("bars")
            .y_label_formatter(&|y| format!("{y:.0}"))
            .x_label_formatter(&|x| if fine { format!("{x:.1}") } else { format!("{x:.0}") })
            .label_style((FONT, 12).into_font().color(&INK))
            .draw()
            .map_err(fail)?;
        for (bin, height) in self.heights.iter().enumerate() {
            let left = (low + bin as f64 * width) * 1e4;
            let right = left + width * 1e4;
            let color = if left + width * 5e3 < 0.0 { DOWN } else { UP };
            let column = Rectangle::new([(left, 0.0), (right, f64::from(*height))], color.mix(0.75).filled());
            chart.draw_series([column]).map_err(fail)?;
            let corner = chart.plotting_area().map_coordinate(&(left, most));
            let foot = chart.plotting_area().map_coordinate(&(right, 0.0));
            areas.push(HoverArea {
                x: corner.0,
                y: corner.1,
                width: (foot.0 - corner.0).max(1),
                height: foot.1 - corner.1,
                text: format!("{left:.2} to {right:.2} bp: {height} returns"),
            });
        }
        let curve =
            (0..=200).map(|i| low + (high - low) * f64::from(i) / 200.0).map(|x| (x * 1e4, self.normal(x)));
        chart.draw_series(LineSeries::new(curve, LINES[0].stroke_width(2))).map_err(fail)?;
        let mut lines = vec![
            format!("{} returns", moments.count),
            format!("mean {:.3} bp", moments.mean * 1e4),
            format!("deviation {:.2} bp", moments.deviation * 1e4),
            format!("skewness {:.2}", moments.skewness),
            format!("excess kurtosis {:.1}", moments.kurtosis),
            format!("{} unchanged, right of 0", self.unchanged),
            format!("bins of {:.2} bp", width * 1e4),
            "line: normal distribution".to_owned(),
        ];
        if self.beyond > 0 {
            lines.push(format!("{} beyond the edges, in the", self.beyond));
            lines.push("outermost bins".to_owned());
        }
        for (index, line) in lines.into_iter().enumerate() {
            let at = (area.dim_in_pixel().0 as i32 - 190, 44 + index as i32 * 16);
            area.draw(&Text::new(line, at, (FONT, 13).into_font().color(&INK))).map_err(fail)?;
        }
        Ok(())
    }
}

/// Correlations of returns: `values[row][column]`, `None` if there are too few common bars.
pub(crate) struct Correlation {
    pub(crate) title: String,
    pub(crate) symbols: Vec<String>,
    pub(crate) values: Vec<Vec<Option<f64>>>,
    /// Of how many pairs of returns each is.
    pub(crate) pairs: Vec<Vec<usize>>,
    pub(crate) areas: RefCell<Vec<HoverArea>>,
}

/// White at 0, one hue up to 1, the other down to -1.
fn shade(value: f64) -> RGBColor {
    let RGBColor(r, g, b) = if value >= 0.0 { UP } else { DOWN };
    let mix = |channel: u8| (255.0 + (f64::from(channel) - 255.0) * value.abs().min(1.0)) as u8;
    RGBColor(mix(r), mix(g), mix(b))
}

impl Picture for Correlation {
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
        let mut areas = self.areas.borrow_mut();
        areas.clear();
        let text = |size: i32| (FONT, size).into_font().color(&INK);
        area.draw(&Text::new(self.title.clone(), (16, 12), text(17))).map_err(fail)?;
        let (width, height) = area.dim_in_pixel();
        let count = self.symbols.len().max(1) as i32;
        let cell = ((height as i32 - 110) / count).min((width as i32 - 220) / count).max(8);
        let (left, top) = (110, 60);
        for (row, name) in self.symbols.iter().enumerate() {
            let y = top + row as i32 * cell;
            area.draw(&Text::new(name.clone(), (20, y + cell / 2 - 7), text(14))).map_err(fail)?;
            let x = left + row as i32 * cell;
            area.draw(&Text::new(name.clone(), (x + cell / 2 - 14, top - 20), text(14))).map_err(fail)?;
            for (column, value) in self.values[row].iter().enumerate() {
                let x = left + column as i32 * cell;
                let color = value.map_or(FAINT, shade);
                let shown = value.map_or_else(|| "too few".to_owned(), |value| format!("{value:.4}"));
                let other = &self.symbols[column];
                let meaning = format!("{name} and {other}: {shown}, n = {}", self.pairs[row][column]);
                areas.push(HoverArea { x, y, width: cell - 2, height: cell - 2, text: meaning });
                area.draw(&Rectangle::new([(x, y), (x + cell - 2, y + cell - 2)], color.filled()))
                    .map_err(fail)?;
                if cell >= 34 {
                    let shown = value.map_or_else(|| "too few".to_owned(), |value| format!("{value:.2}"));
                    let at = (x + cell / 2 - 14, y + cell / 2 - 7);
                    area.draw(&Text::new(shown, at, text(14))).map_err(fail)?;
                }
                if cell >= 60 {
                    let at = (x + cell / 2 - 18, y + cell / 2 + 10);
                    let pairs = format!("n = {}", self.pairs[row][column]);
                    area.draw(&Text::new(pairs, at, text(11))).map_err(fail)?;
                }
            }
        }
        // The color scale next to it.
        let x = left + count * cell + 30;
        let tall = count * cell - 2;
        for step in 0..tall {
            let value = 1.0 - 2.0 * f64::from(step) / f64::from(tall.max(1));
            area.draw(&Rectangle::new(
                [(x, top + step), (x + 16, top + (step + 2).min(tall))],
                shade(value).filled(),
            ))
            .map_err(fail)?;
        }
        for (share, name) in [(0.0, "1"), (0.5, "0"), (1.0, "-1")] {
            let y = top + (f64::from(tall) * share) as i32 - 7;
            area.draw(&Text::new(name, (x + 22, y), text(13))).map_err(fail)?;
        }
        Ok(())
    }
}
