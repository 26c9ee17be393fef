//! Distribution of returns, and correlations between symbols.

use super::{DOWN, FAINT, FONT, INK, LINES, Picture, UP, fail};
use market::returns::{Moments, moments};
use plotters::coord::Shift;
use plotters::prelude::*;
use ports::Result;

/// Histograms of returns, one panel per symbol.
pub(crate) struct Returns {
    /// Title and returns.
    pub(crate) series: Vec<(String, Vec<f64>)>,
}

impl Picture for Returns {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(fail)?;
        let columns = if self.series.len() > 2 { 2 } else { self.series.len().max(1) };
        let rows = self.series.len().div_ceil(columns).max(1);
        for (panel, (title, returns)) in area.split_evenly((rows, columns)).iter().zip(&self.series) {
            match moments(returns) {
                Some(moments) => histogram(panel, title, returns, &moments)?,
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

fn histogram<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    title: &str,
    returns: &[f64],
    moments: &Moments,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    // Outliers would leave no room for the rest: they are counted in the outermost bins.
    let reach = 5.0 * moments.deviation;
    let (low, high) = (moments.mean - reach, moments.mean + reach);
    let count = bins(returns, low, high);
    let width = (high - low) / count as f64;
    let mut heights = vec![0_u32; count];
    for value in returns {
        let bin = ((value - low) / width).floor().clamp(0.0, count as f64 - 1.0) as usize;
        heights[bin] += 1;
    }
    let normal = |x: f64| {
        let z = (x - moments.mean) / moments.deviation;
        moments.count as f64 * width * (-z * z / 2.0).exp()
            / (moments.deviation * (2.0 * std::f64::consts::PI).sqrt())
    };
    let most = f64::from(heights.iter().copied().max().unwrap_or(1)).max(normal(moments.mean)) * 1.08;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(title, (FONT, 16).into_font().color(&INK))
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(low * 1e4..high * 1e4, 0.0..most)
        .map_err(fail)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .x_desc("bar-to-bar return, basis points")
        .y_desc("bars")
        .y_label_formatter(&|y| format!("{y:.0}"))
        .x_label_formatter(&|x| if width * 1e4 < 0.2 { format!("{x:.1}") } else { format!("{x:.0}") })
        .label_style((FONT, 12).into_font().color(&INK))
        .draw()
        .map_err(fail)?;
    let columns = heights.iter().enumerate().map(|(bin, height)| {
        let from = (low + bin as f64 * width) * 1e4;
        let color = if from + width * 5e3 < 0.0 { DOWN } else { UP };
        Rectangle::new([(from, 0.0), (from + width * 1e4, f64::from(*height))], color.mix(0.75).filled())
    });
    chart.draw_series(columns).map_err(fail)?;
    let curve = (0..=200).map(|i| low + (high - low) * f64::from(i) / 200.0).map(|x| (x * 1e4, normal(x)));
    chart.draw_series(LineSeries::new(curve, LINES[0].stroke_width(2))).map_err(fail)?;
    let lines = [
        format!("{} returns", moments.count),
        format!("mean {:.3} bp", moments.mean * 1e4),
        format!("deviation {:.2} bp", moments.deviation * 1e4),
        format!("skewness {:.2}", moments.skewness),
        format!("excess kurtosis {:.1}", moments.kurtosis),
        "line: normal distribution".to_owned(),
    ];
    for (index, line) in lines.into_iter().enumerate() {
        let at = (area.dim_in_pixel().0 as i32 - 190, 44 + index as i32 * 16);
        area.draw(&Text::new(line, at, (FONT, 13).into_font().color(&INK))).map_err(fail)?;
    }
    Ok(())
}

/// Correlations of returns: `values[row][column]`, `None` if there are too few common bars.
pub(crate) struct Correlation {
    pub(crate) title: String,
    pub(crate) symbols: Vec<String>,
    pub(crate) values: Vec<Vec<Option<f64>>>,
}

/// White at 0, one hue up to 1, the other down to -1.
fn shade(value: f64) -> RGBColor {
    let RGBColor(r, g, b) = if value >= 0.0 { UP } else { DOWN };
    let mix = |channel: u8| (255.0 + (f64::from(channel) - 255.0) * value.abs().min(1.0)) as u8;
    RGBColor(mix(r), mix(g), mix(b))
}

impl Picture for Correlation {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(fail)?;
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
                area.draw(&Rectangle::new([(x, y), (x + cell - 2, y + cell - 2)], color.filled()))
                    .map_err(fail)?;
                if cell >= 34 {
                    let shown = value.map_or_else(|| "too few".to_owned(), |value| format!("{value:.2}"));
                    let at = (x + cell / 2 - 14, y + cell / 2 - 7);
                    area.draw(&Text::new(shown, at, text(14))).map_err(fail)?;
                }
            }
        }
        // The color scale next to it.
        let x = left + count * cell + 30;
        let tall = count * cell - 2;
        for step in 0..tall {
            let value = 1.0 - 2.0 * f64::from(step) / f64::from(tall.max(1));
            area.draw(&Rectangle::new([(x, top + step), (x + 16, top + step + 1)], shade(value).filled()))
                .map_err(fail)?;
        }
        for (share, name) in [(0.0, "1"), (0.5, "0"), (1.0, "-1")] {
            let y = top + (f64::from(tall) * share) as i32 - 7;
            area.draw(&Text::new(name, (x + 22, y), text(13))).map_err(fail)?;
        }
        Ok(())
    }
}
