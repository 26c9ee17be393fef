//! Plots as a page: one HTML file with everything in it, which loads nothing and needs no server.
//!
//! Candles and readings are drawn by the charts of the dashboard, to zoom, scroll and point at; the other plots are the SVG,
//! with the values of what is pointed at.

mod candles;

use super::hover::HoverArea;
use serde_json::{Value, json};
use std::fmt::Write;

pub(super) use candles::candles;

const HTML: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// One chart of a page.
#[derive(Debug, Default)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// IANA name of the zone of the times.
    pub(crate) zone: String,
    pub(crate) is_daily: bool,
    /// Decimals of prices or values.
    pub(crate) decimals: usize,
    pub(crate) unit: String,
    pub(crate) bars: Vec<PanelBar>,
    pub(crate) lines: Vec<PanelLine>,
}

/// A candle and its volume.
#[derive(Debug)]
pub(crate) struct PanelBar {
    /// Start, seconds since 1970.
    pub(crate) time: i64,
    pub(crate) ohlc: [f64; 4],
    pub(crate) volume: f64,
    /// Remarks, as `incomplete`; empty for most.
    pub(crate) notes: String,
}

/// A line over the candles, or in a pane below them.
#[derive(Debug)]
pub(crate) struct PanelLine {
    pub(crate) name: String,
    pub(crate) color: String,
    /// Pane, from 0 at the top.
    pub(crate) pane: usize,
    pub(crate) is_thin: bool,
    pub(crate) points: Vec<(i64, f64)>,
}

impl Panel {
    fn json(&self) -> Value {
        let bars = self.bars.iter().map(|bar| json!([bar.time, bar.ohlc, bar.volume, bar.notes]));
        let lines = self.lines.iter().map(|line| {
            json!({ "name": line.name, "color": line.color, "pane": line.pane, "thin": line.is_thin, "points": line.points })
        });
        json!({
            "title": self.title,
            "zone": self.zone,
            "daily": self.is_daily,
            "decimals": self.decimals,
            "unit": self.unit,
            "bars": bars.collect::<Vec<_>>(),
            "lines": lines.collect::<Vec<_>>(),
        })
    }
}

/// A page of interactive charts.
pub(super) fn charts(title: &str, panels: &[Panel]) -> String {
    let data = Value::from(panels.iter().map(Panel::json).collect::<Vec<_>>());
    // `</script>` in a symbol would end the element.
    let data = data.to_string().replace('<', "\\u003c");
    let script = format!("{}\n{SCRIPT}", library());
    let license = format!(
        "<footer>{}, <a href=\"https://www.tradingview.com/\">tradingview.com</a>, under the Apache License 2.0: \
         <details><summary>licence</summary><pre>{}</pre></details></footer>",
        escaped(server::CHARTS_NOTICE.trim()),
        escaped(server::CHARTS_LICENSE)
    );
    let body = format!(
        "<main id=\"charts\"></main>\n<script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{script}\n</script>\n{license}"
    );
    filled(title, &body)
}

/// A page of one SVG, on which `areas` say what they show.
pub(super) fn picture(title: &str, svg: &str, areas: &[HoverArea]) -> String {
    let mut shapes = String::new();
    for HoverArea { x, y, width, height, text } in areas {
        // Writing to a String does not fail.
        let _ = writeln!(
            shapes,
            "<rect class=\"hover\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><title>{}</title></rect>",
            escaped(text)
        );
    }
    let svg = svg.replacen("</svg>", &format!("{shapes}</svg>"), 1);
    filled(title, &format!("<main class=\"picture\">{svg}</main>"))
}

fn filled(title: &str, body: &str) -> String {
    HTML.replacen("{title}", &escaped(title), 1).replacen("{body}", body, 1)
}

/// The charts' library as a script: what the module exports becomes an object.
fn library() -> String {
    let (code, exports) = server::CHARTS.rsplit_once("export{").unwrap_or((server::CHARTS, ""));
    let exports = exports.split('}').next().unwrap_or_default();
    let members: Vec<String> = exports
        .split(',')
        .filter_map(|export| export.split_once(" as "))
        .map(|(name, exported)| format!("{exported}:{name}"))
        .collect();
    format!("const LightweightCharts=(()=>{{{code}\nreturn {{{}}};}})();", members.join(","))
}

/// Text in HTML and SVG.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_cannot_leave_its_place() {
        let panel = Panel { title: "</script><b>".to_owned(), ..Panel::default() };
        let page = charts("a \"<b>\" & c", &[panel]);
        assert!(page.contains("<title>a &quot;&lt;b&gt;&quot; &amp; c</title>"));
        assert!(page.contains(r#""title":"\u003c/script>\u003cb>""#));
        assert!(!page.contains("</script><b>"));
    }

    #[test]
    fn the_library_is_a_script() {
        let library = library();
        assert!(!library.contains("export{") && library.contains("createChart:"), "{}", &library[..200]);
    }
}
