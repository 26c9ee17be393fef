//! Rejects global flags that a verb would ignore, so that nobody mistakes a filtered result for a complete one or vice
//! versa. `--source`, `--topic`, `--store` and `--group` name locations, the same for all verbs of a deployment: verbs that
//! need only some of them accept all.

use super::Cli;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

/// Long names of all global flags.
const ALL: [&str; 12] = [
    "config", "source", "symbols", "kinds", "topic", "store", "group", "log", "quiet", "verbose", "color",
    "wait",
];
const FILTERS: &[&str] = &["symbols", "kinds"];
const FILTERS_AND_WAIT: &[&str] = &["symbols", "kinds", "wait"];
const LOCATIONS: &[&str] = &["source", "topic", "store", "group"];
const LOCATIONS_AND_FILTERS: &[&str] = &["source", "topic", "store", "group", "symbols", "kinds"];

/// Verbs, the flags that they ignore, and what to use instead. Of the verb `alert run` the first line counts that is about
/// `alert run` or `alert`.
const IGNORED: &[(&str, &[&str], &str)] = &[
    ("schema", &ALL, "it prints what is compiled in"),
    ("completions", &ALL, "it prints what is compiled in"),
    ("man", &ALL, "it prints what is compiled in"),
    ("config schema", &ALL, "it prints what is compiled in"),
    ("config", &["symbols", "kinds", "color", "wait"], "it only reads the settings"),
    ("demo", LOCATIONS_AND_FILTERS, "it plays its own session into the folder of --dir"),
    ("demo", &["wait"], "it needs no server"),
    ("simulate", LOCATIONS, "it plays the tape of --tape"),
    ("simulate", &["wait"], "it needs no server"),
    ("query", FILTERS, "name the kind and symbols: tapeline query trades SPY,IBM"),
    ("plot", FILTERS, "name the symbols: tapeline plot SPY,IBM"),
    ("explain", FILTERS, "name the symbol: tapeline explain SPY TIME"),
    ("forecast list", FILTERS_AND_WAIT, "it lists the models in the folder of --models"),
    ("forecast score", FILTERS_AND_WAIT, "it reads the models in the folder of --models"),
    ("forecast", FILTERS, "name the symbols as arguments"),
    ("import", &["kinds"], "it reads the folder of its argument"),
    ("init", FILTERS, "it creates topics and tables for all records"),
    ("consume", FILTERS, "it stores everything on the topic"),
    ("aggregate", FILTERS, "it aggregates everything on the topic"),
    ("archive", FILTERS, "it archives everything on the topic"),
    ("restore", FILTERS, "choose a span with --from and --to"),
    ("redshift ddl", FILTERS_AND_WAIT, "it prints the statements for all records"),
    ("redshift", FILTERS, "it loads the complete archive"),
    ("gaps", FILTERS, "it shows the complete ledger of the topic"),
    ("late", FILTERS, "choose with --symbol"),
    ("notices", FILTERS, "choose with --symbol"),
    ("dead-letters", FILTERS, "choose with --stage and --reason"),
    ("status", FILTERS_AND_WAIT, "it shows what a running process reports"),
    ("alert run", FILTERS, "each rule names its symbols"),
    ("alert replay", &["kinds"], "the rule decides which records it is evaluated on"),
    ("alert list", FILTERS_AND_WAIT, "it lists the rules and channels of the configuration"),
    ("alert test", FILTERS_AND_WAIT, "it sends one message"),
    ("alert history", FILTERS_AND_WAIT, "choose with --rule, --from and --to"),
    ("alert ack", FILTERS_AND_WAIT, "choose with keys, --rule or --symbol"),
    ("alert silence", FILTERS_AND_WAIT, "choose with --rule and --symbol"),
];

