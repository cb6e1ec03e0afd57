//! What the tests of the whole system share.

pub(crate) mod kafka;
