//! A plugin that cannot work is refused before a record reaches it, with a message that says what to do.

use crate::guests;
use wasmill::plugin::{Cache, Counts, Engine, Limits, Plugin};

fn refusal(bytes: &[u8]) -> String {
    let engine = Engine::new().unwrap();
    Plugin::load(&engine, &Cache::none(), bytes, "x.wasm").map(drop).unwrap_err().to_string()
}

fn refusal_of_text(text: &str) -> String {
    refusal(&wat::parse_str(text).unwrap())
}

#[test]
fn a_file_that_is_no_component_is_told_from_one() {
    assert_eq!(
        refusal(b"\x7fELF\x02\x01\x01\0\0"),
        r#"x.wasm is not a WebAssembly component or module: it begins with "\x7fELF\x02\x01\x01\x00""#
    );
    let message = refusal_of_text("(module)");
    assert!(message.starts_with("x.wasm is a WebAssembly module without the types of its imports"), "{message}");
}

#[test]
fn an_import_that_nobody_granted_is_named() {
    let wasi = r#"(component (import "wasi:filesystem/types@0.2.0" (instance (export "open" (func)))))"#;
    let message = refusal_of_text(wasi);
    assert_eq!(message, "x.wasm imports wasi:filesystem/types@0.2.0, which this pipeline does not grant");
    let plain = r#"(component (import "clock" (func)))"#;
    assert_eq!(refusal_of_text(plain), "x.wasm imports clock, which this pipeline does not grant");
    let preview1 = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#;
    let message = refusal_of_text(preview1);
    assert!(message.starts_with("x.wasm imports `fd_write` of `wasi_snapshot_preview1`"), "{message}");
}

#[test]
fn an_import_that_the_contract_lacks_is_named() {
    #[rustfmt::skip]
    let table = [
        (r#"(component (import "wasmill:plugin/state@0.1.0" (instance (export "peek" (func)))))"#,
         "x.wasm imports `peek` of wasmill:plugin/state@0.1.0, which this Wasmill does not have"),
        (r#"(component (import "wasmill:plugin/clock@0.1.0" (instance (export "now" (func)))))"#,
         "x.wasm imports wasmill:plugin/clock@0.1.0, which this Wasmill does not have"),
        (r#"(component (import "wasmill:plugin/state@0.2.0" (instance (export "get" (func)))))"#,
         "x.wasm imports wasmill:plugin/state@0.2.0, but this Wasmill has version 0.1.0"),
        (r#"(component (import "wasmill:plugin/state@1.0.0" (instance (export "get" (func)))))"#,
         "x.wasm imports wasmill:plugin/state@1.0.0, but this Wasmill has version 0.1.0: run a newer Wasmill, or build it with the SDK of this one"),
        (r#"(component (import "wasmill:plugin/state@0.0.9" (instance (export "get" (func)))))"#,
         "x.wasm imports wasmill:plugin/state@0.0.9, but this Wasmill has version 0.1.0: build it anew with the SDK of this Wasmill"),
        (r#"(component (instance $n) (export "wasmill:plugin/transformer@0.2.0" (instance $n)))"#,
         "x.wasm exports wasmill:plugin/transformer@0.2.0, but this Wasmill has version 0.1.0: run a newer Wasmill"),
        (r#"(module (import "wasmill:plugin/output@0.2.0" "emit" (func)))"#,
         "x.wasm imports wasmill:plugin/output@0.2.0, but this Wasmill has version 0.1.0: run a newer Wasmill"),
        (r#"(component (import "wasmill:plugin/metrics@0.1.0" (instance (export "add" (func (param "metric" string))))))"#,
         "x.wasm imports something with other types than wasmill:plugin/*@0.1.0 has: "),
    ];
    for (text, expected) in table {
        let message = refusal_of_text(text);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_wrong_world_is_told_by_its_exports() {
    let component = |exports: &[&str]| {
        let export = |(n, name): (u32, &&str)| format!(r#"(instance $n{n}) (export "{name}" (instance $n{n}))"#);
        refusal_of_text(&format!("(component {})", (0..).zip(exports).map(export).collect::<String>()))
    };
    let [transformer, processor, aggregator] =
        ["transformer", "processor", "aggregator"].map(|name| format!("wasmill:plugin/{name}@0.1.0"));
    #[rustfmt::skip]
    let table = [
        (component(&[]), "x.wasm is of the wrong world: exports nothing, but none of transformer, processor".to_owned()),
        (component(&["wasi:cli/run@0.2.0"]), "x.wasm is of the wrong world: exports wasi:cli/run@0.2.0, but none of transformer, processor".into()),
        (component(&[&aggregator]), format!("x.wasm is of a world that is not supported yet: exports {aggregator}; of the roles, transformer and processor are")),
        (component(&[&transformer, &processor]), format!("x.wasm is of the wrong world: exports {transformer}, {processor}, but a plugin has one role only")),
        (component(&[&transformer]), format!("x.wasm is of the wrong world: exports no `process` in {transformer}")),
    ];
    for (message, expected) in table {
        assert_eq!(message, expected);
    }
}

#[test]
fn what_a_plugin_says_of_itself_is_checked() {
    #[rustfmt::skip]
    let table = [
        ("describes-nothing", "process cannot describe itself: a setting is missing"),
        ("describes-for-ever", "process cannot describe itself: deadline of 1000 ms of processor time missed"),
        ("describes-with-output", "process cannot describe itself: output.emit may be used only while records or timers are processed"),
        ("describes-badly", "process declares state `seen` as prefetched, but only a single value can be"),
    ];
    for (does, expected) in table {
        let message = guests::place(does, Limits::default()).map(drop).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_warm_start_compiles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = guests::built("process");
    for expected in [Counts { compiled: 1, ..Counts::default() }, Counts { found: 1, ..Counts::default() }] {
        let (engine, cache) = (Engine::new().unwrap(), Cache::open(directory.path()).unwrap());
        Plugin::load(&engine, &cache, &bytes, "process").unwrap();
        assert_eq!(cache.counts(), expected);
    }
}
