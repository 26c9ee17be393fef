//! Drawing with plotters, as SVG or PNG. Each plot is a file and does not know where its bars came from.

mod axis;
pub(crate) mod candles;
pub(crate) mod fan;
mod legend;
pub(crate) mod lines;
pub(crate) mod spread;

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
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<()>
    where
        DB::ErrorType: 'static;
}

/// Parses the name of a picture's file; its ending says how it is drawn.
pub(crate) fn out(text: &str) -> std::result::Result<PathBuf, String> {
    let name = text.to_ascii_lowercase();
    if name.ends_with(".svg") || name.ends_with(".png") {
        return Ok(PathBuf::from(text));
    }
    Err("expected a name ending in .svg or .png".to_owned())
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
    if out.to_string_lossy().to_ascii_lowercase().ends_with(".svg") {
        let mut text = String::new();
        picture.draw(&SVGBackend::with_string(&mut text, size).into_drawing_area())?;
        return std::fs::write(out, text).map_err(ports::error::io("write", out));
    }
    let area = BitMapBackend::new(out, size).into_drawing_area();
    picture.draw(&area)?;
    area.present().map_err(|error| Error::user(format!("write {}: {error}", out.display())))
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
