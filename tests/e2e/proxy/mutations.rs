//! B94, in small: thousands of requests bent at random. Whatever they are, the upstream sees only requests that hold to the
//! letter of RFC 9112, the smuggled one never, and the gateway lives.

use std::{thread, time::Duration};

use super::house::House;
use crate::support::{
    bend::{Numbers, SEEDS, bend},
    http::Framing,
    rawc::Client,
    rawup::Request,
    wrong::Wrong,
};

const ROUNDS: u64 = 150;

/// B94: see above.
#[test]
fn bent_requests_reach_the_upstream_straight_or_not_at_all() {
    let house = House::new();
    thread::scope(|scope| {
        for thread in 0..8 {
            let house = &house;
            scope.spawn(move || {
                let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ thread);
                for round in 0..ROUNDS {
                    let seed = SEEDS[numbers.below(SEEDS.len())];
                    let bytes = bend(house.bytes(seed.as_bytes()), &mut numbers);
                    let mut client = Client::connect(house.program.gateway().0);
                    let _ = client.patience(Duration::from_millis(20)).try_send(&bytes);
                    while let Ok(Some(_)) =
                        client.try_receive(if seed.starts_with("HEAD") { "HEAD" } else { "GET" })
                    {
                    }
                    // Now and then the other end is left in the middle of it.
                    if round % 7 == 0 {
                        client.reset();
                    }
                }
            });
        }
    });
    let sound = |seen: &Request| {
        let known = seen.target.starts_with("/api/");
        let framed = Framing::of(&seen.fields, Framing::None).is_ok();
        let one_host = seen.fields.all("host").len() == 1;
        let ours = seen.fields.folding_to("x-tenant-id").iter().all(|(_, value)| value != "B");
        known && framed && one_host && ours && seen.version == "HTTP/1.1"
    };
    let seen = house.upstream.requests();
    assert!(seen.len() > 100, "only {} requests came through: nothing was tried", seen.len());
    let mut wrong = Wrong::default();
    for request in &seen {
        wrong.unless(sound(request), || format!("{request:?}"));
    }
    wrong.none("a bent request");
    assert_eq!(house.program.key(&house.key).get("/api/x").status, 200);
}
