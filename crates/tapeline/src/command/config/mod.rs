//! `tapeline config`: the settings, their origins and their schema. These verbs work while the settings are wrong.

pub(crate) mod options;

use crate::cli::Common;
use crate::cli::Shape;
use crate::context;
use crate::output::{Out, counted, table};
use options::{CheckOptions, ConfigVerb, ShowOptions};
use ports::{CancelToken, Error, Result};
use std::process::ExitCode;
use tapeline::config::{Config, Layers, Origin, json_schema};
use tapeline::open;

pub(crate) fn run(common: &Common, verb: &ConfigVerb) -> Result<ExitCode> {
    match verb {
        ConfigVerb::Check(options) => check(common, options),
        ConfigVerb::Show(options) => show(common, options),
        ConfigVerb::Schema => {
            let mut out = Out::new();
            let text = serde_json::to_string_pretty(&json_schema()?);
            out.put(&format!("{}\n", text.map_err(|error| Error::internal(error.to_string()))?))?;
            out.end()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(common: &Common, options: &CheckOptions) -> Result<ExitCode> {
    let layers = context::layers(common);
    let faults = layers.checked().map_or_else(|faults| faults, |config| unusable(&config));
    let mut out = Out::new();
    match options.format {
        Shape::Json => {
            let report = serde_json::json!({ "valid": faults.is_empty(), "errors": faults });
            out.put(&format!("{report}\n"))?;
        }
        Shape::Table if faults.is_empty() => {
            out.put("configuration is valid; try the servers: tapeline doctor\n")?;
        }
        Shape::Table => {
            for fault in &faults {
                out.put(&format!("error: {fault}\n"))?;
            }
            out.put(&format!(
                "{}; the reference is config/default.toml\n",
                counted(faults.len() as u64, "error")
            ))?;
        }
    }
    out.end()?;
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is wrong with settings whose values each are in range: URLs, rules, files. Nothing is connected to.
fn unusable(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let mut note = |result: Result<()>| faults.extend(result.err().map(|error| error.to_string()));
    note(open::topics(config, &CancelToken::default()).map(drop));
    note(open::store(config).map(drop));
    note(open::bars(config).map(drop));
    if !config.source.url.is_empty() {
        note(open::source(config).map(drop));
    }
    note(super::alert::check(config));
    note(context::filter(config).map(drop));
    let tls =
        [("topic.kafka.tls", &config.topic.kafka.tls), ("store.cassandra.tls", &config.store.cassandra.tls)];
    for (section, tls) in tls.into_iter().filter(|(_, tls)| tls.enabled) {
        for (key, path) in [("ca", &tls.ca), ("certificate", &tls.certificate), ("key", &tls.key)] {
            if !path.is_empty() {
                let opened = std::fs::File::open(path).map(drop);
                note(opened.map_err(|error| Error::user(format!("{section}.{key}: open {path}: {error}"))));
            }
        }
    }
    faults
}

fn show(common: &Common, options: &ShowOptions) -> Result<ExitCode> {
    let layers: Layers = context::layers(common);
    let faults = layers.checked().err().unwrap_or_default();
    let mut settings = layers.settings();
    settings.retain(|setting| !options.changed || setting.origin != Origin::Default);
    let mut out = Out::new();
    match options.format {
        Shape::Json => {
            let text =
                serde_json::to_string(&settings).map_err(|error| Error::internal(error.to_string()))?;
            out.put(&format!("{text}\n"))?;
        }
        Shape::Table => {
            let rows: Vec<Vec<String>> = settings
                .iter()
                .map(|setting| {
                    vec![
                        format!("{} = {}", setting.path, setting.value),
                        format!("# {}", setting.origin.describe()),
                    ]
                })
                .collect();
            out.put(&table(&rows, 2))?;
        }
    }
    out.end()?;
    for fault in &faults {
        eprintln!("error: {fault}");
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
