//! `tapeline alert silence`: records alerts without sending them for a while.

use super::setup;
use crate::cli::AlertSilenceOptions;
use crate::context::Context;
use crate::output::{Out, table};
use crate::print;
use market::UnixNanos;
use market::alert::TimeSpan;
use ports::alert_log::Silence;
use ports::{Error, Result, clock};
use std::process::ExitCode;

pub(crate) fn run(context: &Context, options: &AlertSilenceOptions) -> Result<ExitCode> {
    if options.r#for.is_none() {
        setup::require_file(&context.config)?;
    }
    let mut log = setup::alert_log(&context.config)?;
    if let Some(id) = options.end {
        return match log.end_silence(id).map_err(Error::user)? {
            true => {
                println!("silence {id} ended");
                print::json(|| serde_json::json!({ "ended": id }));
                Ok(ExitCode::SUCCESS)
            }
            false => Err(Error::user(format!("no silence {id}")).hint("list them: tapeline alert silence")),
        };
    }
    if let Some(duration) = &options.r#for {
        let span: TimeSpan = duration.parse().map_err(|error| Error::user(format!("--for: {error}")))?;
        let until = clock::now().millis().saturating_add(span.0 / 1_000_000);
        let by = setup::author(options.by.as_deref());
        let rules = setup::rules(&context.config)?;
        let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        if options.rule != "*" && !known.contains(&options.rule.as_str()) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::user(format!("--rule: no rule `{}`; the rules are {known}", options.rule))
                .hint("a rule of [[alert.rules]], or * for all: tapeline alert list"));
        }
        let silence = Silence::new(&options.rule, &options.symbol, until, &options.reason, &by)?;
        let id = log.silence(&silence).map_err(Error::user)?;
        print::json(|| {
            let (rule, symbol) = (&options.rule, &options.symbol);
            serde_json::json!({ "id": id, "rule": rule, "symbol": symbol, "until_ms": until })
        });
        println!("silence {id}: rule {}, symbol {}, for {span}", options.rule, options.symbol);
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["id", "rule", "symbol", "until", "by", "reason"].map(str::to_owned).to_vec()];
    let silences = log.silences(clock::now().millis()).map_err(Error::user)?;
    if print::is_json() {
        let object = |(id, silence): &(i64, Silence)| {
            serde_json::json!({
                "id": id,
                "rule": silence.rule,
                "symbol": silence.symbol,
                "until_ms": silence.until_ms,
                "by": silence.by,
                "reason": silence.reason,
            })
        };
        print::json(|| silences.iter().map(object).collect());
        return Ok(ExitCode::SUCCESS);
    }
    for (id, silence) in silences {
        let until = UnixNanos(silence.until_ms.saturating_mul(1_000_000));
        let until = until.local("%Y-%m-%d %H:%M:%S %Z", &context.config.alert.zone);
        rows.push(vec![id.to_string(), silence.rule, silence.symbol, until, silence.by, silence.reason]);
    }
    let mut out = Out::new();
    out.put(&table(&rows, 6))?;
    out.end()?;
    Ok(ExitCode::SUCCESS)
}
