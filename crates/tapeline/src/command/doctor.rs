//! `tapeline doctor`: walks the whole path of a record and names the first broken link of each port.

use crate::cli::Shape;
use crate::context::Context;
use crate::output::{Out, printable, table, thousands};
use clap::Args;
use ports::Result;
use ports::check::{Chain, Link, Status};
use ports::topic::{Names, PartitionLag, Topics};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use tapeline::open;

/// Exit code: a server cannot be reached.
const AWAY: u8 = 4;
/// How long the flow of messages is observed.
const WATCHED: Duration = Duration::from_secs(2);
/// Maximum length of a line from data, in characters.
const DETAIL: usize = 600;

#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorOptions {
    /// How to print
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    format: Shape,
}

/// The links of one port.
#[derive(Debug, Serialize)]
struct Section {
    port: &'static str,
    what: String,
    links: Vec<Link>,
}

pub(crate) fn run(context: &Context, options: &DoctorOptions) -> Result<ExitCode> {
    let sections = examine(context);
    let failed: Vec<&Link> = sections
        .iter()
        .flat_map(|section| &section.links)
        .filter(|link| link.status == Status::Failed)
        .collect();
    let mut out = Out::new();
    match options.format {
        Shape::Json => {
            let report = serde_json::json!({ "healthy": failed.is_empty(), "ports": sections });
            out.put(&format!("{report}\n"))?;
        }
        Shape::Table => {
            out.put(&lines(&sections))?;
        }
    }
    out.end()?;
    // Waiting can help where a server cannot be reached; anything else has to be corrected first.
    Ok(match failed.as_slice() {
        [] => ExitCode::SUCCESS,
        failed if failed.iter().all(|link| link.away) => ExitCode::from(AWAY),
        _ => ExitCode::FAILURE,
    })
}

fn examine(context: &Context) -> Vec<Section> {
    let (config, names) = (&context.config, open::names(&context.config));
    let section = |port, what: &str, chain: Chain| Section {
        port,
        what: printable(what, DETAIL),
        links: chain.links(),
    };
    let refused = |error: &ports::Error| {
        let mut chain = Chain::new();
        chain.fail("settings", error);
        chain
    };
    let source = if config.source.url.is_empty() {
        let mut chain = Chain::new();
        chain.warn("settings", "no source is set, so only topic and store are checked", "--source URL");
        chain
    } else {
        open::source(config).map_or_else(|error| refused(&error), |source| source.check())
    };
    // A URL may contain a key: the source's display name omits it.
    let scheme = config.source.url.split(['?', '#']).next().unwrap_or_default();
    let mut sections = vec![section("source", scheme, source)];
    let topics = open::topics(config, &context.stop);
    let group = &config.topic.group;
    let topic = topics.as_ref().map_or_else(refused, |topics| topics.check(&names, group));
    let holds = topic.holds();
    sections.push(section("topic", &config.topic.url, topic));
    let store = open::store(config).map_or_else(|error| refused(&error), |store| store.check());
    sections.push(section("store", &config.store.url, store));
    if let (Ok(topics), true) = (&topics, holds) {
        sections.push(section("flow", &format!("group {group}"), flow(context, &**topics, &names, group)));
    }
    sections
}

/// Whether messages arrive and are stored, from two samples of the offsets.
fn flow(context: &Context, topics: &dyn Topics, names: &Names, group: &str) -> Chain {
    let mut chain = Chain::new();
    let look = || topics.partition_lag(group, &names.all_records());
    let looks = look().and_then(|before| {
        context.stop.sleep(WATCHED);
        Ok((before, look()?))
    });
    match looks {
        Ok((before, after)) => judge(&mut chain, &before, &after),
        Err(error) => chain.fail("messages", &error),
    }
    chain
}

fn judge(chain: &mut Chain, before: &[PartitionLag], after: &[PartitionLag]) {
    let sum = |of: &[PartitionLag], value: fn(&PartitionLag) -> i64| of.iter().map(value).sum::<i64>();
    let grown =
        |value: fn(&PartitionLag) -> i64| u64::try_from(sum(after, value) - sum(before, value)).unwrap_or(0);
    let (arrived, stored) = (grown(|p| p.end), grown(|p| p.committed.unwrap_or(p.start)));
    let lag: u64 = after.iter().map(PartitionLag::lag).sum();
    let in_all = u64::try_from(sum(after, |p| p.end - p.start)).unwrap_or(0);
    let seconds = WATCHED.as_secs();
    let summary = format!(
        "within {seconds} s {} messages arrived and {} were stored; {} wait",
        thousands(arrived),
        thousands(stored),
        thousands(lag)
    );
    if in_all == 0 {
        chain.warn("messages", "the topics are empty", "tapeline produce --source URL");
    } else if lag > 0 && stored == 0 {
        chain.warn(
            "messages",
            summary,
            "is a consumer running? tapeline consume; its log (--log info) says what it waits for",
        );
    } else {
        chain.ok("messages", summary);
    }
}

fn lines(sections: &[Section]) -> String {
    let mut rows = Vec::new();
    for section in sections {
        for link in &section.links {
            let status = match link.status {
                Status::Ok => "ok",
                Status::Warning => "warning",
                Status::Failed => "FAILED",
            };
            rows.push(vec![
                section.port.to_owned(),
                link.name.to_owned(),
                status.to_owned(),
                printable(&link.detail, DETAIL),
            ]);
            if let Some(next) = &link.next {
                rows.push(vec![String::new(), String::new(), String::new(), format!("next: {next}")]);
            }
        }
    }
    let count = |status| {
        sections.iter().flat_map(|section| &section.links).filter(|link| link.status == status).count()
    };
    let (failed, warnings) = (count(Status::Failed), count(Status::Warning));
    format!("{}{failed} failed, {warnings} warnings\n", table(&rows, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(committed: Option<i64>, end: i64) -> PartitionLag {
        PartitionLag { topic: "t".to_owned(), partition: 0, committed, start: 0, end }
    }

    #[test]
    fn messages_flow_or_wait() {
        let judged = |before: PartitionLag, after: PartitionLag| {
            let mut chain = Chain::new();
            judge(&mut chain, &[before], &[after]);
            chain.links().remove(0)
        };
        assert_eq!(judged(part(Some(5), 10), part(Some(9), 12)).status, Status::Ok);
        assert_eq!(judged(part(Some(10), 10), part(Some(10), 10)).status, Status::Ok);
        let stalled = judged(part(Some(5), 10), part(Some(5), 1_012));
        assert!(
            stalled.status == Status::Warning
                && stalled.detail.contains("1,002 messages arrived and 0 were stored; 1,007 wait"),
            "{stalled:?}"
        );
        assert_eq!(judged(part(None, 0), part(None, 0)).detail, "the topics are empty");
    }
}
