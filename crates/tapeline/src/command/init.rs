//! `tapeline init`: topics, keyspace and tables.

use crate::context::Context;
use crate::output::is_quiet;
use crate::print;
use ports::Result;
use std::process::ExitCode;
use tapeline::open;

pub(crate) fn run(context: &Context) -> Result<ExitCode> {
    let config = &context.config;
    let topics = open::topics(config, &context.stop)?;
    let store = open::store(config)?;
    println!("{}", topics.describe());
    let created = context.retry_short(|| topics.init(&open::names(config).specs(config.topic.partitions)))?;
    for line in &created {
        println!("  {line}");
    }
    println!("{}", store.describe());
    let tables = context.retry_short(|| store.init())?;
    for line in &tables {
        println!("  {line}");
    }
    print::json(|| {
        serde_json::json!({
            "topic": { "url": topics.describe(), "changes": created },
            "store": { "url": store.describe(), "changes": tables },
        })
    });
    if !is_quiet() {
        println!(
            "next: tapeline run --source 'tape:DIR' --topic {} --store {}",
            topics.describe(),
            store.describe()
        );
    }
    Ok(ExitCode::SUCCESS)
}
