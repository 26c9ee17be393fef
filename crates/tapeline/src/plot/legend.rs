//! The line above a chart: title, indicators and marks. Marks are drawn, for no font has all of them.

use super::{FONT, INK, fail};
use plotters::coord::Shift;
use plotters::prelude::*;
use ports::Result;

/// What stands before an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Triangle,
    Arrow,
    Circle,
    Cross,
    Patch,
}

/// An entry of the legend.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) mark: Mark,
    pub(super) text: String,
    pub(super) color: RGBColor,
}

/// Height of the line, in pixels.
pub(super) const HEIGHT: i32 = 28;

/// Draws title and entries from left to right; entries that do not fit go to a second line.
pub(super) fn draw<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    title: &str,
    entries: &[Entry],
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let size = |text: &str, size: i32| {
        let measured = area.estimate_text_size(text, &(FONT, size).into_font().into_text_style(area));
        measured.map(|(width, _)| width as i32).map_err(fail)
    };
    area.draw(&Text::new(title.to_owned(), (12, 8), (FONT, 16).into_font().color(&INK))).map_err(fail)?;
    let mut x = 12 + size(title, 16)? + 18;
    let mut y = 10;
    let width = area.dim_in_pixel().0 as i32;
    for Entry { mark, text, color } in entries {
        let wide = 18 + size(text, 13)? + 14;
        if x + wide > width && x > 30 {
            (x, y) = (12, y + HEIGHT - 8);
        }
        symbol(area, *mark, (x + 6, y + 6), *color)?;
        let style = (FONT, 13).into_font().color(color);
        area.draw(&Text::new(text.clone(), (x + 16, y), style)).map_err(fail)?;
        x += wide;
    }
    Ok(())
}

/// The lines that the entries take.
pub(super) fn lines(title: &str, entries: &[Entry], width: i32) -> i32 {
    // Glyphs of the font are 0.6 of its height wide at most, on average.
    let mut x = 30 + title.chars().count() as i32 * 9;
    let mut lines = 1;
    for entry in entries {
        let wide = 32 + entry.text.chars().count() as i32 * 8;
        if x + wide > width {
            lines += 1;
            x = 12;
        }
        x += wide;
    }
    lines
}

fn symbol<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    mark: Mark,
    (x, y): (i32, i32),
    color: RGBColor,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    match mark {
        Mark::Line => area.draw(&PathElement::new([(x - 5, y), (x + 5, y)], color.stroke_width(2))),
        Mark::Triangle => area.draw(&TriangleMarker::new((x, y + 1), 5, color.filled())),
        Mark::Arrow => {
            let tip = vec![(x, y + 5), (x - 4, y - 4), (x + 4, y - 4)];
            area.draw(&Polygon::new(tip, color.filled()))
        }
        Mark::Circle => area.draw(&Circle::new((x, y), 3, color)),
        Mark::Cross => area.draw(&Cross::new((x, y), 4, color)),
        Mark::Patch => area.draw(&Rectangle::new([(x - 5, y - 5), (x + 5, y + 5)], color.mix(0.35).filled())),
    }
    .map_err(fail)
}
