//! The page: embedded files, known by name. No path of the file system is ever made from a request.

use crate::app::App;
use crate::http::reply::tagged;
use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The library of the charts: TradingView's Lightweight Charts, an ECMAScript module.
pub const CHARTS: &str = include_str!("../assets/vendor/lightweight-charts.js");
/// Its licence, which must accompany it.
pub const CHARTS_LICENSE: &str = include_str!("../assets/vendor/LICENSE");
/// Its notice, which must be shown where it is used.
pub const CHARTS_NOTICE: &str = include_str!("../assets/vendor/NOTICE");

/// Path, content type and content of each file.
macro_rules! assets {
    ($(($path:literal, $kind:expr, $file:literal)),* $(,)?) => {
        const ASSETS: &[(&str, &str, &[u8])] = &[$(($path, $kind, include_bytes!(concat!("../assets/", $file)))),*];
    };
}

assets! {
    ("/", HTML, "index.html"),
    ("/app.css", CSS, "app.css"),
    ("/icon.svg", "image/svg+xml", "icon.svg"),
    ("/js/main.js", SCRIPT, "js/main.js"),
    ("/js/api.js", SCRIPT, "js/api.js"),
    ("/js/live.js", SCRIPT, "js/live.js"),
    ("/js/dom.js", SCRIPT, "js/dom.js"),
    ("/js/format.js", SCRIPT, "js/format.js"),
    ("/js/route.js", SCRIPT, "js/route.js"),
    ("/js/theme.js", SCRIPT, "js/theme.js"),
    ("/js/market.js", SCRIPT, "js/market.js"),
    ("/js/watchlist.js", SCRIPT, "js/watchlist.js"),
    ("/js/chart.js", SCRIPT, "js/chart.js"),
    ("/js/bar-chart.js", SCRIPT, "js/bar-chart.js"),
    ("/js/chart-data.js", SCRIPT, "js/chart-data.js"),
    ("/js/cursor.js", SCRIPT, "js/cursor.js"),
    ("/js/indicators.js", SCRIPT, "js/indicators.js"),
    ("/js/tape.js", SCRIPT, "js/tape.js"),
    ("/js/explain.js", SCRIPT, "js/explain.js"),
    ("/js/proof.js", SCRIPT, "js/proof.js"),
    ("/js/pipeline.js", SCRIPT, "js/pipeline.js"),
    ("/js/alerts.js", SCRIPT, "js/alerts.js"),
    ("/js/alert-rules.js", SCRIPT, "js/alert-rules.js"),
    ("/js/bar-alerts.js", SCRIPT, "js/bar-alerts.js"),
    ("/js/silences.js", SCRIPT, "js/silences.js"),
    ("/js/forecasts.js", SCRIPT, "js/forecasts.js"),
    ("/js/readings.js", SCRIPT, "js/readings.js"),
    ("/js/reading-chart.js", SCRIPT, "js/reading-chart.js"),
    ("/vendor/lightweight-charts.js", SCRIPT, "vendor/lightweight-charts.js"),
    ("/vendor/LICENSE", TEXT, "vendor/LICENSE"),
    ("/vendor/NOTICE", TEXT, "vendor/NOTICE"),
}

pub(crate) fn routes() -> Router<App> {
    let mut router = Router::new();
    for (path, kind, content) in ASSETS {
        let asset = move |headers: HeaderMap| async move { asset(&headers, kind, content) };
        router = router.route(path, get(asset));
    }
    router
}

fn asset(headers: &HeaderMap, kind: &'static str, content: &'static [u8]) -> Response {
    tagged(headers, kind, content.to_vec())
}
