//! `tapeline init`: topics, keyspace and tables.

use crate::context::Context;
use pipeline::{Result, engine};
use std::process::ExitCode;

pub(crate) fn run(context: &Context) -> Result<ExitCode> {
    let config = &context.config;
    let topics = engine::topics(config, &context.stop)?;
    let store = engine::store(config)?;
    println!("{}", topics.describe());
    for line in context.briefly(|| topics.init(&engine::names(config).specs(config.topic.partitions)))? {
        println!("  {line}");
    }
    println!("{}", store.describe());
    for line in context.briefly(|| store.init())? {
        println!("  {line}");
    }
    println!(
        "next: tapeline run --source 'tape:DIR' --topic {} --store {}",
        topics.describe(),
        store.describe()
    );
    Ok(ExitCode::SUCCESS)
}
