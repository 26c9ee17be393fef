//! When a condition that is met may fire: hysteresis, cooldown, once per bar.

use serde::{Deserialize, Serialize};

/// How often a rule may fire for one symbol.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pace {
    /// Nanoseconds of event time after an alert in which no other fires; 0: no limit.
    pub(super) cooldown: i64,
    /// Length of a bar in nanoseconds in which at most one alert fires; 0: no limit.
    pub(super) once_per: i64,
    /// Whether the condition must have been seen unmet before it may fire: a level must be crossed, not just
    /// held.
    pub(super) crossing: bool,
}

/// State of one rule and direction for one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Gate {
    /// Evaluated before.
    seen: bool,
    /// May fire when the condition is met.
    armed: bool,
    /// Event time of the last alert.
    fired: Option<i64>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { seen: false, armed: true, fired: None }
    }
}

impl Gate {
    /// Adds an evaluation; returns true if the rule fires now. `met`: the value is at or beyond the
    /// threshold; `released`: it is back by more than the hysteresis.
    #[inline]
    pub(super) fn fires(&mut self, met: bool, released: bool, ts: i64, pace: &Pace) -> bool {
        if !self.seen {
            self.seen = true;
            self.armed = !(pace.crossing && met);
        }
        if !self.armed {
            self.armed = released;
            return false;
        }
        if !met {
            return false;
        }
        if let Some(fired) = self.fired
            && (ts.saturating_sub(fired) < pace.cooldown
                || (pace.once_per > 0 && ts.div_euclid(pace.once_per) == fired.div_euclid(pace.once_per)))
        {
            return false;
        }
        self.armed = false;
        self.fired = Some(ts);
        true
    }

    /// Re-arms it whatever the value: a new session, a record after silence.
    pub(super) fn rearm(&mut self) {
        self.armed = true;
        self.seen = true;
    }

    /// Whether the last alert is still valid.
    pub(super) const fn is_armed(&self) -> bool {
        self.armed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times at which values fire, threshold 10, re-armed below 10 - hysteresis.
    fn fired(values: &[(i64, f64)], hysteresis: f64, pace: Pace) -> Vec<i64> {
        let mut gate = Gate::default();
        let fires =
            |(ts, value): &(i64, f64)| gate.fires(*value >= 10.0, *value < 10.0 - hysteresis, *ts, &pace);
        let mut fires = fires;
        values.iter().filter(|value| fires(value)).map(|(ts, _)| *ts).collect()
    }

    #[test]
    fn table() {
        let values = [(0, 11.0), (1, 12.0), (2, 9.5), (3, 10.0), (4, 7.0), (5, 10.0), (6, 9.0), (11, 10.0)];
        let pace = Pace::default();
        assert_eq!(fired(&values, 0.0, pace), [0, 3, 5, 11]);
        assert_eq!(fired(&values, 2.0, pace), [0, 5]);
        assert_eq!(fired(&values, 0.0, Pace { crossing: true, ..pace }), [3, 5, 11]);
        assert_eq!(fired(&values, 0.0, Pace { cooldown: 4, ..pace }), [0, 5, 11]);
        assert_eq!(fired(&values, 0.0, Pace { once_per: 10, ..pace }), [0, 11]);
        // Still met when the cooldown ends.
        assert_eq!(
            fired(&[(0, 11.0), (1, 9.0), (2, 11.0), (9, 11.0)], 0.0, Pace { cooldown: 5, ..pace }),
            [0, 9]
        );
    }
}