/// Parses the arguments. Exits with code 2 if they are invalid, or if a flag was given that the verb ignores. A variable
/// that stands for a flag is not refused: it is meant for all verbs.
pub(crate) fn parse() -> Cli {
    let mut command = Cli::command();
    let matches = command.get_matches_mut();
    let verb = verb_of(&matches);
    let ids = ALL.map(|name| if name == "symbols" { "of_symbols" } else { name });
    let given = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    for name in ids.iter().filter(given).map(|id| id.trim_start_matches("of_")) {
        if let Some(instead) = refusal(&verb, name) {
            let message = format!("the argument '--{name}' cannot be used with '{verb}': {instead}");
            command.error(ErrorKind::ArgumentConflict, message).exit();
        }
    }
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Names of the verb and its own verb, as `alert run`.
fn verb_of(matches: &ArgMatches) -> String {
    let mut names = Vec::new();
    let mut matches = matches;
    while let Some((name, below)) = matches.subcommand() {
        names.push(name);
        matches = below;
    }
    names.join(" ")
}

/// What to use instead of a flag that the verb ignores; `None` if it does not.
fn refusal(verb: &str, flag: &str) -> Option<&'static str> {
    let is_of =
        |name: &str| verb == name || verb.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
    let first = IGNORED.iter().find(|(name, ..)| is_of(name))?.0;
    let found = IGNORED.iter().find(|(name, flags, _)| *name == first && flags.contains(&flag))?;
    Some(found.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

    fn each_verb(command: &Command, path: &str, f: &mut impl FnMut(&str)) {
        let below = command.get_subcommands().filter(|verb| verb.get_name() != "help");
        let below: Vec<&Command> = below.collect();
        if !path.is_empty() && (below.is_empty() || !command.is_subcommand_required_set()) {
            f(path);
        }
        for verb in below {
            each_verb(verb, format!("{path} {}", verb.get_name()).trim_start(), f);
        }
    }

    #[test]
    fn every_verb_accepts_or_refuses_every_global_flag_as_decided() {
        let mut command = Cli::command();
        command.build();
        let global = command.get_arguments().filter(|flag| flag.is_global_set());
        let names: Vec<&str> = global.filter_map(|flag| flag.get_long()).collect();
        let known = |name: &&str| ALL.contains(name) || ["help", "version"].contains(name);
        assert!(names.iter().all(known) && ALL.iter().all(|name| names.contains(name)), "{names:?}");
        let mut decided = Vec::new();
        each_verb(&command, "", &mut |verb| {
            let refused: Vec<&str> = ALL.into_iter().filter(|flag| refusal(verb, flag).is_some()).collect();
            decided.push(format!("{verb}: {}", refused.join(" ")).trim_end().to_owned());
        });
        assert_eq!(decided, DECIDED, "a new verb or flag needs a decision");
    }

    /// Each verb, and the flags that it refuses.
    const DECIDED: &[&str] = &[
        "init: symbols kinds",
        "produce:",
        "consume: symbols kinds",
        "run:",
        "serve:",
        "count:",
        "symbols:",
        "aggregate: symbols kinds",
        "query: symbols kinds",
        "explain: symbols kinds",
        "plot: symbols kinds",
        "forecast train: symbols kinds",
        "forecast run: symbols kinds",
        "forecast history: symbols kinds",
        "forecast show: symbols kinds",
        "forecast score: symbols kinds wait",
        "forecast list: symbols kinds wait",
        "forecast baseline: symbols kinds",
        "import: kinds",
        "archive: symbols kinds",
        "archive compact: symbols kinds",
        "restore: symbols kinds",
        "redshift ddl: symbols kinds wait",
        "redshift load: symbols kinds",
        "verify:",
        "alert run: symbols kinds",
        "alert list: symbols kinds wait",
        "alert test: symbols kinds wait",
        "alert replay: kinds",
        "alert history: symbols kinds wait",
        "alert ack: symbols kinds wait",
        "alert silence: symbols kinds wait",
        "gaps: symbols kinds",
        "dead-letters list: symbols kinds",
        "dead-letters show: symbols kinds",
        "dead-letters redrive: symbols kinds",
        "dead-letters discard: symbols kinds",
        "dead-letters export: symbols kinds",
        "late: symbols kinds",
        "notices: symbols kinds",
        "doctor:",
        "status: symbols kinds wait",
        "config check: symbols kinds color wait",
        "config show: symbols kinds color wait",
        "config schema: config source symbols kinds topic store group log quiet verbose color wait",
        "backfill:",
        "simulate: source topic store group wait",
        "demo: source symbols kinds topic store group wait",
        "schema: config source symbols kinds topic store group log quiet verbose color wait",
        "completions: config source symbols kinds topic store group log quiet verbose color wait",
        "man: config source symbols kinds topic store group log quiet verbose color wait",
    ];
}
