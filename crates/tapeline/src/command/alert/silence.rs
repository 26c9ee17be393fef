//! `tapeline alert silence`: records alerts without sending them for a while.

use crate::cli::AlertSilenceOptions;
use crate::context::Context;
use crate::output::{Out, table};
use market::UnixNanos;
use market::alert::TimeSpan;
use ports::{Error, Result, clock};
use std::process::ExitCode;

pub(crate) fn run(context: &Context, options: &AlertSilenceOptions) -> Result<ExitCode> {
    let mut outbox = super::outbox(&context.config)?;
    if let Some(id) = options.end {
        return match outbox.unsilence(id).map_err(Error::user)? {
            true => {
                println!("silence {id} ended");
                Ok(ExitCode::SUCCESS)
            }
            false => Err(Error::user(format!("no silence {id}")).hint("list them: tapeline alert silence")),
        };
    }
    if let Some(duration) = &options.r#for {
        let span: TimeSpan = duration.parse().map_err(|error| Error::user(format!("--for: {error}")))?;
        let until = clock::now().millis().saturating_add(span.0 / 1_000_000);
        let id =
            outbox.silence(&options.rule, &options.symbol, until, &options.reason).map_err(Error::user)?;
        println!("silence {id}: rule {}, symbol {}, for {span}", options.rule, options.symbol);
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["id", "rule", "symbol", "until", "reason"].map(str::to_owned).to_vec()];
    for silence in outbox.silences(clock::now().millis()).map_err(Error::user)? {
        let until = UnixNanos(silence.until_ms.saturating_mul(1_000_000));
        let until = until.local("%Y-%m-%d %H:%M:%S %Z", &context.config.alert.zone);
        rows.push(vec![silence.id.to_string(), silence.rule, silence.symbol, until, silence.reason]);
    }
    let mut out = Out::new();
    out.put(&table(&rows, 5))?;
    out.end()?;
    Ok(ExitCode::SUCCESS)
}
