//! A script: calls of imports with whatever arguments, and what is returned, in raw numbers.
//!
//! ```text
//! magic  u32: length of the steps  steps  data
//! ```
//!
//! A step is a byte that says which, and its arguments: a byte (0: the number itself, 1: it counts in the data) and an
//! i32, little-endian. The data are copied to where they are aligned first. Floats and 64 bits are two arguments.

pub const MAGIC: &[u8] = b"\0replay\0";

const RETURN: u8 = 0;
const STORE: u8 = 1;
const TRAP: u8 = 2;
const GROW: u8 = 3;

/// Reads steps.
pub struct Steps<'a> {
    rest: &'a [u8],
    data: usize,
}

impl<'a> Steps<'a> {
    /// The steps of a script; `None` if these bytes are none.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let (rest, data) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let mut aligned = vec![0_u64; data.len() / 8 + 1].leak().as_mut_ptr().cast::<u8>();
        for &byte in data {
            // SAFETY: there is room for all of them.
            unsafe { aligned.write(byte) };
            aligned = aligned.wrapping_add(1);
        }
        Some(Self { rest, data: aligned as usize - data.len() })
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// The next argument.
    pub fn number(&mut self) -> i32 {
        let counts_in_data = self.byte() == Some(1);
        let Some((bytes, rest)) = self.rest.split_first_chunk::<4>() else { return 0 };
        self.rest = rest;
        let number = i32::from_le_bytes(*bytes);
        if counts_in_data { number.wrapping_add(self.data as i32) } else { number }
    }

    /// The next two arguments.
    pub fn long(&mut self) -> i64 {
        let (low, high) = (self.number() as u32, self.number());
        i64::from(high) << 32 | i64::from(low)
    }

    /// Takes all steps; `import` takes those that are calls. Answers what is to be returned, if anything.
    pub fn run(mut self, import: impl Fn(u8, &mut Self)) -> Option<i32> {
        while let Some(step) = self.byte() {
            match step {
                RETURN => return Some(self.number()),
                STORE => {
                    let (at, number) = (self.number() as usize as *mut i32, self.number());
                    // SAFETY: none. It is the memory of this guest alone.
                    unsafe { at.write_unaligned(number) };
                }
                TRAP => core::arch::wasm32::unreachable(),
                GROW => drop(core::arch::wasm32::memory_grow(0, self.number() as usize)),
                step => import(step, &mut self),
            }
        }
        None
    }
}

/// Some bytes of this guest's memory.
///
/// # Safety
///
/// They must be there.
pub unsafe fn list<'a, T>(place: usize) -> &'a [T] {
    // SAFETY: the host put pointer and length there.
    unsafe {
        let [at, length] = (place as *const [usize; 2]).read();
        if length == 0 { &[] } else { core::slice::from_raw_parts(at as *const T, length) }
    }
}

/// A script in the text of settings: hexadecimal digits behind a word.
pub fn of_settings(settings: &str, word: &str) -> Option<Vec<u8>> {
    let digits = settings.strip_prefix('"')?.strip_prefix(word)?.strip_suffix('"')?;
    (0..digits.len() / 2).map(|n| u8::from_str_radix(digits.get(n * 2..n * 2 + 2)?, 16).ok()).collect()
}

/// The span of part `part` of a record.
pub fn part<'a>(spans: &[i32], data: &'a [u8], record: usize, part: usize) -> &'a [u8] {
    let [at, length] = [0, 1].map(|n| spans[record * 6 + part + n]);
    if length < 0 { b"" } else { &data[at as usize..][..length as usize] }
}

/// Passes a record on as it came.
pub fn pass(spans: &[i32], record: usize) -> impl Iterator<Item = i32> + '_ {
    spans[record * 6..][..6].iter().enumerate().map(|(n, &span)| if n % 2 == 0 { span | i32::MIN } else { span })
}
