//! Rejects global flags that a verb would ignore, so that nobody mistakes a filtered result for a complete one or vice
//! versa. `--source`, `--topic`, `--store` and `--group` name locations, the same for all verbs of a deployment: verbs that
//! need only some of them accept all.

use super::{Cli, Verb};
use clap::CommandFactory;
use clap::error::ErrorKind;

const FILTERS: [&str; 2] = ["symbols", "kinds"];

/// Flags that a verb ignores, and what to use instead.
fn ignored(verb: &Verb) -> (&'static str, Vec<&'static str>, &'static str) {
    match verb {
        Verb::Demo(_) => (
            "demo",
            [&FILTERS[..], &["source", "topic", "store", "group"]].concat(),
            "it plays its own session into the folder of --dir",
        ),
        Verb::Query(_) => {
            ("query", FILTERS.to_vec(), "name the kind and symbols: tapeline query trades SPY,IBM")
        }
        Verb::Plot(_) => ("plot", FILTERS.to_vec(), "name the symbols: tapeline plot SPY,IBM"),
        Verb::Explain(_) => ("explain", FILTERS.to_vec(), "name the symbol: tapeline explain SPY TIME"),
        Verb::Forecast(_) => ("forecast", FILTERS.to_vec(), "name the symbols as arguments"),
        Verb::Import(_) => ("import", vec!["kinds"], "it reads the folder of its argument"),
        Verb::Init(_) => ("init", FILTERS.to_vec(), "it creates topics and tables for all records"),
        Verb::Consume(_) => ("consume", FILTERS.to_vec(), "it stores everything on the topic"),
        Verb::Aggregate(_) => ("aggregate", FILTERS.to_vec(), "it aggregates everything on the topic"),
        Verb::Archive(_) => ("archive", FILTERS.to_vec(), "it archives everything on the topic"),
        Verb::Restore(_) => ("restore", FILTERS.to_vec(), "choose a span with --from and --to"),
        Verb::Redshift(_) => ("redshift", FILTERS.to_vec(), "it loads the complete archive"),
        Verb::Gaps(_) => ("gaps", FILTERS.to_vec(), "it shows the complete ledger of the topic"),
        Verb::Late(_) => ("late", FILTERS.to_vec(), "choose with --symbol"),
        Verb::Notices(_) => ("notices", FILTERS.to_vec(), "choose with --symbol"),
        Verb::DeadLetters(_) => ("dead-letters", FILTERS.to_vec(), "choose with --stage and --reason"),
        Verb::Simulate(_) => ("simulate", vec!["source"], "it plays the tape of --tape"),
        _ => ("", Vec::new(), ""),
    }
}

/// Exits with code 2 if a flag was given that the verb ignores.
pub(crate) fn refuse(cli: &Cli) {
    let (verb, names, instead) = ignored(&cli.verb);
    let common = &cli.common;
    let given = |name: &&&str| match **name {
        "source" => common.source.is_some(),
        "symbols" => common.symbols.is_some(),
        "kinds" => common.kinds.is_some(),
        "topic" => common.topic.is_some(),
        "store" => common.store.is_some(),
        _ => common.group.is_some(),
    };
    if let Some(name) = names.iter().find(given) {
        let message = format!("the argument '--{name}' cannot be used with '{verb}': {instead}");
        Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
}
