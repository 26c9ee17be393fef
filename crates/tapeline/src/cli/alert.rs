//! Options of `alert`.

use super::format::Format;
use super::reading::Span;
use super::report::Reported;
use clap::{Args, Subcommand};

/// Verbs of `alert`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AlertVerb {
    /// Evaluate the rules on the topic, and send alerts
    Run(Reported<AlertRunOptions>),
    /// Check and list the rules and channels of the configuration
    List(AlertListOptions),
    /// Check a channel and send it a test message
    Test(Reported<AlertTestOptions>),
    /// Show when a rule would have fired on stored records
    Replay(AlertReplayOptions),
    /// Show alerts that fired, and whether they were delivered
    History(AlertHistoryOptions),
    /// Acknowledge alerts: record who has seen them
    Ack(Reported<AlertAckOptions>),
    /// Record alerts without sending them for a while; without --for, list the silences
    Silence(Reported<AlertSilenceOptions>),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertRunOptions {
    /// Exit once everything on the topic is evaluated and sent
    #[arg(long)]
    pub(crate) until_end: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertListOptions {
    /// Output format: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertTestOptions {
    /// Name of the channel
    pub(crate) channel: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertReplayOptions {
    /// Name of the rule
    pub(crate) rule: String,
    #[command(flatten)]
    pub(crate) span: Span,
    /// Output format: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertHistoryOptions {
    /// Only alerts of this rule
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: Option<String>,
    #[command(flatten)]
    pub(crate) span: Span,
    /// Output format: table or json
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertAckOptions {
    /// Keys of alerts, or their first digits, as printed by `alert history`
    #[arg(value_name = "KEY", required_unless_present_any = ["rule", "symbol"], conflicts_with_all = ["rule", "symbol"])]
    pub(crate) keys: Vec<String>,
    /// All alerts of this rule
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: Option<String>,
    /// All alerts of this symbol
    #[arg(long, value_name = "SYMBOL")]
    pub(crate) symbol: Option<String>,
    /// Your name [default: the user's login name]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Note
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AlertSilenceOptions {
    /// Name of a rule
    #[arg(long, value_name = "NAME", default_value = "*")]
    pub(crate) rule: String,
    /// Symbol
    #[arg(long, value_name = "SYMBOL", default_value = "*")]
    pub(crate) symbol: String,
    /// Duration, for example 30m, 2h, 1d
    #[arg(long, value_name = "DURATION")]
    pub(crate) r#for: Option<String>,
    /// Reason
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    /// Your name [default: the user's login name]
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// End the silence with this number
    #[arg(long, value_name = "ID", conflicts_with = "for")]
    pub(crate) end: Option<i64>,
}
