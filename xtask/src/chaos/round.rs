//! One round: fresh topics and a fresh keyspace, a tape played through faults, and what is in the store afterwards.

use super::faults::{Scene, admin};
use super::plan::{Fault, Round, Verb};
use super::program::{Place, Program};
use crate::stack::Stack;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Symbols of a round whose fault is alone: it needs no long tape.
pub(crate) const FEW: &str = "IBM,AIG";
/// Ports of the processes' metrics, one above the other.
const METRICS: u16 = 17_464;

/// One injected fault.
#[derive(Debug)]
pub(crate) struct Injected {
    pub(crate) fault: Fault,
    pub(crate) recovered: Option<Duration>,
    /// Records published from it until the next.
    pub(crate) sent: u64,
}

/// What a round found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) injected: Vec<Injected>,
    /// Records that are not in the store though nothing destroyed them.
    pub(crate) lost: u64,
    /// Rows that no record of the tape made.
    pub(crate) doubled: u64,
    /// Losses, differences and poison that nothing reported.
    pub(crate) hidden: u64,
    /// Records that the fault destroyed and that were reported.
    pub(crate) destroyed: u64,
    /// Symbols and intervals whose bars differ from those of the same tape without faults.
    pub(crate) bars: u64,
    /// What else went wrong, one text each.
    pub(crate) problems: Vec<String>,
}

/// What all rounds share.
pub(crate) struct Ground<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) python: &'a Path,
    pub(crate) place: Place,
    /// Bars of the tape without faults, by symbol set.
    pub(crate) bars: BTreeMap<String, String>,
}

