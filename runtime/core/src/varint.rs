//! Numbers as LEB128: seven bits a byte, the lowest first, the top bit set in all but the last.

/// Adds a number.
pub fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number from the front; `None` if there is none.
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Takes a byte string with its length before it from the front; `None` if it is not all there.
pub fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_comes_back_and_a_cut_one_does_not(number: u64, behind: Vec<u8>) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let length = bytes.len();
            prop_assert_eq!(take(&mut &bytes[..length - 1]), None);
            bytes.extend_from_slice(&behind);
            let mut from = bytes.as_slice();
            prop_assert_eq!(take(&mut from), Some(number));
            prop_assert_eq!(from, behind);
        }
    }

    #[test]
    fn bytes_that_never_end_are_no_number() {
        assert_eq!(take(&mut &[0xff; 20][..]), None);
        assert_eq!(take_bytes(&mut &[5, 1, 2][..]), None);
    }
}
