//! The functions of `wasmill:plugin` that guests call.

use wasmill_core::batch;
use wasmill_core::flow::Emitted;
use wasmill_core::record::Timestamp;
use wasmill_core::scope::{Measurement, Refusal, Scope};
use wasmill_core::state::Range;
use wasmtime::component::{Linker, LinkerInstance, WasmList, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::contract::{self, Blobs, Domain, GuestBatch, Level};
use super::host::{Host, with_scope};

/// What a row that is written costs beside its bytes.
const ROW: usize = 64;

/// Bytes of a guest.
type Bytes = WasmList<u8>;

/// A guest's store, as its imports get it.
type Store<'a> = StoreContextMut<'a, Host>;

/// Adds all of them.
pub(super) fn add(linker: &mut Linker<Host>) -> Result<()> {
    output(&mut linker.instance(&contract::interface("output"))?)?;
    state(&mut linker.instance(&contract::interface("state"))?)?;
    state_ranges(&mut linker.instance(&contract::interface("state"))?)?;
    timers(&mut linker.instance(&contract::interface("timers"))?)?;
    origin(&mut linker.instance(&contract::interface("origin"))?)?;
    metrics(&mut linker.instance(&contract::interface("metrics"))?)?;
    logging(&mut linker.instance(&contract::interface("logging"))?)
}

fn output(output: &mut LinkerInstance<'_, Host>) -> Result<()> {
    output.func_wrap("emit", |mut store: Store<'_>, args: (u32, GuestBatch, WasmList<u32>)| {
        let (port, records, origins) = args;
        with_scope(&mut store, "output.emit", |scope, store| {
            let emitted = Emitted {
                timestamps: records.timestamps.as_le_slice(store),
                spans: records.spans.as_le_slice(store),
                data: records.data.as_le_slice(store),
            };
            scope.emit(port, emitted, origins.as_le_slice(store))
        })
    })
}

fn state(state: &mut LinkerInstance<'_, Host>) -> Result<()> {
    state.func_wrap("get", |mut store: Store<'_>, (state, key, field): (u32, Bytes, Bytes)| {
        let read =
            |scope: &mut Scope, store: &Store<'_>| scope.get(state, key.as_le_slice(store), field.as_le_slice(store));
        Ok((with_scope(&mut store, "state.get", read)?,))
    })?;
    state.func_wrap("put", |mut store: Store<'_>, args: (u32, Bytes, Bytes, Bytes)| {
        let (state, key, field, value) = args;
        let size: usize = [&key, &field, &value].map(|bytes| bytes.as_le_slice(&store).len()).iter().sum();
        store.data_mut().charge(size + ROW)?;
        with_scope(&mut store, "state.put", |scope, store| {
            scope.put(state, key.as_le_slice(store), field.as_le_slice(store), value.as_le_slice(store))
        })
    })?;
    state.func_wrap("delete", |mut store: Store<'_>, (state, key, field): (u32, Bytes, Bytes)| {
        let size: usize = [&key, &field].map(|bytes| bytes.as_le_slice(&store).len()).iter().sum();
        store.data_mut().charge(size + ROW)?;
        with_scope(&mut store, "state.delete", |scope, store| {
            scope.delete(state, key.as_le_slice(store), field.as_le_slice(store))
        })
    })?;
    state.func_wrap("get-many", |mut store: Store<'_>, (state, ids): (u32, Blobs)| {
        let ids = checked("state.get-many", ids, 2)?;
        let mut answer = batch::Blobs::default();
        for id in pieces::<2>(&ids) {
            let [key, field] = id.map(|piece| named("state.get-many", piece));
            let (key, field) = (key?, field?);
            let value = with_scope(&mut store, "state.get-many", |scope, _| scope.get(state, key, field))?;
            store.data_mut().charge(value.as_ref().map_or(0, Vec::len))?;
            answer.push(value.as_deref());
        }
        Ok((Blobs::from(answer),))
    })?;
    state.func_wrap("put-many", |mut store: Store<'_>, (state, entries): (u32, Blobs)| {
        let entries = checked("state.put-many", entries, 3)?;
        store.data_mut().charge(written(&entries, 3))?;
        with_scope(&mut store, "state.put-many", |scope, _| {
            for [key, field, value] in pieces::<3>(&entries) {
                let (key, field) = (named("state.put-many", key)?, named("state.put-many", field)?);
                match value {
                    Some(value) => scope.put(state, key, field, value)?,
                    None => scope.delete(state, key, field)?,
                }
            }
            Ok(())
        })
    })
}

fn state_ranges(state: &mut LinkerInstance<'_, Host>) -> Result<()> {
    state.func_wrap("scan", |mut store: Store<'_>, args: (u32, Bytes, Bytes, Option<Bytes>, u32, bool)| {
        let (state, key, start, end, limit, reverse) = args;
        let found = with_scope(&mut store, "state.scan", |scope, store| {
            let (start, end) = (start.as_le_slice(store), end.as_ref().map(|end| end.as_le_slice(store)));
            scope.scan(state, key.as_le_slice(store), &Range { start, end, limit: limit as usize, reverse })
        })?;
        store.data_mut().charge(found.data().len())?;
        Ok((Blobs::from(found),))
    })?;
    state.func_wrap("delete-range", |mut store: Store<'_>, args: (u32, Bytes, Bytes, Option<Bytes>)| {
        let (state, key, start, end) = args;
        with_scope(&mut store, "state.delete-range", |scope, store| {
            let (start, end) = (start.as_le_slice(store), end.as_ref().map(|end| end.as_le_slice(store)));
            scope.delete_range(state, key.as_le_slice(store), &Range { start, end, ..Range::ALL })
        })
    })
}

