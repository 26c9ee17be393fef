//! Candles, volume and indicators as a chart of a page.

use super::{Panel, PanelBar, PanelLine};
use crate::plot::series::Series;
use crate::plot::{LINES, bounds, css, price_decimals};
use market::bar::{Bar, Values};
use market::interval::Interval;
use std::collections::BTreeMap;

/// The chart of a page.
pub(in crate::plot) fn candles(series: &Series) -> Panel {
    let layout = series.layout(&series.slots());
    let traded = series.bars.iter().filter(|bar| matches!(bar.values, Values::Trades(_)));
    let seconds = |bar: &Bar| bar.start.0.div_euclid(market::time::SECOND);
    let (mut bars, mut times) = (Vec::new(), BTreeMap::new());
    for (bar, candle) in traded.zip(&layout.candles) {
        let is_extended = layout.extended.iter().any(|(from, to)| (*from..*to).contains(&candle.x));
        let mut notes = Vec::new();
        if bar.revision > 0 {
            notes.push(format!("restated {} times", bar.revision));
        }
        for (is_so, note) in [
            (candle.open, "not final"),
            (candle.incomplete, "incomplete"),
            (is_extended, "outside regular hours"),
        ] {
            if is_so {
                notes.push(note.to_owned());
            }
        }
        let (time, notes) = (seconds(bar), notes.join(", "));
        times.insert(candle.x as i64, time);
        bars.push(PanelBar { time, ohlc: candle.ohlc, volume: candle.volume, notes });
    }
    let (mut lines, mut pane) = (Vec::new(), 0);
    for (index, (name, over, found)) in series.lines(&layout).into_iter().enumerate() {
        pane += usize::from(!over);
        for (part, points) in found.into_iter().enumerate() {
            let color = LINES[(index + if over { 0 } else { part }) % LINES.len()];
            let at = |(x, value): (f64, f64)| times.get(&(x as i64)).map(|time| (*time, value));
            lines.push(PanelLine {
                name: name.clone(),
                color: css(color),
                pane: if over { 0 } else { pane },
                is_thin: true,
                points: points.into_iter().filter_map(at).collect(),
            });
        }
    }
    let length = bounds(layout.candles.iter().flat_map(|candle| candle.ohlc), 0.0);
    Panel {
        title: series.title.clone(),
        zone: series.zone.name().to_owned(),
        is_daily: series.interval().is_some_and(Interval::is_day),
        decimals: length.map_or(2, |(low, high)| price_decimals(high - low)),
        unit: String::new(),
        bars,
        lines,
    }
}
