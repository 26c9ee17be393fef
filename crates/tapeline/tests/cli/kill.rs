//! kill -9 at random moments, on real Kafka and Cassandra: afterwards the store equals the tape, record for record.

use crate::real::Real;
use crate::{finish, run, signal, start, tapeline, with};
use std::time::Duration;

/// A pseudo-random sequence with a fixed seed, so that a failure can be reproduced.
struct Moments(u64);

impl Moments {
    fn next(&mut self, up_to_ms: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % up_to_ms)
    }
}

#[test]
#[ignore = "needs real Kafka and Cassandra: cargo xtask test"]
fn twenty_kills_of_consume_and_ten_of_produce_lose_and_double_nothing() {
    let real = Real::new("kill");
    let urls = real.urls("?kinds=trades&speed=2500");
    let mut moments = Moments(20_131_008);
    let mut killed = [0; 2];
    // The tape takes about 23 s at this speed, divided among the producers.
    let consume = with("consume", &urls).into_iter().chain(["--instance", "k"]).collect::<Vec<_>>();
    for round in 0..20 {
        let consumer = start(&consume);
        let producer = (round % 2 == 0).then(|| start(&with("produce", &urls)));
        std::thread::sleep(Duration::from_millis(600) + moments.next(1_800));
        for (which, child) in [(0, Some(consumer)), (1, producer)] {
            let Some(mut child) = child else { continue };
            if child.try_wait().unwrap().is_none() {
                signal(&child, "-KILL");
                killed[which] += 1;
            }
            let (_, text) = finish(child.wait_with_output().unwrap());
            assert!(!text.contains("error:") && !text.contains("panicked"), "{text}");
        }
    }
    assert_eq!(killed, [20, 10]);
    // Finally without kills: producer and consumer resume where the last ones were killed.
    let urls = real.urls("?kinds=trades");
    let (code, text) = run(&with("produce", &urls));
    assert!(code == 0 && text.contains("rows were published before"), "{text}");
    let consume = with("consume", &urls).into_iter().chain(["--instance", "k"]).collect::<Vec<_>>();
    let (code, text) = finish(tapeline(&consume).arg("--until-end").output().unwrap());
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&with("verify", &urls));
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("verified: 654,140 records, equal field for field in source, topic, store"),
        "{text}"
    );
    println!("{text}");
}
