//! The tape's clock.

use super::faults::{self, Fault};
use super::handle::{Handle, Out};
use super::simulation::Simulation;
use super::vendor_api;
use market::Kind;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the clock is read.
const TICK: Duration = Duration::from_millis(2);

/// Plays the tape to all sessions; returns the faults that were injected.
pub(super) fn play(simulation: &Simulation) -> Vec<Fault> {
    let shared = &simulation.shared;
    while !simulation.sessions().iter().any(Handle::subscribed) {
        if shared.stop.sleep(TICK) {
            return Vec::new();
        }
    }
    let kinds = vendor_api::faults(simulation.api.as_ref());
    let mut plan = shared
        .settings
        .faults
        .map_or_else(Vec::new, |(seed, count)| faults::plan(seed, count, shared.items.len(), &kinds));
    plan.reverse();
    let apart = shared.items.len() / (2 * plan.len()).max(1);
    let (start, first) = (Instant::now(), shared.items.first().map_or(0, |item| item.ts));
    let (mut from, mut made) = (0, Vec::new());
    while from < shared.items.len() && !shared.stop.is_cancelled() {
        let due = shared.settings.speed.map_or(i64::MAX, |speed| {
            first.saturating_add((start.elapsed().as_secs_f64() * speed * 1e9) as i64)
        });
        let allowed =
            shared.settings.rate.map_or(usize::MAX, |rate| (start.elapsed().as_secs_f64() * rate) as usize);
        let room = shared.settings.frame.min(allowed.saturating_sub(from));
        let mut to = from + shared.items[from..].iter().take(room).take_while(|i| i.ts <= due).count();
        if let Some((place, _)) = plan.last()
            && *place > from
        {
            to = to.min(*place);
        }
        if to == from {
            std::thread::sleep(TICK);
            continue;
        }
        // A fault without a client waits for one, and an amendment for a trade.
        let met = simulation.sessions().iter().any(Handle::subscribed);
        let trade = (from..to).find(|place| shared.items[*place].kind == Kind::TRADE);
        let meets = |fault: Fault| met && (trade.is_some() || !fault.amends());
        let fault =
            plan.last().filter(|(place, fault)| *place <= to && meets(*fault)).map(|(_, fault)| *fault);
        if let (Some(fault), Some(trade)) = (fault.filter(|fault| fault.amends()), trade) {
            shared.amended().insert(trade, fault);
        }
        shared.played.store(to, Ordering::Release);
        if let Some(fault) = fault {
            plan.pop();
            made.push(fault);
            // Postponed faults do not all hit the client at once when it is back.
            if let Some((place, _)) = plan.last_mut() {
                *place = (*place).max(to + apart);
            }
            tracing::info!(fault = fault.name(), at = to, "injecting a fault");
            if matches!(fault, Fault::Limit | Fault::TooMany) {
                shared.refuse.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(fault);
            }
        }
        send(simulation, &Out { from, to, fault });
        from = to;
    }
    made
}

fn send(simulation: &Simulation, out: &Out) {
    let shared = &simulation.shared;
    let sessions = simulation.sessions().clone();
    for session in sessions.iter().filter(|session| session.subscribed()) {
        // At its own pace the tape waits for nobody; at the clients' pace it waits for all.
        let taken = match shared.settings.speed {
            Some(_) => session.offer(*out),
            None => session.give(*out, &shared.stop),
        };
        if !taken {
            session.too_slow();
        }
    }
}
