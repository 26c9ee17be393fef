//! Alerts whose cause may still be canceled or corrected.

use super::Alert;
use super::prints::{Prints, Uses};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Cause of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Cause {
    /// A print at or beyond a price.
    Price {
        /// Its identity.
        key: u64,
        /// Prices from here upwards (`up`) or downwards meet the condition.
        limit: f64,
        up: bool,
    },
    /// A print compared with the extreme of a window.
    Move { key: u64, price: f64, reference: u64, from: i64, to: i64, threshold: f64, up: bool },
    /// Volume of a window, and the prints of it that do not count: a cancel may be delivered twice.
    Volume {
        from: i64,
        to: i64,
        volume: f64,
        needed: f64,
        #[serde(default)]
        uncounted: Vec<u64>,
    },
    /// A cause that cannot be canceled.
    Other,
}

/// An amendment of a print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amendment {
    pub(super) key: u64,
    pub(super) ts: i64,
    /// Its new price; `None` if it was canceled.
    pub(super) price: Option<f64>,
    /// By how much the volume changes: 0 if the print did not count towards it.
    pub(super) volume: f64,
}

impl Cause {
    /// Whether the condition would still have been met with the amendment applied.
    fn stands(&mut self, change: &Amendment, prints: &Prints) -> bool {
        match self {
            Self::Price { key, limit, up } if *key == change.key => {
                change.price.is_some_and(|price| if *up { price >= *limit } else { price <= *limit })
            }
            Self::Move { key, price, reference, from, to: end, threshold, up } => {
                if *key == change.key {
                    match change.price {
                        Some(corrected) => *price = corrected,
                        None => return false,
                    }
                } else if *reference != change.key {
                    return true;
                }
                let far = |other: f64| percent(*price, other, *up) >= *threshold;
                // The amended prints are in the ring. If it does not reach back far enough, the alert is
                // retracted with its reference.
                match prints.within(*from, *end) {
                    Some(mut window) => window.any(|print| print.uses.has(Uses::PRICE) && far(print.price)),
                    None => *reference != change.key,
                }
            }
            Self::Volume { from, to: end, volume, needed, uncounted }
                if *from < change.ts && change.ts <= *end =>
            {
                if change.price.is_none() {
                    if uncounted.contains(&change.key) {
                        return true;
                    }
                    uncounted.push(change.key);
                }
                *volume += change.volume * 1e9;
                *volume >= *needed
            }
            _ => true,
        }
    }
}

/// How far a price is above (`up`) or below another, in percent of the other.
#[inline]
pub(super) fn percent(price: f64, reference: f64, up: bool) -> f64 {
    if up { (price / reference - 1.0) * 100.0 } else { (1.0 - price / reference) * 100.0 }
}

/// Recent alerts of a series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Recent(VecDeque<(Cause, Alert)>);

impl Recent {
    /// Remembers an alert, and forgets those older than `keep` nanoseconds.
    pub(super) fn push(&mut self, cause: Cause, alert: &Alert, keep: i64) {
        let end = alert.event_time.saturating_sub(keep);
        while self.0.front().is_some_and(|(_, old)| old.event_time < end) {
            self.0.pop_front();
        }
        if cause != Cause::Other {
            self.0.push_back((cause, alert.clone()));
        }
    }

    /// Returns and forgets the alerts whose cause an amendment removes.
    pub(super) fn retract(&mut self, change: &Amendment, prints: &Prints) -> Vec<Alert> {
        let mut gone = Vec::new();
        self.0.retain_mut(|(cause, alert)| {
            let stands = cause.stands(change, prints);
            if !stands {
                gone.push(alert.clone());
            }
            stands
        });
        gone
    }
}
