//! One symbol of one feed (or one series of readings, or one stage of the pipeline), and the evaluation of its rules.

use super::Alert;
use super::condition::{Condition, Subject};
use super::filter::{Filter, Quoted};
use super::gate::{Gate, Pace};
use super::levels::{Average, DayRange, Days, Vwap};
use super::prints::{Print, Prints, Uses};
use super::report::{self, Event};
use super::retract::{Amendment, Cause, Recent, percent};
use super::rule::{Direction, HaltEvent, Session};
use super::settings::EngineSettings;
use super::validated::Rule;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A rule and direction for one series, with the state that every record needs.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) rule: u32,
    /// Window or moving average that it looks at.
    slot: usize,
    pub(super) up: bool,
    pub(super) session: Session,
    pub(super) condition: Condition,
    pace: Pace,
    hysteresis: f64,
    /// From the previous days: the extreme, or the close.
    before: Option<f64>,
    gate: Gate,
    /// A deadline is set.
    pub(super) waits: bool,
}

/// State that a restart needs besides the prints and the gates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Data {
    pub(super) subject: u8,
    pub(super) feed: Box<str>,
    pub(super) symbol: Box<str>,
    /// Time of the latest print.
    latest: i64,
    /// Time of the first print of the session day.
    started: i64,
    /// Time of the latest record that ends a silence.
    pub(super) seen: i64,
    halted: bool,
    /// The last notice, unless a price followed: vendors repeat notices.
    #[serde(default)]
    notice: Option<bool>,
    filter: Filter,
    /// Time of the latest quote, and the last price of each side.
    quoted: i64,
    sides: [Option<f64>; 2],
    /// The latest quote that was not crossed.
    quote: Option<Quoted>,
    /// Of the day, and of its regular session.
    vwap: [Vwap; 2],
    averages: Vec<Average>,
    days: Days,
    recent: Recent,
}

/// A series in a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SeriesState {
    pub(super) data: Data,
    prints: VecDeque<Print>,
    gates: Vec<(String, u64, bool, Gate)>,
}

/// What evaluation needs from outside the series.
pub(super) struct Context<'a> {
    pub(super) rules: &'a [Rule],
    pub(super) settings: &'a EngineSettings,
    pub(super) out: &'a mut Vec<Alert>,
}

/// A trade ready for evaluation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming {
    pub(super) ts: i64,
    pub(super) key: u64,
    pub(super) price: f64,
    pub(super) size: f64,
    /// What it may count towards, by its conditions and the session.
    pub(super) uses: Uses,
}

/// What a check compares: it is met if `value >= limit`, released if `value < limit - hysteresis`.
struct Measure {
    value: f64,
    limit: f64,
}

pub(super) struct Series {
    pub(super) data: Data,
    prints: Prints,
    pub(super) checks: Vec<Check>,
    keep_days: usize,
    /// [`Series::missing_days`] was read.
    has_asked: bool,
}

/// Minimum time for which prints are remembered: to detect duplicates and cancels.
const REMEMBER: i64 = 60 * crate::interval::SECOND;

impl Series {
    pub(super) fn new(subject: Subject, feed: &str, symbol: &str, rules: &[Rule]) -> Self {
        let data = Data {
            subject: subject as u8,
            feed: feed.into(),
            symbol: symbol.into(),
            latest: i64::MIN,
            started: i64::MIN,
            seen: i64::MIN,
            halted: false,
            notice: None,
            filter: Filter::default(),
            quoted: i64::MIN,
            sides: [None; 2],
            quote: None,
            vwap: [Vwap::default(); 2],
            averages: Vec::new(),
            days: Days::default(),
            recent: Recent::default(),
        };
        let mut series =
            Self { data, prints: Prints::default(), checks: Vec::new(), keep_days: 1, has_asked: false };
        series.prints.extend(REMEMBER);
        for (index, rule) in rules.iter().enumerate() {
            if rule.condition.subject() == subject && rule.takes(symbol) {
                series.add(index as u32, rule);
            }
        }
        series
    }

