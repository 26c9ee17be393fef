//! Which verbs report as JSON.

use super::alert::AlertVerb;
use super::archive::{ArchiveVerb, RedshiftVerb};
use super::verb::Verb;
use crate::command::dead_letters::options::DeadLetters;
use crate::command::forecast::options::Forecast;

impl Verb {
    /// Whether `--format json` was given. The verbs that print rows have formats of their own.
    pub(crate) fn reports_json(&self) -> bool {
        let report = match self {
            Self::Init(report) => report,
            Self::Produce(verb) => &verb.report,
            Self::Consume(verb) => &verb.report,
            Self::Run(verb) => &verb.report,
            Self::Serve(verb) => &verb.report,
            Self::Aggregate(verb) => &verb.report,
            Self::Explain(verb) => &verb.report,
            Self::Plot(verb) => &verb.report,
            Self::Import(verb) => &verb.report,
            Self::Archive(verb) => match &verb.verb {
                Some(ArchiveVerb::Compact(verb)) => &verb.report,
                None => &verb.report,
            },
            Self::Redshift(RedshiftVerb::Load(verb)) => &verb.report,
            Self::Restore(verb) => &verb.report,
            Self::Backfill(verb) => &verb.report,
            Self::Simulate(verb) => &verb.report,
            Self::Demo(verb) => &verb.report,
            Self::Alert(AlertVerb::Run(verb)) => &verb.report,
            Self::Alert(AlertVerb::Test(verb)) => &verb.report,
            Self::Alert(AlertVerb::Ack(verb)) => &verb.report,
            Self::Alert(AlertVerb::Silence(verb)) => &verb.report,
            Self::Forecast(Forecast::Train(verb)) => &verb.report,
            Self::Forecast(Forecast::Run(verb)) => &verb.report,
            Self::Forecast(Forecast::Show(verb)) => &verb.report,
            Self::Forecast(Forecast::Score(verb)) => &verb.report,
            Self::Forecast(Forecast::List(verb)) => &verb.report,
            Self::DeadLetters(DeadLetters::Redrive(verb)) => &verb.report,
            Self::DeadLetters(DeadLetters::Discard(verb)) => &verb.report,
            Self::DeadLetters(DeadLetters::Export(verb)) => &verb.report,
            _ => return false,
        };
        report.is_json()
    }
}
