//! The headers of a record.
//!
//! One record's headers are one run of bytes: i32 count, then for each i32 name length, name (UTF-8), i32 value length
//! (-1: absent), value; little-endian, unaligned.

/// The headers of a record, in order: names, and values that may be absent. A name may come more than once.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    left: u32,
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    pub(crate) fn new(encoded: Option<&'a [u8]>) -> Self {
        let mut rest = encoded.unwrap_or_default();
        let left = take_i32(&mut rest).and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
        Self { left, rest }
    }

    /// The value of the last header of this name, if it has one.
    pub fn find_last(self, name: &str) -> Option<&'a [u8]> {
        self.filter(|(header, _)| *header == name).last().and_then(|(_, value)| value)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let length = take_i32(&mut self.rest)?;
        let name = std::str::from_utf8(take(&mut self.rest, length)?).ok()?;
        let value = match take_i32(&mut self.rest)? {
            -1 => None,
            length => Some(take(&mut self.rest, length)?),
        };
        Some((name, value))
    }
}

fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i32::from_le_bytes(*number))
}

fn take<'a>(bytes: &mut &'a [u8], length: i32) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

/// The encoded headers with one more at the end.
pub(crate) fn push(encoded: Option<&[u8]>, name: &str, value: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = encoded.filter(|encoded| encoded.len() >= 4).unwrap_or(&[0; 4]).to_vec();
    if let Some(count) = bytes.first_chunk_mut() {
        *count = (i32::from_le_bytes(*count) + 1).to_le_bytes();
    }
    bytes.extend((name.len() as i32).to_le_bytes());
    bytes.extend(name.as_bytes());
    bytes.extend(value.map_or(-1, |value| value.len() as i32).to_le_bytes());
    bytes.extend(value.unwrap_or_default());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_read() {
        let bytes = push(None, "a", Some(b"1"));
        let bytes = push(Some(&bytes), "b", None);
        let bytes = push(Some(&bytes), "a", Some(b""));
        let headers = Headers::new(Some(&bytes));
        let expected: [(&str, Option<&[u8]>); 3] = [("a", Some(b"1")), ("b", None), ("a", Some(b""))];
        assert_eq!(headers.clone().collect::<Vec<_>>(), expected);
        assert_eq!(headers.clone().find_last("a"), Some(&b""[..]));
        assert_eq!(headers.find_last("c"), None);
    }

    #[test]
    fn bytes_that_end_early_end_the_headers() {
        let whole = push(Some(&push(None, "name", Some(b"value"))), "other", None);
        for end in 0..whole.len() {
            assert!(Headers::new(Some(&whole[..end])).count() < 2, "at {end}");
        }
        assert_eq!(Headers::new(Some(&[255; 64])).count(), 0);
        assert_eq!(Headers::new(None).count(), 0);
    }
}
