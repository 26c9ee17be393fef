//! Readings pushed over HTTP: lines in a request's body to the topic, answered once the topic has acknowledged them.

use crate::app::App;
use crate::http::params::Params;
use crate::http::problem::Problem;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use market::codec::json;
use market::codec::lines::mapping::Mapping;
use market::codec::lines::{LineDecoder, LineFormat};
use market::{Kind, Record};
use ports::clock;
use ports::dead_letter::{DeadLetter, Stage};
use ports::telemetry::KindCounts;
use ports::topic::{Message, Producer};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use utoipa::IntoParams;

/// Bytes of a request's body.
pub(crate) const BODY: usize = 8 << 20;
/// How long the topic may take to acknowledge a request's readings.
const FLUSH: Duration = Duration::from_secs(10);
/// Maximum number of reasons in a reply; the dead letters have them all.
const REASONS: usize = 10;

/// The options of the source `lines:`, by the same names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PushParams {
    /// `influx`, `ndjson`, `csv` (the first line is the header) or `bare`.
    format: String,
    /// Feed of the readings; `http` if absent.
    feed: Option<String>,
    /// Template of the series, as `{device}.{field}`.
    series: Option<String>,
    /// Name of the event time, or `receipt`. With `receipt` a request that is repeated makes further readings.
    time: Option<String>,
    /// `auto`, `ns`, `us`, `ms` or `s`.
    precision: Option<String>,
    /// Names of the values, separated by commas.
    value: Option<String>,
    /// Type of all values.
    r#type: Option<String>,
    /// Name of the device's sequence number.
    seq: Option<String>,
    /// Template of the unit.
    unit: Option<String>,
    /// Template of the quality.
    quality: Option<String>,
    /// Names of the tags.
    tags: Option<String>,
    /// One character, or `tab`.
    delimiter: Option<String>,
    /// Names of delimited columns, for lines without a header.
    columns: Option<String>,
}

impl PushParams {
    fn decoder(&self) -> Result<LineDecoder, Problem> {
        let bad = |name: &str, why: String| Problem::bad(format!("{name}: {why}"));
        let format: LineFormat = self.format.parse().map_err(|why| bad("format", why))?;
        let mut mapping = Mapping::new(format, self.feed.as_deref().unwrap_or("http"));
        for (name, value) in [
            ("series", &self.series),
            ("time", &self.time),
            ("precision", &self.precision),
            ("value", &self.value),
            ("type", &self.r#type),
            ("seq", &self.seq),
            ("unit", &self.unit),
            ("quality", &self.quality),
            ("tags", &self.tags),
            ("delimiter", &self.delimiter),
            ("columns", &self.columns),
        ] {
            if let Some(value) = value {
                mapping.set(name, value).map_err(|why| bad(name, why))?;
            }
        }
        LineDecoder::new(format, mapping).map_err(Problem::bad)
    }
}

/// The parameters of InfluxDB's `POST /api/v2/write`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteParams {
    /// The feed.
    bucket: String,
    /// Accepted and ignored, as is its id.
    #[serde(rename = "org")]
    _org: Option<String>,
    #[serde(rename = "orgID")]
    _org_id: Option<String>,
    /// `ns`, `us`, `ms` or `s`.
    precision: Option<String>,
}

/// What became of a body.
#[derive(Debug, Default)]
struct Pushed {
    readings: BTreeMap<String, u64>,
    dead_letters: u64,
    reasons: Vec<String>,
}

/// Publishes the readings of a body. Lines that are not readings become dead letters.
#[utoipa::path(post, path = "/api/v1/readings", params(PushParams), tag = "pipeline", request_body(content = String, content_type = "text/plain"),
    responses((status = 200, description = "Acknowledged by the topic: `readings`, `dead_letters`, and the first `reasons`"),
        (status = 403, body = Problem, description = "The server has no token"), (status = 413, body = Problem),
        (status = 503, body = Problem, description = "The topic did not acknowledge: send the body again")))]
pub(crate) async fn push(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<PushParams>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let pushed = accept(&app, &headers, params.decoder()?, body).await?;
    let readings: u64 = pushed.readings.values().sum();
    let value: Value =
        json!({ "readings": readings, "dead_letters": pushed.dead_letters, "reasons": pushed.reasons });
    Ok(axum::Json(value).into_response())
}

