use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, Timestamp};

/// A type whose values can be stored: as raw bytes, as a number, or by serde as [`Json`].
///
/// | type | bytes |
/// | --- | --- |
/// | integers, floats | fixed width, little-endian |
/// | `bool` | one byte, 0 or 1 |
/// | `String` | UTF-8 |
/// | `Vec<u8>` | as they are |
/// | [`Timestamp`] | milliseconds since the Unix epoch, as an `i64` |
/// | `()` | none |
/// | `Json<T>` | JSON |
///
/// Implement it to store another encoding. A change of a type's bytes is a new version of the state's
/// [`encoding`](crate::StateSetup::encoding).
pub trait Value: Sized {
    /// Appends the bytes of the value.
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<()>;

    /// The value of these bytes.
    fn decode(bytes: &[u8]) -> Result<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn encode(&self, bytes: &mut Vec<u8>) -> Result<()> {
                bytes.extend(self.to_le_bytes());
                Ok(())
            }

            fn decode(bytes: &[u8]) -> Result<Self> {
                Ok(Self::from_le_bytes(bytes.try_into()?))
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

impl Value for bool {
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<()> {
        u8::from(*self).encode(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::failure("read a stored bool: its bytes are those of another type")),
        }
    }
}

impl Value for String {
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.extend(self.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

impl Value for Vec<u8> {
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.extend(self);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(bytes.to_vec())
    }
}

impl Value for Timestamp {
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<()> {
        self.as_millis().encode(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        i64::decode(bytes).map(Self::from_millis)
    }
}

impl Value for () {
    fn encode(&self, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn decode(_: &[u8]) -> Result<Self> {
        Ok(())
    }
}

/// A value of any type that serde knows, stored as JSON.
///
/// ```
/// # use wasmill_sdk::{Context, Json, Result, Single};
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Basket { items: Vec<String> }
///
/// fn add(baskets: &Single<Json<Basket>>, item: &str, cx: &mut Context) -> Result<()> {
///     let Json(mut basket) = baskets.get(cx)?.unwrap_or_default();
///     basket.items.push(item.to_owned());
///     baskets.put(cx, &Json(basket))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> Value for Json<T> {
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(bytes, &self.0).map_err(|error| Error::Failure(format!("write a state as JSON: {error}")))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let parsed = serde_json::from_slice(bytes);
        parsed.map(Json).map_err(|error| Error::Failure(format!("parse a state as JSON: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    fn round_trips<T: Value + PartialEq + Debug>(value: T) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes).ok();
        assert_eq!(T::decode(&bytes), Ok(value));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        round_trips(u64::MAX);
        round_trips(-7i32);
        round_trips(0.5f64);
        round_trips(true);
        round_trips("text".to_owned());
        round_trips(vec![0u8, 255]);
        round_trips(());
        round_trips(Timestamp::from_millis(-1));
        round_trips(Json(vec![Some(1), None]));
    }

    #[test]
    fn bytes_of_another_type_are_an_error() {
        assert!(u64::decode(b"1234567").is_err());
        assert!(bool::decode(&[2]).is_err());
        assert!(String::decode(&[255]).is_err());
        assert!(Json::<u64>::decode(b"{").is_err());
    }
}