fn timers(timers: &mut LinkerInstance<'_, Host>) -> Result<()> {
    timers.func_wrap("set", |mut store: Store<'_>, args: (Domain, Bytes, Bytes, i64)| {
        let (domain, key, name, at) = args;
        let size: usize = [&key, &name].map(|bytes| bytes.as_le_slice(&store).len()).iter().sum();
        store.data_mut().charge(size + ROW)?;
        with_scope(&mut store, "timers.set", |scope, store| {
            scope.set_timer(domain.into(), key.as_le_slice(store), name.as_le_slice(store), Timestamp(at))
        })
    })?;
    timers.func_wrap("cancel", |mut store: Store<'_>, (domain, key, name): (Domain, Bytes, Bytes)| {
        store.data_mut().charge(ROW)?;
        with_scope(&mut store, "timers.cancel", |scope, store| {
            scope.cancel_timer(domain.into(), key.as_le_slice(store), name.as_le_slice(store))
        })
    })?;
    timers.func_wrap("set-many", |mut store: Store<'_>, (domain, ids, at): (Domain, Blobs, WasmList<i64>)| {
        let ids = checked("timers.set-many", ids, 2)?;
        store.data_mut().charge(written(&ids, 2))?;
        with_scope(&mut store, "timers.set-many", |scope, store| {
            let at = at.as_le_slice(store);
            if at.len() != ids.len() / 2 {
                let (named, given) = (ids.len() / 2, at.len());
                return Err(Refusal::Violation(format!("timers.set-many names {named} timers and {given} times")));
            }
            for ([key, name], &at) in pieces::<2>(&ids).zip(at) {
                let (key, name) = (named("timers.set-many", key)?, named("timers.set-many", name)?);
                scope.set_timer(domain.into(), key, name, Timestamp(at))?;
            }
            Ok(())
        })
    })
}

fn origin(origin: &mut LinkerInstance<'_, Host>) -> Result<()> {
    origin.func_wrap("topic", |mut store: Store<'_>, (): ()| {
        Ok((with_scope(&mut store, "origin.topic", |scope, _| Ok(scope.call().origin.topic.clone()))?,))
    })?;
    origin.func_wrap("offsets", |mut store: Store<'_>, (): ()| {
        Ok((with_scope(&mut store, "origin.offsets", |scope, _| Ok(scope.call().origin.offsets.clone()))?,))
    })?;
    origin.func_wrap("watermarks", |mut store: Store<'_>, (): ()| {
        Ok((with_scope(&mut store, "origin.watermarks", |scope, _| Ok(scope.call().origin.watermarks.clone()))?,))
    })
}

fn metrics(metrics: &mut LinkerInstance<'_, Host>) -> Result<()> {
    metrics.func_wrap("add", |mut store: Store<'_>, (metric, delta): (u32, u64)| {
        Ok(store.data_mut().measure(Measurement::Add(metric, delta))?)
    })?;
    metrics.func_wrap("set", |mut store: Store<'_>, (metric, value): (u32, f64)| {
        Ok(store.data_mut().measure(Measurement::Set(metric, value))?)
    })?;
    metrics.func_wrap("observe", |mut store: Store<'_>, (metric, value): (u32, f64)| {
        Ok(store.data_mut().measure(Measurement::Observe(metric, value))?)
    })
}

fn logging(logging: &mut LinkerInstance<'_, Host>) -> Result<()> {
    logging.func_wrap("enabled", |store: Store<'_>, (level,): (Level,)| Ok((store.data().lines.enabled(level),)))?;
    logging.func_wrap("log", |mut store: Store<'_>, (level, line): (Level, WasmStr)| {
        let line = line.to_str(&store)?.into_owned();
        store.data_mut().lines.log(level, &line);
        Ok(())
    })
}

/// Takes byte strings from a guest, which must come in groups.
fn checked(import: &str, blobs: Blobs, group: usize) -> Result<batch::Blobs, Refusal> {
    let blobs = batch::Blobs::from_parts(blobs.spans, blobs.data)
        .map_err(|malformed| Refusal::Violation(format!("{import}: {malformed}")))?;
    if blobs.len().is_multiple_of(group) {
        return Ok(blobs);
    }
    Err(Refusal::Violation(format!("{import} takes byte strings in groups of {group}, not {}", blobs.len())))
}

/// What groups of byte strings come to when a row is written for each. They may overlap.
fn written(blobs: &batch::Blobs, group: usize) -> usize {
    blobs.iter().flatten().map(<[u8]>::len).sum::<usize>() + blobs.len() / group * ROW
}

fn pieces<const N: usize>(blobs: &batch::Blobs) -> impl Iterator<Item = [Option<&[u8]>; N]> {
    (0..blobs.len() / N).map(|group| std::array::from_fn(|piece| blobs.get(group * N + piece)))
}

fn named<'a>(import: &str, piece: Option<&'a [u8]>) -> Result<&'a [u8], Refusal> {
    piece.ok_or_else(|| Refusal::Violation(format!("{import}: a key, field or name is absent")))
}
