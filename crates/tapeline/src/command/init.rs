//! `tapeline init`: topics, keyspace and tables.

use crate::context::Context;
use ports::Result;
use std::process::ExitCode;
use tapeline::open;

pub(crate) fn run(context: &Context) -> Result<ExitCode> {
    let config = &context.config;
    let topics = open::topics(config, &context.stop)?;
    let store = open::store(config)?;
    println!("{}", topics.describe());
    for line in context.retry_short(|| topics.init(&open::names(config).specs(config.topic.partitions)))? {
        println!("  {line}");
    }
    println!("{}", store.describe());
    for line in context.retry_short(|| store.init())? {
        println!("  {line}");
    }
    println!(
        "next: tapeline run --source 'tape:DIR' --topic {} --store {}",
        topics.describe(),
        store.describe()
    );
    Ok(ExitCode::SUCCESS)
}
