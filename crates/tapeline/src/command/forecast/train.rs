//! `tapeline forecast train`.

use super::input_error::{check_splits, failed};
use super::options::TrainOptions;
use super::{input, models, score};
use crate::context::Context;
use crate::output::thousands;
use crate::print;
use forecast::lstm::forecaster::LstmOptions;
use forecast::walk_forward::{Step, WalkOptions};
use forecast::{Bundle, Dataset, ModelKind, Series, Task, file};
use indicatif::{ProgressBar, ProgressStyle};
use ports::{Error, Result};
use std::io::IsTerminal;
use std::process::ExitCode;

pub(crate) fn run(context: &Context, options: &TrainOptions) -> Result<ExitCode> {
    let symbols = ports::options::list(&options.symbols);
    if options.input.file.is_some() && symbols.len() > 1 {
        return Err(Error::user(format!("--file holds one symbol, found {}", options.symbols)));
    }
    for symbol in symbols.iter().map(|symbol| symbol.to_ascii_uppercase()) {
        train(context, options, &symbol)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn train(context: &Context, options: &TrainOptions, symbol: &str) -> Result<()> {
    let interval = options.input.bars.interval().to_string();
    let fail = |error| failed(symbol, &error);
    let input = input::load(context, symbol, &options.input)?;
    let series = Series::new(input.bars).map_err(fail)?;
    let data = Dataset::new(&series, input.season).map_err(fail)?;
    check_splits(symbol, &series, &options.input)?;
    let walk = walk_options(options, data.len(), input.season)?;
    let progress = Progress::new(symbol);
    let mut observe = |step: Step| {
        if context.stop.is_cancelled() {
            progress.end();
            eprintln!("stopped: the models of {symbol} are not written; train again to start over");
            // A fit cannot be resumed, and nothing is written before the last one.
            std::process::exit(130);
        }
        progress.show(&step);
    };
    let mut bundle = Bundle::train(&data, symbol, &interval, &walk, &mut observe).map_err(fail)?;
    progress.end();
    // `forecast run` trains again on stored bars, which are not adjusted.
    bundle.meta.allow_jumps = options.input.allow_jumps;
    let bytes = file::encode(&bundle).map_err(fail)?;
    let version = models::save(&options.folder.models, symbol, &interval, &bytes)?;
    println!(
        "{symbol} {interval}: {} bars (bad prints cut from {}), version {} in {}\n",
        thousands(data.len() as u64),
        data.cut_bars().len(),
        version.number,
        version.path.display()
    );
    print!("{}", score::best(&bundle));
    print::json(|| {
        let tasks = bundle.models.tasks.iter();
        serde_json::json!({
            "symbol": symbol,
            "interval": interval,
            "bars": data.len(),
            "version": version.number,
            "file": version.path,
            "best": tasks.filter_map(|task| bundle.best(*task)).collect::<Vec<_>>(),
        })
    });
    Ok(())
}

fn walk_options(options: &TrainOptions, bars: usize, season: usize) -> Result<WalkOptions> {
    let mut kinds = ModelKind::ALL.to_vec();
    for label in &options.without {
        let kind = ModelKind::from_label(label).ok_or_else(|| {
            let names = ModelKind::ALL.map(ModelKind::label).join(", ");
            Error::user(format!("--without: expected one of {names}, found `{label}`"))
        })?;
        kinds.retain(|kept| *kept != kind);
    }
    let mut horizons = options.horizons.clone();
    horizons.sort_unstable();
    horizons.dedup();
    let mut walk = WalkOptions {
        embargo: options.embargo,
        tasks: Task::all(&horizons),
        kinds,
        lstm: LstmOptions { seed: options.seed, ..LstmOptions::default() },
        allow_jumps: options.input.allow_jumps || options.input.is_adjusted(),
        ..WalkOptions::default()
    };
    let default = || (bars / 3).clamp(300, 1000).max(walk.least_first_fit(season));
    walk.first_fit = options.first_fit.unwrap_or_else(default);
    let default = || (bars.saturating_sub(walk.first_fit) / 20).max(100);
    walk.refit_every = options.refit_every.unwrap_or_else(default);
    Ok(walk)
}

/// A bar on a terminal, a line per fit elsewhere.
struct Progress {
    symbol: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(symbol: &str) -> Self {
        let template = "{prefix} [{bar:32}] fit {pos} of {len}  {msg}  {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = || ProgressBar::new(0).with_style(style).with_prefix(symbol.to_owned());
        Self { symbol: symbol.to_owned(), bar: std::io::stderr().is_terminal().then(bar) }
    }

    fn show(&self, step: &Step) {
        let epoch = step.epoch.map_or_else(String::new, |epoch| {
            format!(" epoch {} loss {:.4} ({:.4})", epoch.number, epoch.validation_loss, epoch.training_loss)
        });
        match &self.bar {
            Some(bar) => {
                bar.set_length(step.fits as u64 + 1);
                bar.set_position(step.fit as u64);
                bar.set_message(format!("{}{epoch}", step.kind.label()));
            }
            None if step.kind == ModelKind::RandomWalk => {
                eprintln!("{}: fit {} of {}", self.symbol, step.fit + 1, step.fits + 1);
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