    fn add(&mut self, index: u32, rule: &Rule) {
        let condition = rule.condition;
        self.prints.extend(condition.horizon());
        let slot = match condition {
            Condition::PercentMove { window, .. } | Condition::RateOfChange { window, .. } => {
                self.prints.price_window(window)
            }
            Condition::VolumeSurge { window, baseline, .. } => self.prints.volume_window(window, baseline),
            Condition::Average { spec } => {
                let known = self.data.averages.iter().position(|average| average.spec == spec);
                known.unwrap_or_else(|| {
                    self.data.averages.push(Average::new(spec));
                    self.data.averages.len() - 1
                })
            }
            Condition::NewExtreme { days } => {
                self.keep_days = self.keep_days.max(days);
                0
            }
            _ => 0,
        };
        let sides: &[bool] = match rule.config.direction {
            _ if !condition.has_sides() => &[true],
            Direction::Up => &[true],
            Direction::Down => &[false],
            Direction::Both => &[true, false],
        };
        for up in sides {
            self.checks.push(Check {
                rule: index,
                slot,
                up: *up,
                session: rule.config.session,
                condition,
                pace: rule.pace,
                hysteresis: rule.config.hysteresis,
                before: None,
                gate: Gate::default(),
                waits: false,
            });
        }
    }

    /// Starts a new session day. `split` multiplies earlier prices.
    pub(super) fn roll(&mut self, yyyymmdd: u32, split: f64) {
        let data = &mut self.data;
        data.days.roll(yyyymmdd, self.keep_days);
        data.vwap = [Vwap::default(); 2];
        data.started = i64::MIN;
        if (split - 1.0).abs() > f64::EPSILON {
            data.days.scale(split);
            data.filter.scale(split);
            data.averages.iter_mut().for_each(|average| average.scale(split));
            data.quote = None;
            data.sides = [None; 2];
            self.prints.scale(split);
        }
        for check in &mut self.checks {
            if matches!(check.condition, Condition::NewExtreme { .. } | Condition::OpenGap { .. }) {
                check.gate.rearm();
            }
        }
        self.refresh();
    }

    /// Number of days before today that its rules need, if it does not know as many; only the first time.
    #[inline]
    pub(super) fn missing_days(&mut self) -> Option<usize> {
        if std::mem::replace(&mut self.has_asked, true) {
            return None;
        }
        let days = self.checks.iter().map(|check| check.condition.days()).max().unwrap_or(0);
        (self.data.days.known() < days).then_some(days)
    }

    /// A day known from elsewhere.
    pub(super) fn daily(&mut self, day: DayRange) {
        self.data.days.add(day, self.keep_days);
        self.refresh();
    }

    fn refresh(&mut self) {
        for check in &mut self.checks {
            check.before = match check.condition {
                Condition::NewExtreme { days } => self.data.days.extreme_of(days, check.up),
                Condition::OpenGap { .. } => self.data.days.previous_close(),
                _ => None,
            };
        }
    }

    pub(super) fn today(&self) -> u32 {
        self.data.days.today()
    }

    pub(super) fn is_late(&self, ts: i64) -> bool {
        ts < self.data.latest
    }

    /// Adds a print.
    pub(super) fn print(&mut self, incoming: &Incoming, context: &mut Context<'_>) {
        if self.prints.contains(incoming.key) {
            return;
        }
        let Incoming { key, price, size, .. } = *incoming;
        let data = &mut self.data;
        let mut uses = incoming.uses.0;
        let late = incoming.ts < data.latest;
        let ts = incoming.ts.max(data.latest);
        let believed = uses & Uses::PRICE != 0
            && !late
            && data.filter.accepts(price, ts, data.quote.as_ref(), &context.settings.filter);
        if !believed {
            uses &= !(Uses::PRICE | Uses::EXTREME | Uses::CLOSE);
        }
        let print = Print { ts, key, price, size, uses: Uses(uses) };
        data.latest = ts;
        data.seen = data.seen.max(ts);
        if data.started == i64::MIN {
            data.started = ts;
        }
        if print.uses.has(Uses::VOLUME) {
            data.vwap[0].add(price, size, 1.0);
            if print.uses.has(Uses::REGULAR) {
                data.vwap[1].add(price, size, 1.0);
            }
        }
        if print.uses.has(Uses::PRICE) {
            data.notice = None;
            data.averages.iter_mut().for_each(|average| average.observe(ts, price));
        }
        self.prints.push(print);
        self.evaluate(&print, context);
        let data = &mut self.data;
        if print.uses.has(Uses::EXTREME) {
            data.days.extreme(price);
        }
        if print.uses.has(Uses::CLOSE) {
            data.days.close(price);
            data.days.opened |= print.uses.has(Uses::REGULAR);
        }
    }