impl Ground<'_> {
    /// Plays one round.
    pub(crate) fn play(&mut self, number: usize, round: &Round) -> Result<Outcome> {
        let alone = round.len() == 1 && (round[0].fault.destroys() || round[0].fault.needs_repair());
        let mut place = Place { name: format!("chaos_{number}"), ..self.place.clone() };
        if alone {
            FEW.clone_into(&mut place.symbols);
        }
        let want = counts(&admin(
            &self.python.to_path_buf(),
            &place,
            &["tape", &place.tape.display().to_string(), &place.symbols],
        )?)?;
        place.must(&["init"])?;
        // The whole session in eight minutes: enough for the faults of a round. What is left is played at full speed.
        let speed = "120";
        let start = |verb: Verb| Program::start(&place, verb, speed, METRICS + verb as u16);
        let programs = [start(Verb::Produce)?, start(Verb::Consume)?, start(Verb::Aggregate)?];
        let mut scene = Scene {
            place: place.clone(),
            stack: self.stack,
            python: self.python.to_path_buf(),
            programs,
            speed,
            ended: Vec::new(),
        };
        scene.wait_for_load()?;
        let (mut outcome, mut poison, mut unread, mut published) = (Outcome::default(), 0, 0, 0);
        for step in round {
            std::thread::sleep(step.wait);
            scene.supervise()?;
            if scene.tape_is_over()? {
                break;
            }
            let name = step.fault.name();
            let effect = scene.inject(step).with_context(|| format!("round {number}: {name}"))?;
            scene.supervise()?;
            let recovered = effect
                .recovered
                .map_or("the tape ended".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
            println!("  {name:24} recovered: {recovered}");
            poison += effect.poison;
            unread += effect.unread;
            outcome.injected.push(Injected { fault: step.fault, recovered: effect.recovered, sent: 0 });
            // A producer counts from 0 after each start: positions on the topic would be exact, but cost a read.
            let now = scene.programs[Verb::Produce as usize].done().unwrap_or(0);
            if let Some(last) = outcome.injected.last_mut() {
                last.sent = now.saturating_sub(published);
            }
            published = now;
        }
        outcome.problems.append(&mut finish(&mut scene)?);
        let destroys = round.iter().any(|step| step.fault.destroys());
        let repairs = round.iter().any(|step| step.fault.needs_repair());
        let moves = round.iter().any(|step| step.fault == Fault::Partitions);
        self.judge(&place, &want, (destroys, repairs, moves), (poison, unread), &mut outcome)?;
        let total: u64 = want.values().sum();
        share(&mut outcome.injected, total);
        Ok(outcome)
    }

    /// Compares the store with the tape.
    fn judge(
        &mut self,
        place: &Place,
        want: &BTreeMap<String, u64>,
        (destroys, repairs, moves): (bool, bool, bool),
        (poison, unread): (u64, u64),
        outcome: &mut Outcome,
    ) -> Result<()> {
        let source = place.source("max");
        if repairs {
            // The fault removed stored values: `verify` must see that, and its own advice must restore them.
            let (code, text) = place.run(&["verify", "--source", &source])?;
            ensure!(code == 3 || code == 0, "verify: exit {code}\n{text}");
            if code == 3 {
                let (code, text) = place.run(&["verify", "--repair", "--source", &source])?;
                ensure!(code == 0, "verify --repair: exit {code}\n{text}");
            }
        }
        let (verified, text) = place.run(&["verify", "--source", &source])?;
        ensure!(verified == 0 || verified == 3, "verify: exit {verified}\n{text}");
        let python = self.python.to_path_buf();
        let have = counts(&admin(&python, place, &["rows"])?)?;
        let (missing, extra) = difference(want, &have);
        outcome.doubled += extra;
        if destroys {
            let reported = reported_lost(place)?;
            outcome.destroyed = missing;
            // Without a count a report covers what was lost; with one it must be the number.
            outcome.hidden += match reported {
                Some(count) => missing.saturating_sub(count),
                None => 0,
            };
            if missing != unread {
                outcome.problems.push(format!("{missing} records are missing, but {unread} were destroyed"));
            }
            self.refill(place, &source, want, outcome)?;
        } else {
            outcome.lost += missing;
            // What verify calls equal must be equal by independent counts as well.
            if verified == 0 {
                outcome.hidden += missing + extra;
            } else {
                outcome.problems.push(format!("not verified:\n{text}"));
                outcome.lost = outcome.lost.max(1);
            }
            let bars = self.bars_of(place)?;
            if let Some(wanted) = self.bars.get(&place.symbols) {
                // Bars that were rebuilt because partitions were added are revisions, of the same numbers.
                let of = |line: &str| {
                    if moves {
                        line.rsplit_once(' ').map_or("", |(line, _)| line).to_owned()
                    } else {
                        line.to_owned()
                    }
                };
                outcome.bars +=
                    wanted.lines().zip(bars.lines()).filter(|(one, other)| of(one) != of(other)).count()
                        as u64;
            }
        }
        let letters = place.must(&["dead-letters", "list", "--format", "json", "--all"])?;
        let letters: Vec<Value> =
            serde_json::from_str(letters.trim()).with_context(|| format!("letters: {letters}"))?;
        let letters = letters.len() as u64;
        if letters < poison {
            outcome.hidden += poison - letters;
            outcome.problems.push(format!("{poison} poison messages, {letters} dead letters"));
        }
        admin(&python, place, &["drop"]).map(drop)
    }

    /// A loss that was reported can be filled from the source.
    fn refill(
        &self,
        place: &Place,
        source: &str,
        want: &BTreeMap<String, u64>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        place.must(&["produce", "--replay", "--source", source])?;
        let (code, text) = place.run(&["consume", "--until-end", "--instance", "chaos"])?;
        ensure!(code == 0 || code == 5, "consume: exit {code}\n{text}");
        let have = counts(&admin(&self.python.to_path_buf(), place, &["rows"])?)?;
        let (missing, extra) = difference(want, &have);
        if missing + extra > 0 {
            outcome
                .problems
                .push(format!("after --replay {missing} records are missing and {extra} too many"));
        }
        Ok(())
    }

    /// A line for each symbol and interval: the number of its bars, a digest without and one with their revisions.
    pub(crate) fn bars_of(&self, place: &Place) -> Result<String> {
        let mut out = String::new();
        let symbols = if place.symbols == "all" { "AIG,BAC,IBM,SPY" } else { place.symbols.as_str() };
        for symbol in symbols.split(',') {
            for interval in ["1m", "1h", "1d"] {
                let text = place.must(&[
                    "query",
                    "bars",
                    symbol,
                    "--interval",
                    interval,
                    "--format",
                    "csv",
                    "--limit",
                    "100000",
                ])?;
                let numbers = without_column(&text, "revision");
                out.push_str(&format!(
                    "{symbol} {interval} {} {:x} {:x}\n",
                    text.lines().count(),
                    digest(&numbers),
                    digest(&text)
                ));
            }
        }
        Ok(out)
    }
}

