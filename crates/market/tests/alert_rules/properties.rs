//! Properties that hold for any data: restarts, duplicates and the interleaving of symbols change nothing.

use super::*;
use proptest::prelude::*;

const MANY: &str = r#"
[[rules]]
name = "move"
kind = "percent_move"
window = "5s"
threshold = 0.3
hysteresis = 0.1
cooldown = "3s"
[[rules]]
name = "level"
kind = "cross"
level = 100.0
hysteresis = 0.1
[[rules]]
name = "sma"
kind = "cross"
indicator = "sma:3"
interval = "1s"
[[rules]]
name = "surge"
kind = "volume_surge"
window = "2s"
baseline = "6s"
threshold = 2
[[rules]]
name = "vwap"
kind = "vwap_deviation"
threshold = 0.2
[[rules]]
name = "stall"
kind = "stall"
window = "2s"
"#;

fn walk() -> impl Strategy<Value = Vec<Print>> {
    let step = (0_i64..900, -40_i64..=40, 1_u32..20, 0_usize..3, 0_u32..20);
    proptest::collection::vec(step, 1..200).prop_map(|steps| {
        let (mut ms, mut cents) = (0, [10_000_i64; 3]);
        let mut out: Vec<Print> = Vec::new();
        for (index, (gap, change, lots, symbol, what)) in steps.into_iter().enumerate() {
            ms += gap;
            cents[symbol] += change;
            let mut print = print(index as u32, ms, cents[symbol] as f64 / 100.0);
            print.symbol = ["A", "B", "C"][symbol];
            print.size = f64::from(lots * 100);
            match (what, out.last().cloned()) {
                (0, Some(last)) => print = Print { revision: 1, canceled: true, ..last },
                (1, Some(last)) => print = Print { revision: 1, price: last.price + 0.2, ..last },
                (2, _) => print.price *= 1.02,
                _ => {}
            }
            out.push(print);
        }
        out
    })
}

proptest! {
    #[test]
    fn a_restart_changes_nothing(prints in walk(), cut in 0.0..1.0_f64) {
        let cut = (prints.len() as f64 * cut) as usize;
        let through = run(&mut engine(MANY), &prints);
        let mut first = engine(MANY);
        let mut out = run(&mut first, &prints[..cut]);
        let text = serde_json::to_string(&first.state()).unwrap();
        let mut second = engine(MANY);
        second.restore(serde_json::from_str(&text).unwrap());
        out.extend(run(&mut second, &prints[cut..]));
        prop_assert_eq!(out, through);
    }

    #[test]
    fn other_symbols_and_duplicates_change_nothing(prints in walk(), again in 0.0..1.0_f64) {
        let mut all = run(&mut engine(MANY), &prints);
        let mut apart: Vec<Alert> = Vec::new();
        for symbol in ["A", "B", "C"] {
            let own: Vec<_> = prints.iter().filter(|print| print.symbol == symbol).cloned().collect();
            apart.extend(run(&mut engine(MANY), &own));
        }
        // A silence is detected when time advances: in the other runs also after the last print.
        all.retain(|alert| alert.kind != "stall");
        apart.retain(|alert| alert.kind != "stall");
        let order = |a: &Alert, b: &Alert| a.key.cmp(&b.key);
        all.sort_by(order);
        apart.sort_by(order);
        prop_assert_eq!(&all, &apart);

        let mut twice = prints.clone();
        let at = (prints.len() as f64 * again) as usize;
        twice.insert(at + 1, prints[at].clone());
        let mut once = run(&mut engine(MANY), &twice);
        once.retain(|alert| alert.kind != "stall");
        once.sort_by(order);
        prop_assert_eq!(once, all);
    }

    #[test]
    fn keys_are_unique_and_the_pace_is_kept(prints in walk()) {
        let alerts = run(&mut engine(MANY), &prints);
        let keys: std::collections::HashSet<_> = alerts.iter().map(|alert| &alert.key).collect();
        prop_assert_eq!(keys.len(), alerts.len());
        for symbol in ["A", "B", "C"] {
            for kind in ["spike", "drop"] {
                let fired = |alert: &&Alert| alert.symbol == symbol && alert.kind == kind && alert.retracts.is_none();
                let times: Vec<_> = alerts.iter().filter(fired).map(|alert| alert.event_time).collect();
                prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 3 * SECOND), "{:?}", times);
            }
        }
    }

    #[test]
    fn any_text_is_a_rule_or_an_error(text in ".{0,200}") {
        if let Ok(rules) = toml::from_str::<Rules>(&text) {
            let _ = Engine::new(&rules.rules, settings());
        }
    }
}