    /// Adds a reading: every number is accepted.
    pub(super) fn value(&mut self, incoming: &Incoming, context: &mut Context<'_>) {
        if self.prints.contains(incoming.key) {
            return;
        }
        let Incoming { ts, key, price, size, uses } = *incoming;
        let print = Print { ts, key, price, size, uses };
        self.data.latest = ts;
        self.data.seen = self.data.seen.max(ts);
        self.prints.push(print);
        self.evaluate(&print, context);
    }

    fn evaluate(&mut self, print: &Print, context: &mut Context<'_>) {
        let regular = print.uses.has(Uses::REGULAR);
        let mut fired: Vec<(usize, Measure)> = Vec::new();
        for (index, check) in self.checks.iter_mut().enumerate() {
            if !check.session.takes(regular) {
                continue;
            }
            if let Condition::Stall { .. } | Condition::Silence { .. } = check.condition {
                if !check.gate.is_armed() {
                    check.gate.rearm();
                }
                continue;
            }
            let Some(measure) = measure(check, print, &self.prints, &self.data) else { continue };
            let met = measure.value >= measure.limit;
            // Once per session: only the next day re-arms these.
            let daily = matches!(check.condition, Condition::NewExtreme { .. } | Condition::OpenGap { .. });
            let released = !daily && measure.value < measure.limit - check.hysteresis;
            if check.gate.fires(met, released, print.ts, &check.pace) {
                fired.push((index, measure));
            }
        }
        for (index, measure) in fired {
            self.fire(index, print, &measure, context);
        }
    }

    #[cold]
    fn fire(&mut self, index: usize, print: &Print, measure: &Measure, context: &mut Context<'_>) {
        let check = &self.checks[index];
        let (up, price) = (check.up, print.price);
        let sign = if up { 1.0 } else { -1.0 };
        let key = print.key;
        let at = |limit: f64| Cause::Price { key, limit, up };
        let (value, threshold, cause) = match check.condition {
            Condition::PercentMove { window, threshold } => {
                let reference = self.prints.reference(check.slot, up).map_or(0, |reference| reference.key);
                let (from, to) = (print.ts.saturating_sub(window), print.ts);
                (
                    sign * measure.value,
                    threshold,
                    Cause::Move { key, price, reference, from, to, threshold, up },
                )
            }
            Condition::VolumeSurge { window, threshold, .. } => {
                let (volume, mean) = self.prints.volume(check.slot).unwrap_or_default();
                let (from, to) = (print.ts.saturating_sub(window), print.ts);
                let uncounted = self.prints.within(from, to).map_or_else(Vec::new, |prints| {
                    prints.filter(|print| !print.uses.has(Uses::VOLUME)).map(|print| print.key).collect()
                });
                let cause = Cause::Volume { from, to, volume, needed: mean * threshold, uncounted };
                (measure.value, threshold, cause)
            }
            Condition::VwapDeviation { threshold } => {
                let vwap = self.data.vwap[usize::from(check.session == Session::Regular)].value();
                let limit = vwap.unwrap_or(price) * (1.0 + sign * threshold / 100.0);
                (sign * measure.value, threshold, at(limit))
            }
            Condition::OpenGap { threshold } => {
                let limit = check.before.unwrap_or(price) * (1.0 + sign * threshold / 100.0);
                (sign * measure.value, threshold, at(limit))
            }
            Condition::NewExtreme { .. } => {
                let limit = check.before.unwrap_or(price);
                (price, limit, at(if up { limit.next_up() } else { limit.next_down() }))
            }
            Condition::Level { level } => (price, level, at(level)),
            Condition::Average { .. } => (price, sign * measure.limit.next_down(), at(sign * measure.limit)),
            _ => (sign * measure.value, sign * measure.limit, Cause::Other),
        };
        let market = self.data.subject == Subject::Market as u8;
        self.emit(index, (print.ts, key), (value, threshold), market.then_some(price), cause, context);
    }

