//! One target of `targets/` under libFuzzer; `LATCHGATE_FUZZ_TARGET` names it.

#![no_main]
#![expect(dead_code, reason = "how many inputs a short run tries is nothing to libFuzzer")]

mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&targets::Target> = LazyLock::new(|| {
    let name = std::env::var("LATCHGATE_FUZZ_TARGET").expect("LATCHGATE_FUZZ_TARGET names a target");
    targets::ALL.iter().find(|target| target.name == name).expect("a target of that name")
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
