//! Rate limits by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Maximum number of addresses whose rate is remembered.
const ADDRESSES: usize = 10_000;

/// Requests by address: one token bucket each.
#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<IpAddr, (f64, Instant)>>);

impl Rates {
    /// Counts one request; returns false if the address exceeds its rate.
    pub(crate) fn take(&self, address: IpAddr, per_second: u32, burst: u32, now: Instant) -> bool {
        let (per_second, burst) = (f64::from(per_second), f64::from(burst));
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= ADDRESSES && !rates.contains_key(&address) {
            // An address with a full bucket need not be remembered.
            rates.retain(|_, (left, at)| *left + now.duration_since(*at).as_secs_f64() * per_second < burst);
            if rates.len() >= ADDRESSES {
                return false;
            }
        }
        let (left, at) = rates.entry(address).or_insert((burst, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() * per_second).min(burst);
        *at = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_is_slowed_down_and_recovers() {
        let (rates, now, one) = (Rates::default(), Instant::now(), IpAddr::from([127, 0, 0, 1]));
        let taken = (0..100).filter(|_| rates.take(one, 10, 20, now)).count();
        assert_eq!(taken, 20);
        assert!(rates.take(IpAddr::from([127, 0, 0, 2]), 10, 20, now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| rates.take(one, 10, 20, later)).count(), 10);
    }
}