    fn emit(
        &mut self,
        index: usize,
        (ts, key): (i64, u64),
        (value, threshold): (f64, f64),
        price: Option<f64>,
        cause: Cause,
        context: &mut Context<'_>,
    ) {
        let check = &self.checks[index];
        let (feed, symbol) = (&*self.data.feed, &*self.data.symbol);
        let event = Event { feed, symbol, ts, cause: key, up: check.up, value, threshold, price };
        let alert = report::alert(&context.rules[check.rule as usize], &event);
        self.data.recent.push(cause, &alert, context.settings.retract_within.0);
        context.out.push(alert);
    }

    /// A print was canceled (`None`) or corrected.
    pub(super) fn amend(&mut self, incoming: &Incoming, canceled: bool, context: &mut Context<'_>) {
        let to = (!canceled).then_some((incoming.price, incoming.size));
        let was = self.prints.amend(incoming.key, to);
        if let Some(was) = was.filter(|was| was.uses.has(Uses::VOLUME)) {
            // Older prints are out of reach: their VWAP is unchanged.
            let count = if was.uses.has(Uses::REGULAR) { 2 } else { 1 };
            for vwap in &mut self.data.vwap[..count] {
                vwap.add(was.price, was.size, -1.0);
                if let Some((price, size)) = to {
                    vwap.add(price, size, 1.0);
                }
            }
        }
        if let Some(last) = self.prints.last_price() {
            self.data.filter.last = Some(last);
        }
        let (ts, size, counted) = match was {
            Some(was) => (was.ts, was.size, was.uses.has(Uses::VOLUME)),
            // A print that should still be remembered and is not was never seen.
            None if self.prints.within(incoming.ts, incoming.ts).is_some() => (incoming.ts, 0.0, false),
            None => (incoming.ts, incoming.size, incoming.uses.has(Uses::VOLUME)),
        };
        let volume = if counted { to.map_or(0.0, |(_, size)| size) - size } else { 0.0 };
        let change = Amendment { key: incoming.key, ts, price: to.map(|(price, _)| price), volume };
        for alert in self.data.recent.retract(&change, &self.prints) {
            context.out.push(report::retraction(alert, canceled));
        }
    }

    /// Adds a quote: the sides that were sent. `regular` is the session.
    pub(super) fn quote(
        &mut self,
        ts: i64,
        sides: [Option<f64>; 2],
        key: u64,
        regular: bool,
        context: &mut Context<'_>,
    ) {
        if ts < self.data.quoted {
            return;
        }
        self.data.quoted = ts;
        for (known, new) in self.data.sides.iter_mut().zip(sides) {
            *known = new.or(*known);
        }
        let [Some(bid), Some(ask)] = self.data.sides else { return };
        if bid <= 0.0 || ask < bid {
            return;
        }
        let quote = Quoted { ts, bid, ask };
        self.data.quote = Some(quote);
        let mid = (quote.bid + quote.ask) / 2.0;
        let value = (quote.ask - quote.bid) / mid * 10_000.0;
        for index in 0..self.checks.len() {
            let check = &mut self.checks[index];
            let Condition::Spread { threshold } = check.condition else { continue };
            if check.session.takes(regular)
                && check.gate.fires(
                    value >= threshold,
                    value < threshold - check.hysteresis,
                    quote.ts,
                    &check.pace,
                )
            {
                self.emit(index, (quote.ts, key), (value, threshold), Some(mid), Cause::Other, context);
            }
        }
    }

    /// Trading was halted or resumed. A repeated notice is skipped.
    pub(super) fn halt(&mut self, ts: i64, halted: bool, context: &mut Context<'_>) {
        if self.data.notice.replace(halted) == Some(halted) {
            return;
        }
        self.data.halted = halted;
        self.data.seen = self.data.seen.max(ts);
        for index in 0..self.checks.len() {
            let check = &mut self.checks[index];
            let Condition::Halt { on } = check.condition else { continue };
            let wanted = match on {
                HaltEvent::Both => true,
                HaltEvent::Halt => halted,
                HaltEvent::Resume => !halted,
            };
            check.up = !halted;
            if wanted {
                self.emit(index, (ts, u64::from(halted)), (0.0, 0.0), None, Cause::Other, context);
            }
        }
    }

