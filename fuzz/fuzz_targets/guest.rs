//! `cargo +nightly fuzz run guest`: what a guest returns and calls, made of the fuzzer's bytes.

#![no_main]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wasmill::plugin::{Cache, Engine, Plugin};
use wasmill_fuzz::{Plugins, case};

static PLUGINS: LazyLock<Plugins> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (guests, target) = (here.join("../tests/guests"), here.join("target/guests"));
    let build = ["build", "--release", "--target", "wasm32-unknown-unknown", "-p", "replay", "-p", "replay-transform"];
    // The flags are those of the instrumented host.
    let built = Command::new("cargo")
        .current_dir(&guests)
        .args(build)
        .arg("--target-dir")
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the guests do not build");
    let (engine, cache) = (Engine::new().expect("an engine"), Cache::none());
    let load = |name: &str| {
        let path = target.join("wasm32-unknown-unknown/release").join(format!("{name}.wasm"));
        let bytes = std::fs::read(&path).expect("a guest");
        Plugin::load(&engine, &cache, &bytes, name).expect("a good guest")
    };
    Plugins { process: load("replay"), transform: load("replay_transform") }
});

fuzz_target!(|bytes: &[u8]| {
    case(&PLUGINS, bytes);
});
