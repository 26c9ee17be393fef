//! `tapeline schema`: the messages' JSON Schemas, and the records' Avro schemas.

use crate::output::Out;
use clap::Args;
use market::Kind;
use market::codec::avro;
use ports::error::io;
use ports::{Error, Result, schema};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Clone, Args)]
pub(crate) struct SchemaOptions {
    /// Kind of message: trade, quote, reading, bar, gap, notice or forecast [default: all, as one object]
    kind: Option<String>,
    /// The Avro schemas of records, as `topic.format = "avro"` registers them
    #[arg(long)]
    avro: bool,
    /// Write each schema to a file of its name in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "kind")]
    out: Option<PathBuf>,
}

pub(crate) fn run(options: &SchemaOptions) -> Result<ExitCode> {
    let (schemas, ending) = match options.avro {
        true => (Kind::ALL.map(|kind| (kind.table().singular, avro::schema(kind))).to_vec(), "avsc"),
        false => (schema::all(), "json"),
    };
    if let Some(dir) = &options.out {
        write(dir, &schemas, ending)?;
        println!("{} schemas in {}", schemas.len(), dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    let shown: Value = match &options.kind {
        None => schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect(),
        Some(kind) => {
            let names: Vec<&str> = schemas.iter().map(|(name, _)| *name).collect();
            let expected = names.join(", ");
            let found = schemas.into_iter().find(|(name, _)| name == kind);
            found.map(|(_, schema)| schema).ok_or_else(|| {
                Error::usage(format!("unknown kind of message `{kind}`: expected one of {expected}"))
            })?
        }
    };
    let mut out = Out::new();
    out.put(&format!("{shown:#}\n"))?;
    out.end()?;
    Ok(ExitCode::SUCCESS)
}

fn write(dir: &Path, schemas: &[(&str, Value)], ending: &str) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(io("create folder", dir))?;
    for (name, schema) in schemas {
        let path = dir.join(format!("{name}.{ending}"));
        std::fs::write(&path, format!("{schema:#}\n")).map_err(io("write", &path))?;
    }
    Ok(())
}