/// The same for clients of InfluxDB 2: line protocol, and its status codes.
pub(crate) async fn write(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<WriteParams>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let precision = params.precision.or_else(|| Some("ns".to_owned()));
    let own = PushParams {
        format: "influx".to_owned(),
        feed: Some(params.bucket),
        precision,
        ..PushParams::default()
    };
    let pushed = accept(&app, &headers, own.decoder()?, body).await?;
    if pushed.dead_letters == 0 {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // A partial write, in InfluxDB's words: its clients do not send such a body again.
    Err(Problem::bad(format!(
        "{} lines are not readings and are kept as dead letters, the others are accepted: {}",
        pushed.dead_letters,
        pushed.reasons.join("; ")
    )))
}

async fn accept(
    app: &App,
    headers: &HeaderMap,
    decoder: LineDecoder,
    body: Result<Bytes, BytesRejection>,
) -> Result<Pushed, Problem> {
    if app.settings.token.is_empty() {
        return Err(Problem::new(StatusCode::FORBIDDEN, "this server accepts no readings: it has no token")
            .hint("set TAPELINE__SERVE__TOKEN, and send it as `Authorization: Bearer TOKEN`"));
    }
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|value| *value != "identity") {
        let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content-encoding: expected none, found {encoding}"),
        )
        .hint("send the lines uncompressed; in Telegraf: content_encoding = \"identity\""));
    }
    let body = body.map_err(|rejection| {
        Problem::new(rejection.status(), format!("body of at most {BODY} bytes: {}", rejection.body_text()))
    })?;
    let text = String::from_utf8(body.into())
        .map_err(|error| Problem::bad(format!("body: expected UTF-8: {error}")))?;
    let limit = app.settings.limits.query_deadline;
    let Ok(writer) = tokio::time::timeout(limit, Arc::clone(&app.writer).lock_owned()).await else {
        let busy = "the topic is busy with other requests";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, busy).retry_after(2));
    };
    let app = app.clone();
    tokio::task::spawn_blocking(move || publish(&app, decoder, &text, writer))
        .await
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request ended unexpectedly"))?
}

fn publish(
    app: &App,
    mut decoder: LineDecoder,
    text: &str,
    mut writer: OwnedMutexGuard<Option<Box<dyn Producer>>>,
) -> Result<Pushed, Problem> {
    // A producer whose last request failed is not used again.
    let mut producer = match writer.take() {
        Some(producer) => producer,
        None => app.engines.topics.producer()?,
    };
    let pushed = send(app, &mut decoder, text, &mut *producer)?;
    let waiting = producer.flush(FLUSH)?;
    if waiting > 0 {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the topic has not acknowledged {waiting} messages within {} s", FLUSH.as_secs()),
        )
        .hint("send the same body again: readings with a time of their own count once")
        .retry_after(5));
    }
    *writer = Some(producer);
    if let Some(telemetry) = &app.engines.telemetry {
        let readings: u64 = pushed.readings.values().sum();
        telemetry.add(&telemetry.read, readings + pushed.dead_letters);
        telemetry.add(&telemetry.published, readings);
        let counts = pushed.readings.iter().map(|(series, count)| {
            let mut of_kind = KindCounts::default();
            of_kind[Kind::READING.index()] = *count;
            (series.clone(), of_kind)
        });
        telemetry.published_by(counts);
    }
    Ok(pushed)
}

/// Enqueues the readings of a text, and a dead letter for each line that is none.
fn send(
    app: &App,
    decoder: &mut LineDecoder,
    text: &str,
    producer: &mut dyn Producer,
) -> Result<Pushed, Problem> {
    let (topic, dead_letters) = (app.engines.names.records(Kind::READING), app.engines.names.dead_letters());
    let (mut pushed, mut payload, mut failed) = (Pushed::default(), Vec::new(), None);
    let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1_u64..);
    if decoder.expects_header() {
        let (header, _) = lines.next().ok_or_else(|| Problem::bad("the body is empty: expected a header"))?;
        decoder.header(header).map_err(|why| Problem::bad(format!("line 1: {why}")))?;
    }
    for (line, number) in lines {
        let mut reasons = Vec::new();
        decoder.line(line, clock::now(), &mut |reading| match reading {
            Ok(reading) if failed.is_none() => {
                payload.clear();
                json::encode(&Record::Reading(reading), &mut payload);
                let message = Message {
                    topic: &topic,
                    key: reading.series,
                    headers: &[],
                    payload: &payload,
                    stamp_ms: reading.recv_ts.millis(),
                };
                failed = producer.send(&message).err();
                *pushed.readings.entry(reading.series.to_owned()).or_default() += 1;
            }
            Ok(_) => {}
            Err(reason) => reasons.push(reason),
        });
        if let Some(error) = failed.take() {
            return Err(error.into());
        }
        for reason in reasons {
            if pushed.reasons.len() < REASONS {
                pushed.reasons.push(format!("line {number}: {reason}"));
            }
            let dead_letter = DeadLetter {
                stage: Stage::Source,
                origin: format!("http:{number}"),
                reason,
                kind: Kind::READING.name().to_owned(),
                raw: line.as_bytes().to_vec(),
                ..DeadLetter::default()
            };
            dead_letter.send(&dead_letters, producer)?;
            pushed.dead_letters += 1;
        }
    }
    Ok(pushed)
}
