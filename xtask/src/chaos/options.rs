//! Arguments of `chaos` and `soak`.

use anyhow::{Context, Result, bail};
use std::time::Duration;

/// What to do, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Number of faults.
    pub(crate) faults: usize,
    /// Seed of the plan: the same seed gives the same faults in the same order.
    pub(crate) seed: u64,
    /// Time after which no more rounds begin.
    pub(crate) limit: Option<Duration>,
    /// Brokers, and Cassandra nodes.
    pub(crate) nodes: u8,
    /// Symbols of the tape, separated by commas, or `all`; they include those of [`super::round::FEW`].
    pub(crate) symbols: String,
    /// Only faults with one of these words in their name.
    pub(crate) only: Vec<String>,
}

impl Options {
    /// `chaos`: 200 faults by default.
    pub(crate) fn chaos(words: &[&str]) -> Result<Self> {
        Self { faults: 200, seed: 1, limit: None, nodes: 1, symbols: "all".to_owned(), only: Vec::new() }
            .with(words)
    }

    /// `soak`: an hour by default.
    pub(crate) fn soak(words: &[&str]) -> Result<Self> {
        let limit = Some(Duration::from_secs(3_600));
        Self { faults: usize::MAX, seed: 1, limit, nodes: 1, symbols: "all".to_owned(), only: Vec::new() }
            .with(words)
    }

    fn with(mut self, words: &[&str]) -> Result<Self> {
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("{}: expected a value", pair[0]) };
            let number =
                || value.parse::<u64>().with_context(|| format!("{name} {value}: expected a number"));
            match *name {
                "--faults" => self.faults = usize::try_from(number()?)?,
                "--seed" => self.seed = number()?,
                "--minutes" => self.limit = Some(Duration::from_secs(number()? * 60)),
                "--nodes" => self.nodes = u8::try_from(number()?)?,
                "--symbols" => self.symbols = (*value).to_owned(),
                "--only" => self.only = value.split(',').map(str::to_owned).collect(),
                _ => bail!(
                    "unknown option {name}: expected --faults, --seed, --minutes, --nodes, --symbols or --only"
                ),
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_named() {
        let options = Options::chaos(&["--faults", "12", "--seed", "7", "--only", "kill,pause"]).unwrap();
        assert_eq!((options.faults, options.seed, options.limit), (12, 7, None));
        assert_eq!(options.only, ["kill", "pause"]);
        assert_eq!(Options::soak(&["--minutes", "2"]).unwrap().limit, Some(Duration::from_secs(120)));
        for words in [&["--faults"][..], &["--faults", "many"], &["--what", "1"]] {
            assert!(Options::chaos(words).is_err(), "{words:?}");
        }
    }
}
