//! Byte strings on their way out.

use std::borrow::Cow;

/// Bytes for a key, a value or a header: text or raw bytes, borrowed or owned.
///
/// There is seldom a reason to name this type: what takes `impl Into<Bytes<'_>>` takes `&str`, `String`, `&[u8]`,
/// `Vec<u8>` and references to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes<'a>(Cow<'a, [u8]>);

impl Bytes<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_owned(self) -> Bytes<'static> {
        Bytes(Cow::Owned(self.0.into_owned()))
    }
}

macro_rules! borrowed {
    ($($from:ty),*) => {$(
        impl<'a> From<&'a $from> for Bytes<'a> {
            fn from(bytes: &'a $from) -> Self {
                Self(Cow::Borrowed(bytes.as_ref()))
            }
        }
    )*};
}

macro_rules! owned {
    ($($from:ty),*) => {$(
        impl From<$from> for Bytes<'_> {
            fn from(bytes: $from) -> Self {
                Self(Cow::Owned(bytes.into()))
            }
        }
    )*};
}

borrowed!(str, String, [u8], Vec<u8>);
owned!(String, Vec<u8>);

impl<'a, const N: usize> From<&'a [u8; N]> for Bytes<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl<const N: usize> From<[u8; N]> for Bytes<'_> {
    fn from(bytes: [u8; N]) -> Self {
        Self(Cow::Owned(bytes.to_vec()))
    }
}
