//! Whatever a guest returns or calls, the host bears it: seeded runs of what cargo-fuzz runs for longer (`fuzz/`).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::fuzz::{Ended, Plugins, case};
use crate::guests;

const CASES: u64 = 24_000;

/// Bytes of a seed: xorshift.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..400).map(|_| next()).collect()
}

#[test]
fn whatever_a_guest_returns_or_calls_the_host_bears_it() {
    let plugins = Plugins { process: guests::plugin("replay"), transform: guests::plugin("replay_transform") };
    let (mut ended, start) = (HashMap::<Ended, u64>::new(), std::time::Instant::now());
    for seed in 0..CASES {
        match catch_unwind(AssertUnwindSafe(|| case(&plugins, &bytes(seed)))) {
            Ok(how) => *ended.entry(how).or_default() += 1,
            Err(panic) => {
                eprintln!("this was seed {seed}");
                resume_unwind(panic);
            }
        }
    }
    println!("{CASES} cases in {:?}: {ended:?}", start.elapsed());
    // Nothing is shown by scripts that all end the same way.
    for (how, least) in
        [(Ended::Passed, 20), (Ended::Failed, 15), (Ended::Either, 10), (Ended::Refused, 1), (Ended::Declared, 1)]
    {
        let count = ended.get(&how).copied().unwrap_or_default();
        assert!(count * 100 >= CASES * least, "{how:?} {count} times");
    }
    assert!(ended.get(&Ended::Endless).is_none_or(|&count| count * 50 < CASES), "{ended:?}");
}
