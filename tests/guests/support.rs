//! Builds the guests of this directory, and calls them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmill::plugin::{Cache, Engine, Instance, Limits, Place, Placed, Plugin, PluginError};
use wasmill_core::batch::{Batch, Message};
use wasmill_core::flow::Flow;
use wasmill_core::operator::{Call, CallError, CallInfo, Entry, Operator, Origin, Outcome, Slots};
use wasmill_core::port::{Found, Store, StoreError};
use wasmill_core::record::Timestamp;
use wasmill_core::scope::{Limits as ScopeLimits, Scope};
use wasmill_core::slots::Keys;
use wasmill_core::state::{Kept, State};
use wasmill_core::writes::Writes;

/// A guest of this directory, built once for all tests.
pub fn built(name: &str) -> Vec<u8> {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let path = DIRECTORY.get_or_init(build).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
    let target = source.join("../../target/guests");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(&source).args(["build", "--release", "--quiet", "--target", "wasm32-unknown-unknown"]);
    cargo.arg("--target-dir").arg(&target).env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    let status = cargo.status().expect("cargo is there, it runs this test");
    assert!(status.success(), "the guests do not build; is the target wasm32-unknown-unknown installed?");
    target.join("wasm32-unknown-unknown/release")
}

/// An engine and a guest, compiled once for all tests of a process.
pub fn plugin(name: &str) -> Plugin {
    static ENGINE: OnceLock<(Engine, Cache)> = OnceLock::new();
    static PLUGINS: OnceLock<[(&str, Plugin); 4]> = OnceLock::new();
    let (engine, cache) = ENGINE.get_or_init(|| (Engine::new().expect("an engine"), Cache::none()));
    let load = |name| (name, Plugin::load(engine, cache, &built(name), name).expect("a good guest"));
    let plugins = PLUGINS.get_or_init(|| ["process", "transform", "replay", "replay_transform"].map(load));
    plugins.iter().find(|(known, _)| *known == name).expect("a guest of this directory").1.clone()
}

/// The processor, told how to misbehave.
pub fn place(does: &str, limits: Limits) -> Result<Placed, PluginError> {
    let settings = format!(r#"{{"does": "{does}"}}"#).into();
    plugin("process").place(Place { operator: does.into(), settings, limits })
}

/// An instance of the processor with a short deadline.
pub fn process(does: &str) -> Instance {
    let limits = Limits { deadline: Duration::from_millis(200), ..Limits::default() };
    place(does, limits).expect("a good guest").instance()
}

/// Records with these keys, and their keys as values.
pub fn records(keys: &[&str]) -> Batch {
    let mut records = Batch::default();
    for (key, at) in keys.iter().zip(0..) {
        let bytes = Some(key.as_bytes());
        records.push(Message { key: bytes, value: bytes, headers: None, timestamp: Timestamp(at) });
    }
    records
}

/// The scope of a call with these records, over rows in memory, with a cell for each key.
pub fn scope(instance: &Instance, entry: Entry, records: Batch) -> Box<Scope> {
    scope_over(Box::new(Rows::default()), instance, entry, records)
}

/// The same over rows elsewhere.
pub fn scope_over(store: Box<dyn Store>, instance: &Instance, entry: Entry, records: Batch) -> Box<Scope> {
    let declaration = instance.declaration();
    let kept = declaration
        .states
        .iter()
        .zip(0..)
        .map(|(declaration, number)| Kept { declaration: declaration.clone(), number });
    let state = State::new(store, kept.collect());
    let keys = Keys::of(&records);
    let mut slots = Slots { slot_of: keys.slot_of().to_vec(), ..Slots::default() };
    keys.slots().iter().for_each(|_| slots.values.push(None));
    let count = records.len();
    let origin = Origin { topic: "lines".into(), offsets: vec![0; count], watermarks: vec![0; count] };
    let call = Call { entry, info: CallInfo::default(), records: records.into(), slots, origin };
    let outputs = vec![Flow::default(); declaration.outputs.len()];
    let origins = (0..count as u32).collect();
    Box::new(Scope::new(call, origins, keys, Some(Box::new(state)), outputs, ScopeLimits::default()))
}

/// Has an instance process records.
pub fn call(instance: &mut Instance, keys: &[&str]) -> (Box<Scope>, Result<Outcome, CallError>) {
    let scope = scope(instance, Entry::Process, records(keys));
    instance.call(scope)
}

/// Rows in memory.
#[derive(Debug, Default)]
pub struct Rows(BTreeMap<Vec<u8>, Vec<u8>>);

impl Store for Rows {
    fn get(&self, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(row).cloned())
    }

    fn get_many(&self, rows: &[&[u8]], visit: &mut Found<'_>) -> Result<(), StoreError> {
        rows.iter().for_each(|&row| visit(row, self.0.get(row).map(Vec::as_slice)));
        Ok(())
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let _ = self.0.range(from.to_vec()..).all(|(row, value)| visit(row, value));
        Ok(())
    }

    fn apply(&mut self, writes: Arc<Writes>) -> Result<(), StoreError> {
        for (row, value) in writes.iter() {
            match value {
                Some(value) => self.0.insert(row.to_vec(), value.to_vec()),
                None => self.0.remove(row),
            };
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.0.clear();
        Ok(())
    }
}

/// Rows on a disk that is gone.
#[derive(Debug)]
pub struct Lost;

impl Store for Lost {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::Broken("the disk is gone".into()))
    }

    fn get_many(&self, _: &[&[u8]], _: &mut Found<'_>) -> Result<(), StoreError> {
        Err(StoreError::Broken("the disk is gone".into()))
    }

    fn scan(&self, _: &[u8], _: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        Err(StoreError::Broken("the disk is gone".into()))
    }

    fn apply(&mut self, _: Arc<Writes>) -> Result<(), StoreError> {
        Err(StoreError::Broken("the disk is gone".into()))
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        Err(StoreError::Broken("the disk is gone".into()))
    }
}
