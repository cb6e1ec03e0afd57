use super::{Declared, Place, Value};
use crate::{Context, Result, host};

/// One value for each key, declared by [`StateSetup::single`](crate::StateSetup::single) or
/// [`StateSetup::prefetched`](crate::StateSetup::prefetched).
#[derive(Clone, Debug)]
pub struct Single<T>(pub(crate) Declared<T>);

impl<T: Value> Single<T> {
    /// The value of the context's key, with what this call wrote; `None` where nothing is stored.
    pub fn get(&self, cx: &Context<'_>) -> Result<Option<T>> {
        match self.0.place {
            Place::Cell(state) => cx.cells.get(cx.slot(), state).map(|stored| self.0.read(stored)).transpose(),
            Place::Row(state) => host::state::get(state, cx.key(), &[]).map(|stored| self.0.read(&stored)).transpose(),
        }
    }

    /// Stores a value for the context's key.
    pub fn put(&self, cx: &mut Context<'_>, value: &T) -> Result<()> {
        cx.change();
        match self.0.place {
            Place::Cell(state) => cx.cells.put(cx.slot(), state, |stored| self.0.write(value, stored)),
            Place::Row(state) => {
                let mut stored = Vec::new();
                self.0.write(value, &mut stored)?;
                host::state::put(state, cx.key(), &[], &stored);
                Ok(())
            }
        }
    }

    /// Stores what `change` makes of the value of the context's key, and returns it.
    pub fn update(&self, cx: &mut Context<'_>, change: impl FnOnce(Option<T>) -> T) -> Result<T> {
        let value = change(self.get(cx)?);
        self.put(cx, &value)?;
        Ok(value)
    }

    /// Forgets the value of the context's key.
    pub fn delete(&self, cx: &mut Context<'_>) {
        cx.change();
        match self.0.place {
            Place::Cell(state) => cx.cells.delete(cx.slot(), state),
            Place::Row(state) => host::state::delete(state, cx.key(), &[]),
        }
    }
}
