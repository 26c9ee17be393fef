//! Drawing with plotters, as SVG or PNG. Each plot is a file and does not know where its bars came from.

pub(crate) mod candles;
pub(crate) mod spread;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontStyle;
use ports::{Error, Result};
use std::path::Path;

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

/// Draws to a file; its extension selects the format.
pub(crate) fn save(picture: &impl Picture, out: &Path, size: &str) -> Result<()> {
    let bad =
        || Error::user(format!("--size: expected WIDTHxHEIGHT in pixels, 200 to 8000 each, found {size}"));
    let (width, height) = size.split_once('x').ok_or_else(bad)?;
    let side = |text: &str| text.parse::<u32>().ok().filter(|n| (200..=8_000).contains(n)).ok_or_else(bad);
    let size = (side(width)?, side(height)?);
    let name = out.to_string_lossy().to_ascii_lowercase();
    // PNG needs an embedded font. SVG uses the reader's, but captions are measured with this one.
    plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| Error::internal("the font cannot be read"))?;
    if name.ends_with(".svg") {
        let mut text = String::new();
        picture.draw(&SVGBackend::with_string(&mut text, size).into_drawing_area())?;
        return std::fs::write(out, text).map_err(ports::error::io("write", out));
    }
    if !name.ends_with(".png") {
        return Err(Error::user(format!("--out: expected a .svg or .png file, found {}", out.display())));
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
