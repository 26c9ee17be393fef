//! Drawing with plotters, as SVG or PNG, and as HTML. Each plot is a file and does not know where its bars came from.

mod axis;
pub(crate) mod candles;
pub(crate) mod fan;
mod hover;
mod legend;
pub(crate) mod lines;
mod page;
mod panes;
mod range;
mod series;
pub(crate) mod spread;

pub(crate) use hover::HoverArea;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontStyle;
use ports::{Error, Result};
use std::path::{Path, PathBuf};

/// Text of labels and titles.
pub(super) const FONT: &str = "sans-serif";
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
pub(super) const FAINT: RGBColor = RGBColor(225, 225, 225);
/// Colors of rising and falling bars, distinguishable with color blindness (ColorBrewer Dark2).
pub(super) const UP: RGBColor = RGBColor(27, 158, 119);
pub(super) const DOWN: RGBColor = RGBColor(217, 95, 2);
/// Colors of lines over the prices.
pub(super) const LINES: [RGBColor; 6] = [
    RGBColor(117, 112, 179),
    RGBColor(231, 41, 138),
    RGBColor(102, 166, 30),
    RGBColor(230, 171, 2),
    RGBColor(166, 118, 29),
    RGBColor(31, 120, 180),
];

/// Any failure of a drawing: the backend's own errors differ by type.
pub(super) fn fail(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("draw: {error}"))
}

/// What can be drawn on either backend.
pub(crate) trait Picture {
    /// What it shows, in one line.
    fn title(&self) -> String;

    /// The charts of a page; without any, the page is the picture.
    fn panels(&self) -> Vec<page::Panel> {
        Vec::new()
    }

    /// What its parts show, once it is drawn.
    fn areas(&self) -> Vec<HoverArea> {
        Vec::new()
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static;
}

/// Parses the name of a picture's file; its ending says how it is drawn.
pub(crate) fn out(text: &str) -> std::result::Result<PathBuf, String> {
    let name = text.to_ascii_lowercase();
    if [".svg", ".png", ".html"].iter().any(|ending| name.ends_with(ending)) {
        return Ok(PathBuf::from(text));
    }
    Err("expected a name ending in .svg, .png or .html".to_owned())
}

/// Parses `1280x720`.
pub(crate) fn size(text: &str) -> std::result::Result<(u32, u32), String> {
    let side = |text: &str| text.parse::<u32>().ok().filter(|n| (200..=8_000).contains(n));
    text.split_once('x')
        .and_then(|(width, height)| side(width).zip(side(height)))
        .ok_or_else(|| "expected WIDTHxHEIGHT in pixels, 200 to 8000 each".to_owned())
}

/// Draws to a file.
pub(crate) fn save(picture: &impl Picture, out: &Path, size: (u32, u32)) -> Result<()> {
    // A picture of points needs a font of its own. In SVG the reader's is used, but captions are measured with this.
    plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| Error::internal("the font cannot be read"))?;
    let name = out.to_string_lossy().to_ascii_lowercase();
    let write = |text: String| std::fs::write(out, text).map_err(ports::error::io("write", out));
    if name.ends_with(".svg") {
        return write(svg(picture, size)?);
    }
    if name.ends_with(".html") {
        let panels = picture.panels();
        let title = picture.title();
        return write(if panels.is_empty() {
            let drawn = svg(picture, size)?;
            page::picture(&title, &drawn, &picture.areas())
        } else {
            page::charts(&title, &panels)
        });
    }
    let area = BitMapBackend::new(out, size).into_drawing_area();
    picture.draw(&area)?;
    area.present().map_err(|error| Error::user(format!("write {}: {error}", out.display())))
}

/// Draws as SVG, whose title is read to those who do not see it.
fn svg(picture: &impl Picture, size: (u32, u32)) -> Result<String> {
    let mut text = String::new();
    picture.draw(&SVGBackend::with_string(&mut text, size).into_drawing_area())?;
    let title = page::escaped(&picture.title());
    let text = text.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1);
    Ok(text.replacen('>', &format!(">\n<title>{title}</title>"), 1))
}

/// `#1b9e77`.
pub(super) fn css(color: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", color.0, color.1, color.2)
}

/// Decimals that tell the labels of an axis of this length apart, at least two.
pub(super) fn price_decimals(length: f64) -> usize {
    (-(length / 8.0).max(1e-12).log10()).ceil().clamp(2.0, 12.0) as usize
}

/// The lowest and highest of some values, with a margin; `None` without values.
pub(super) fn bounds(values: impl Iterator<Item = f64>, room: f64) -> Option<(f64, f64)> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        (low, high) = (low.min(value), high.max(value));
    }
    (low <= high).then(|| {
        let margin = if high > low { (high - low) * room } else { (high.abs() * 0.01).max(0.01) };
        (low - margin, high + margin)
    })
}
