//! `tapeline serve`: the dashboard and the REST API.

use super::monitor::Watched;
use super::verify;
use crate::cli::ServeOptions;
use crate::context::Context;
use crate::print;
use crate::time_input::Zone;
use market::UnixNanos;
use ports::telemetry::Telemetry;
use ports::{CancelToken, Error, Result};
use server::settings::Limits;
use server::{Engines, Server, ServerSettings, Verify};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tapeline::config::Config;
use tapeline::open;

pub(crate) fn run(context: &Context, options: &ServeOptions) -> Result<ExitCode> {
    start(context, &context.config, options, None)?.join()?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the server and prints its address. `telemetry` is that of the run loops in this process.
pub(crate) fn start(
    context: &Context,
    config: &Config,
    options: &ServeOptions,
    telemetry: Option<Arc<Telemetry>>,
) -> Result<Server> {
    let topics = open::topics(config, &context.stop)?;
    if telemetry.is_some() {
        // The run loops of this process are about to create the topics: the reader need not report them
        // missing.
        crate::command::prepare::prepare(context, config, &*topics)?;
    }
    let own = telemetry.clone().unwrap_or_default();
    let probe = super::monitor::watch(config, &own, &context.stop, Watched::consumer(&config.topic.group))?;
    let engines = Engines {
        probe: Some(probe),
        topics: Arc::from(topics),
        names: open::names(config),
        store: Arc::from(open::store(config)?),
        telemetry,
        verify: Some(compare(context, config)),
        alerts: super::alert::log(config),
    };
    let server = Server::start(settings(config, options)?, engines, &context.stop)?;
    println!("dashboard: http://{}/", server.address());
    print::json(|| serde_json::json!({ "dashboard": format!("http://{}/", server.address()) }));
    Ok(server)
}

/// Keeps serving after the run loops of this process are done, until Ctrl-C.
pub(crate) fn until_stopped(context: &Context, server: Option<Server>) -> Result<()> {
    let Some(server) = server else { return Ok(()) };
    if !context.stop.is_cancelled() {
        println!("still serving http://{}/ until Ctrl-C", server.address());
    }
    server.join()
}

fn settings(config: &Config, options: &ServeOptions) -> Result<ServerSettings> {
    let serve = &config.serve;
    let listen = options.listen.as_ref().unwrap_or(&serve.listen);
    let mut settings = ServerSettings::new(listen, open::bars(config)?);
    serve.token.reveal().clone_into(&mut settings.token);
    settings.factors = (!serve.factors.is_empty()).then(|| PathBuf::from(&serve.factors));
    settings.groups = vec![config.topic.group.clone(), format!("{}-bars", config.topic.group)];
    settings.alerts = super::alert::served(config);
    let zone = Zone::parse(&serve.zone).map_err(|why| Error::user(format!("`serve.zone`: {why}")))?;
    zone.name().clone_into(&mut settings.zone);
    settings.limits = Limits {
        connections: serve.connections,
        streams: serve.streams,
        requests_per_second: serve.requests_per_second,
        burst: serve.burst,
        queries: serve.queries,
        query_deadline: serve.query_deadline,
        rows: serve.rows,
        io_timeout: serve.io_timeout,
        frame_every: serve.frame_interval,
    };
    Ok(settings)
}

/// "Verify now": runs the comparison of `tapeline verify`. A live source has no end: without a range it is compared over
/// what the store holds.
fn compare(context: &Context, config: &Config) -> Verify {
    let (context, config) = (context.clone(), config.clone());
    Arc::new(move |range: Range<UnixNanos>, _: &CancelToken| {
        let (mut from, mut to) = (range.start, range.end);
        let is_live = sources::live::open(&config.source).transpose()?.is_some();
        if is_live && from.0 == i64::MIN && to.0 == i64::MAX {
            let entries = open::store(&config)?.directory()?;
            from = entries.iter().map(|entry| entry.first).min().unwrap_or(from);
            to = entries
                .iter()
                .map(|entry| UnixNanos(entry.last.0.saturating_add(market::time::DAY)))
                .max()
                .unwrap_or(to);
        }
        Ok(verify::Proof::read(&context, &config, (from, to), None)?.into())
    })
}