/// Ends the round's programs: the rest of the tape at full speed, everything stored and aggregated. What went wrong.
fn finish(scene: &mut Scene<'_>) -> Result<Vec<String>> {
    let place = scene.place.clone();
    let mut problems = std::mem::take(&mut scene.ended);
    for verb in Verb::ALL {
        let code = scene.programs[verb as usize].stop()?;
        // 5: it reported a loss.
        if !matches!(code, 0 | 5) {
            let words = scene.programs[verb as usize].last_words();
            problems.push(format!("{} stopped with exit {code}:\n    {words}", verb.name()));
        }
    }
    place.must(&["produce", "--source", &place.source("max")])?;
    for words in [&["consume", "--until-end", "--instance", "chaos"][..], &["aggregate", "--until-end"]] {
        let (code, text) = place.run(words)?;
        ensure!(code == 0 || code == 5, "tapeline {}: exit {code}\n{text}", words.join(" "));
    }
    Ok(problems)
}

/// Messages that the gap ledger names as lost: `None` if an entry has no count.
fn reported_lost(place: &Place) -> Result<Option<u64>> {
    let text = place.must(&["gaps", "--format", "json"])?;
    let gaps: Vec<Value> = serde_json::from_str(text.trim()).with_context(|| format!("gaps: {text}"))?;
    ensure!(!gaps.is_empty(), "messages were destroyed, and the gap ledger is empty");
    let mut total = 0;
    for gap in &gaps {
        let cause = gap["cause"].as_str().unwrap_or_default();
        if !cause.contains(&format!("{}.trades", place.name)) || cause.contains("-bars") {
            continue;
        }
        let count = cause
            .split_once(" (")
            .and_then(|(_, rest)| rest.split_once(" messages)")?.0.replace(',', "").parse::<u64>().ok());
        match count {
            Some(count) => total += count,
            None => return Ok(None),
        }
    }
    Ok(Some(total))
}

/// Divides the round's records among its faults by what was published meanwhile, so that their sum is the tape.
fn share(injected: &mut [Injected], total: u64) {
    let seen: u64 = injected.iter().map(|one| one.sent).sum();
    let count = injected.len().max(1) as u64;
    let mut left = total;
    for one in injected.iter_mut() {
        one.sent = (one.sent * total).checked_div(seen).unwrap_or(total / count);
        left = left.saturating_sub(one.sent);
    }
    if let Some(last) = injected.last_mut() {
        last.sent += left;
    }
}

fn counts(value: &Value) -> Result<BTreeMap<String, u64>> {
    let object = value.as_object().context("expected counts by symbol")?;
    object.iter().map(|(symbol, n)| Ok((symbol.clone(), n.as_u64().context("expected a count")?))).collect()
}

/// How many rows are missing, and how many too many.
fn difference(want: &BTreeMap<String, u64>, have: &BTreeMap<String, u64>) -> (u64, u64) {
    let of = |counts: &BTreeMap<String, u64>, symbol: &str| counts.get(symbol).copied().unwrap_or(0);
    let symbols: std::collections::BTreeSet<&String> = want.keys().chain(have.keys()).collect();
    symbols.into_iter().fold((0, 0), |(missing, extra), symbol| {
        let (want, have) = (of(want, symbol), of(have, symbol));
        (missing + want.saturating_sub(have), extra + have.saturating_sub(want))
    })
}

/// A table of plain values without one of its columns.
fn without_column(csv: &str, name: &str) -> String {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>()).collect::<Vec<_>>();
    if let Some(at) = lines.first().and_then(|names| names.iter().position(|found| *found == name)) {
        lines.iter_mut().filter(|line| line.len() > at).for_each(|line| {
            line.remove(at);
        });
    }
    lines.into_iter().map(|line| line.join(",") + "\n").collect()
}

/// FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(symbol, n)| ((*symbol).to_owned(), *n)).collect()
    }

    #[test]
    fn a_column_is_removed_by_its_name() {
        let text = "start,revision,final\n1,7,true\n";
        assert_eq!(without_column(text, "revision"), "start,final\n1,true\n");
        assert_eq!(without_column(text, "what"), text);
    }

    #[test]
    fn missing_and_extra_rows_do_not_cancel_out() {
        let want = counted(&[("A", 5), ("B", 5), ("C", 1)]);
        assert_eq!(difference(&want, &counted(&[("A", 4), ("B", 6), ("D", 2)])), (2, 3));
        assert_eq!(difference(&want, &want), (0, 0));
    }

    #[test]
    fn the_faults_of_a_round_share_its_records() {
        let fault = |sent| Injected { fault: Fault::Poison, recovered: None, sent };
        for counts in [&[1, 3][..], &[0, 0, 0]] {
            let mut injected: Vec<Injected> = counts.iter().map(|n| fault(*n)).collect();
            share(&mut injected, 1_000);
            assert_eq!(injected.iter().map(|one| one.sent).sum::<u64>(), 1_000);
        }
    }
}
