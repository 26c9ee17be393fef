//! `tapeline alert test CHANNEL`: checks a channel and sends a test message.

use crate::cli::AlertTestOptions;
use crate::context::Context;
use crate::print;
use ports::{Error, Result, clock};
use std::process::ExitCode;

pub(crate) fn run(context: &Context, options: &AlertTestOptions) -> Result<ExitCode> {
    let channels = &context.config.alert.channels;
    let Some(channel) = channels.iter().find(|channel| channel.name == options.channel) else {
        let known: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
        let known = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
        return Err(Error::user(format!("unknown alert channel `{}`; known: {known}", options.channel))
            .hint("[[alert.channels]] in the configuration; see docs/alerts.md"));
    };
    let fail = |doing: &str, error: &notify::NotifyError| {
        let text = format!("{doing} channel {}: {error}", channel.name);
        if error.is_permanent() { Error::user(text) } else { Error::external(text) }
    };
    let mut notifier =
        channel.open(&|path| std::fs::read_to_string(path)).map_err(|error| fail("open", &error))?;
    notifier.check().map_err(|error| fail("check", &error))?;
    let message = notify::AlertMessage::test_with(&channel.name, clock::now().0, &channel.templates());
    notifier.send(&message).map_err(|error| fail("send to", &error))?;
    print::json(|| serde_json::json!({ "channel": channel.name, "accepted": true, "key": message.key }));
    println!("channel {} accepted a test message (key {})", channel.name, message.key);
    Ok(ExitCode::SUCCESS)
}
