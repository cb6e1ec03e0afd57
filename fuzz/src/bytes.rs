//! Decisions, made of bytes. When these are used up, all are the first of what there is to choose from.

pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// True for one byte of so many, and never when there are none left.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    pub fn some(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.byte()).collect()
    }

    /// A number of the kind that breaks things.
    pub fn number(&mut self) -> i32 {
        match self.below(8) {
            0 => i32::from(self.byte()),
            1 => -1,
            2 => i32::MAX,
            3 => i32::MIN,
            4 => i32::MIN + i32::from(self.byte()),
            5 => -2 - i32::from(self.byte()),
            6 => 1 << self.below(31),
            _ => i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }

    /// A time of the kind that breaks things.
    pub fn time(&mut self) -> i64 {
        match self.below(8) {
            0 | 1 => 1_000,
            2 => 0,
            3 => i64::MIN,
            4 => i64::MIN + 1,
            5 => i64::MAX,
            6 => -1,
            _ => i64::from(self.number()) << self.below(33),
        }
    }

    /// The number given, or another one.
    pub fn bend(&mut self, number: i32) -> i32 {
        if self.one_in(100) { self.number() } else { number }
    }
}