    /// The series has been silent since `seen` for `window` at `due`.
    pub(super) fn silent(&mut self, index: usize, window: i64, due: i64, context: &mut Context<'_>) {
        let check = &mut self.checks[index];
        if self.data.halted || !check.gate.fires(true, false, due, &check.pace) {
            return;
        }
        let seconds = window as f64 / 1e9;
        self.emit(index, (due, self.data.seen as u64), (seconds, seconds), None, Cause::Other, context);
    }

    /// Its state, for a snapshot.
    pub(super) fn state(&self, rules: &[Rule]) -> SeriesState {
        let gate = |check: &Check| {
            let rule = &rules[check.rule as usize];
            (rule.config.name.clone(), rule.fingerprint, check.up, check.gate)
        };
        SeriesState {
            data: self.data.clone(),
            prints: self.prints.ring().clone(),
            gates: self.checks.iter().map(gate).collect(),
        }
    }

    /// Restores a state; what belongs to removed or changed rules is dropped.
    pub(super) fn restore(&mut self, state: SeriesState, rules: &[Rule]) {
        let SeriesState { mut data, prints, gates } = state;
        let mut averages = std::mem::take(&mut self.data.averages);
        for average in &mut averages {
            if let Some(known) = data.averages.iter().find(|known| known.spec == average.spec) {
                *average = known.clone();
            }
        }
        data.averages = averages;
        self.data = data;
        self.prints.restore(prints);
        for check in &mut self.checks {
            let rule = &rules[check.rule as usize];
            let same = |(name, fingerprint, up, _): &&(String, u64, bool, Gate)| {
                *name == rule.config.name && *fingerprint == rule.fingerprint && *up == check.up
            };
            if let Some((.., gate)) = gates.iter().find(same) {
                check.gate = *gate;
            }
        }
        self.refresh();
    }
}

/// What a check compares for a print; `None` if the print does not concern it or there is nothing to compare
/// with.
#[inline]
fn measure(check: &Check, print: &Print, prints: &Prints, data: &Data) -> Option<Measure> {
    let sign = if check.up { 1.0 } else { -1.0 };
    let has = |bit| print.uses.has(bit).then_some(());
    let price = print.price;
    match check.condition {
        Condition::PercentMove { threshold, .. } => {
            has(Uses::PRICE)?;
            let reference = prints.reference(check.slot, check.up)?;
            Some(Measure { value: percent(price, reference.price, check.up), limit: threshold })
        }
        Condition::Level { level } => {
            has(Uses::PRICE)?;
            Some(Measure { value: sign * price, limit: sign * level })
        }
        Condition::Average { .. } => {
            has(Uses::PRICE)?;
            let level = data.averages.get(check.slot)?.level?;
            // Strictly beyond: an unchanged price equals its own average and crosses nothing.
            Some(Measure { value: sign * price, limit: (sign * level).next_up() })
        }
        Condition::VolumeSurge { window, baseline, threshold } => {
            has(Uses::VOLUME)?;
            if data.started > print.ts.saturating_sub(window).saturating_sub(baseline) {
                return None;
            }
            let (recent, mean) = prints.volume(check.slot)?;
            Some(Measure { value: recent / mean, limit: threshold })
        }
        Condition::VwapDeviation { threshold } => {
            has(Uses::PRICE)?;
            let vwap = data.vwap[usize::from(check.session == Session::Regular)].value()?;
            Some(Measure { value: percent(price, vwap, check.up), limit: threshold })
        }
        Condition::NewExtreme { .. } => {
            has(Uses::EXTREME)?;
            let limit = check.before?;
            // Strictly beyond.
            Some(Measure { value: sign * price, limit: (sign * limit).next_up() })
        }
        Condition::OpenGap { threshold } => {
            has(Uses::CLOSE)?;
            has(Uses::REGULAR)?;
            if data.days.opened {
                return None;
            }
            Some(Measure { value: percent(price, check.before?, check.up), limit: threshold })
        }
        Condition::Threshold { threshold } => Some(Measure { value: sign * price, limit: sign * threshold }),
        Condition::RateOfChange { threshold, .. } => {
            let reference = prints.reference(check.slot, check.up)?;
            Some(Measure { value: sign * (price - reference.price), limit: threshold })
        }
        Condition::PipelineLag { threshold } => Some(Measure { value: price, limit: threshold }),
        _ => None,
    }
}
