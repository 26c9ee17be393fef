//! Candles with volume and indicators, one column per symbol. Restated, unfinished and incomplete bars are
//! marked, and so are times within a session without a bar.

use super::axis::{self, TimeAxis};
use super::legend::{self, Entry, Mark};
use super::page::{self, Panel};
use super::panes::{EXTENDED, GREY, LEFT, RED, RIGHT, oscillator, prices, volume};
use super::range::PriceRange;
use super::series::{Candle, Layout, Lines, Slots};
use super::{LINES, Picture, fail};
use plotters::coord::Shift;
use plotters::prelude::*;
use ports::Result;

pub(crate) use super::series::{Series, is_regular};

pub(crate) struct Candles {
    pub(crate) series: Vec<Series>,
}

impl Candles {
    /// One line for each indicator without a value, because it needs more bars than there are.
    pub(crate) fn without_values(&self) -> Vec<String> {
        let mut out = Vec::new();
        for series in &self.series {
            for (name, _, lines) in series.lines(&series.layout(&series.slots())) {
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

impl Picture for Candles {
    fn title(&self) -> String {
        self.series.iter().map(|series| series.title.as_str()).collect::<Vec<_>>().join("; ")
    }

    fn panels(&self) -> Vec<Panel> {
        self.series.iter().map(page::candles).collect()
    }

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
        let shared = self.shared_slots();
        for (panel, series) in area.split_evenly((rows, columns)).iter().zip(&self.series) {
            let own = if shared.is_none() { series.slots() } else { Slots::default() };
            let slots = shared.as_ref().unwrap_or(&own);
            let layout = series.layout(slots);
            let range = self.range_of_symbol(series).or_else(|| PriceRange::of(&layout.candles));
            column(panel, series, slots, &layout, range)?;
        }
        Ok(())
    }
}

impl Candles {
    /// One time axis for all, if their bars are of one calendar and interval.
    fn shared_slots(&self) -> Option<Slots> {
        let first = self.series.first()?;
        let (calendar, interval) = (first.calendar, first.interval()?);
        let is_same = |series: &Series| {
            series.calendar.name() == calendar.name() && series.interval() == Some(interval)
        };
        let starts = self.series.iter().flat_map(Series::starts);
        (self.series.len() > 1 && self.series.iter().all(is_same))
            .then(|| Slots::new(calendar, interval, starts))
    }

    /// One price axis for the feeds of one symbol.
    fn range_of_symbol(&self, series: &Series) -> Option<PriceRange> {
        let symbol = |series: &Series| series.bars.first().map(|bar| bar.symbol.clone());
        let mut candles = Vec::new();
        let mut feeds = 0;
        for other in self.series.iter().filter(|other| symbol(other) == symbol(series)) {
            feeds += 1;
            candles.extend(other.layout(&other.slots()).candles);
        }
        if feeds > 1 { PriceRange::of(&candles) } else { None }
    }
}

fn column<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    series: &Series,
    slots: &Slots,
    layout: &Layout,
    range: Option<PriceRange>,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let lines = series.lines(layout);
    let below = lines.iter().filter(|(_, over, _)| !over).count() as i32;
    let height = area.dim_in_pixel().1 as i32;
    let lower = ((height - 40) * 16 / 100).max(60);
    let entries = entries(layout, &lines, range.as_ref());
    let width = area.dim_in_pixel().0 as i32;
    let head_height =
        legend::HEIGHT + (legend::lines(&series.title, &entries, width) - 1) * (legend::HEIGHT - 8);
    let (head, body) = area.split_vertically(head_height);
    legend::draw(&head, &series.title, &entries)?;
    let axis = TimeAxis {
        ticks: axis::ticks(
            &slots.starts(),
            &series.zone,
            series.bars.first().is_some_and(|bar| bar.interval.is_day()),
            f64::from(width - (LEFT + RIGHT) as i32),
        ),
        width: slots.width,
    };
    let top = height - head_height - lower * (1 + below);
    let (price, mut rest) = body.split_vertically(top);
    if let Some(range) = &range {
        prices(&price, &axis, (layout, &slots.sessions), &lines, range)?;
    }
    let (volume_area, left) = rest.split_vertically(lower);
    volume(&volume_area, &axis, layout, below == 0)?;
    rest = left;
    let over = lines.len() - below as usize;
    for (index, (name, _, lines)) in lines.iter().filter(|(_, over, _)| !over).enumerate() {
        let (panel, left) = rest.split_vertically(lower);
        oscillator(&panel, &axis, name, lines, over + index, index as i32 + 1 == below)?;
        rest = left;
    }
    Ok(())
}

fn entries(layout: &Layout, lines: &[Lines], range: Option<&PriceRange>) -> Vec<Entry> {
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
        (
            count(&|candle| range.is_some_and(|range| range.is_cut(candle))),
            Mark::Arrow,
            "beyond the axis",
            RED,
        ),
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
