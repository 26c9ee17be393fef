//! What verbs that read a source have in common: the topic before, and what could not be read after.

use crate::context::Context;
use crate::output::thousands;
use ports::Result;
use ports::topic::Topics;
use tapeline::config::Config;
use tapeline::open;

/// Inputs of a source that could not be read to their end.
pub(super) fn incomplete(source: &str, inputs: &[String]) -> ports::Error {
    let first: Vec<&str> = inputs.iter().take(10).map(String::as_str).collect();
    let more = if inputs.len() > first.len() {
        format!("\n  and {} more", thousands((inputs.len() - first.len()) as u64))
    } else {
        String::new()
    };
    ports::Error::user(format!("incomplete source {source}\n  {}{more}", first.join("\n  ")))
        .hint("restore the input and run the same command again: only what is missing is added")
}

/// An embedded topic needs no `init`: its file is created here. Kafka topics are created only on request, and so are the schemas
/// of a registry: who only reads need not be allowed to.
pub(super) fn prepare(context: &Context, config: &Config, topics: &dyn Topics) -> Result<()> {
    if topics.describe().starts_with("sqlite:") {
        open::engine(config, &context.stop)?.init(&open::names(config).specs(config.topic.partitions))?;
        if config.topic.format.eq_ignore_ascii_case("json") {
            return Ok(());
        }
    }
    context.retry_long(|| topics.producer().map(drop))
}
