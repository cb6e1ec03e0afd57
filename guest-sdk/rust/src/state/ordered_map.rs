use super::{Declared, Value};
use crate::bindings::operator::wasmill::plugin::types::Blobs;
use crate::record::bytes;
use crate::{Context, Result, host};

/// An ordered map from fields to values for each key, declared by
/// [`StateSetup::ordered_map`](crate::StateSetup::ordered_map). Its order is that of the fields' bytes, so numbers in fields
/// are best written big-endian.
#[derive(Clone, Debug)]
pub struct OrderedMap<T> {
    pub(crate) declared: Declared<T>,
    /// Its index among all states.
    pub(crate) index: u32,
}

/// A range of fields, in the order of their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    start: &'a [u8],
    end: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// All fields.
    pub const ALL: Self = Self { start: &[], end: None };

    /// The fields from this one on, which is among them.
    pub fn from(start: &'a [u8]) -> Self {
        Self { start, end: None }
    }

    /// Of these fields the ones before `end`, which is not among them.
    #[must_use]
    pub fn until(self, end: &'a [u8]) -> Self {
        Self { end: Some(end), ..self }
    }
}

impl<T: Value> OrderedMap<T> {
    /// The value of a field, with what this call wrote; `None` where nothing is stored.
    pub fn get(&self, cx: &Context<'_>, field: impl AsRef<[u8]>) -> Result<Option<T>> {
        let stored = host::state::get(self.index, cx.key(), field.as_ref());
        stored.map(|stored| self.declared.read(&stored)).transpose()
    }

    /// Stores a value for a field.
    pub fn put(&self, cx: &mut Context<'_>, field: impl AsRef<[u8]>, value: &T) -> Result<()> {
        cx.change();
        let mut stored = Vec::new();
        self.declared.write(value, &mut stored)?;
        host::state::put(self.index, cx.key(), field.as_ref(), &stored);
        Ok(())
    }

    /// Forgets the value of a field.
    pub fn delete(&self, cx: &mut Context<'_>, field: impl AsRef<[u8]>) {
        cx.change();
        host::state::delete(self.index, cx.key(), field.as_ref());
    }

    /// The fields of a range with their values, in order from the first, at most `limit` of them.
    pub fn scan(&self, cx: &Context<'_>, fields: Fields<'_>, limit: u32) -> Result<Vec<(Vec<u8>, T)>> {
        self.entries(&host::state::scan(self.index, cx.key(), fields.start, fields.end, limit, false))
    }

    /// The fields of a range with their values, in order from the last, at most `limit` of them.
    pub fn scan_reverse(&self, cx: &Context<'_>, fields: Fields<'_>, limit: u32) -> Result<Vec<(Vec<u8>, T)>> {
        self.entries(&host::state::scan(self.index, cx.key(), fields.start, fields.end, limit, true))
    }

    /// Forgets the values of all fields of a range.
    pub fn delete_range(&self, cx: &mut Context<'_>, fields: Fields<'_>) {
        cx.change();
        host::state::delete_range(self.index, cx.key(), fields.start, fields.end);
    }

    /// The pairs of a scan's answer: field, value, field, value, …
    fn entries(&self, found: &Blobs) -> Result<Vec<(Vec<u8>, T)>> {
        let part = |offset, length| bytes(&found.data, offset, length).unwrap_or_default();
        let pairs = found.spans.chunks_exact(4);
        pairs
            .map(|spans| Ok((part(spans[0], spans[1]).to_vec(), self.declared.read(part(spans[2], spans[3]))?)))
            .collect()
    }
}
