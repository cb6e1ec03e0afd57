//! Scripts for the guests `replay` and `replay-transform`, and what must become of them: told by plain arithmetic, of
//! the rules of `wit/`.

use wasmill_core::batch::encode_headers;
use wasmill_core::record::Timestamp;

use super::bytes::Bytes;

/// The key of a record that is a script.
pub const KEY: &[u8] = b"script";

/// What a call may leave here at most.
pub const RECORD: usize = 2_000;
pub const OUTPUT: usize = 20_000;

/// The host's clock, and how far event times may be ahead of it.
pub const CLOCK: i64 = 10_000_000;
pub const AHEAD: i64 = 3_600_000;

const MAGIC: &[u8] = b"\0replay\0";
const IN_INPUT: i32 = i32::MIN;

/// A record that comes out: output, key, value, headers, event time.
pub type Record = (i32, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, i64);

/// What must become of a script.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It leaves these records.
    Passes(Vec<Record>),
    /// It is refused, or fails, and leaves nothing.
    Fails,
    /// One of both: it hands over bytes that nobody chose.
    Open,
}

struct Emit {
    port: i32,
    timestamps: Vec<i64>,
    spans: Vec<i32>,
    data: Vec<u8>,
    origins: Vec<u32>,
}

/// Steps, and the data that they point at.
#[derive(Default)]
pub struct Script {
    steps: Vec<u8>,
    data: Vec<u8>,
    emits: Vec<Emit>,
    fails: bool,
    open: bool,
}

impl Script {
    /// A script for a call with this record alone. One without state only emits and logs.
    pub fn of(bytes: &mut Bytes<'_>, keyed: bool) -> Self {
        let mut script = Self::default();
        // Where answers are written to.
        script.put(&[0; 64]);
        for _ in 0..=bytes.below(4) {
            match if keyed { bytes.below(16) } else { bytes.below(5) } {
                0..=3 => script.emit(bytes),
                4 => script.log(bytes),
                5..=7 => script.one(bytes),
                8 | 9 => script.range(bytes),
                10 | 11 => script.many(bytes),
                12 | 13 => script.timer(bytes),
                14 => script.measure(bytes),
                _ => script.odd(bytes),
            }
        }
        if bytes.one_in(3) {
            script.answer(bytes, keyed);
        }
        script
    }

    /// A script that returns what `describe` or `open` might.
    pub fn of_declaration(bytes: &mut Bytes<'_>) -> Self {
        let mut script = Self::default();
        script.put(&[0; 64]);
        let names = script.put(b"abcdefgh");
        let mut lists = Vec::new();
        for size in [1, 1, 8, 12, 40, 20] {
            if size == 1 {
                lists.push((names, 1 + bytes.below(4) as i32));
                continue;
            }
            let count = bytes.below(4);
            let items: Vec<u8> = (0..count * size).map(|_| if bytes.one_in(9) { bytes.byte() } else { 0 }).collect();
            let at = script.put(&items);
            for n in 0..count as i32 {
                let item = at + n * size as i32;
                script.store(item, (1, names + n));
                script.store(item + 4, (0, bytes.bend(1)));
            }
            lists.push((at, bytes.bend(count as i32)));
        }
        let at = script.put(&[0; 52]);
        script.store(at, (0, bytes.bend(0)));
        for (n, (list, count)) in (0..).zip(lists) {
            script.store(at + 4 + n * 8, (1, bytes.bend(list)));
            script.store(at + 8 + n * 8, (0, count));
        }
        script.step(0, &[(1, at)]);
        script
    }

    /// The value of the record.
    pub fn value(&self) -> Vec<u8> {
        [MAGIC, &(self.steps.len() as u32).to_le_bytes(), &self.steps, &self.data].concat()
    }

    /// What must become of it, alone in its call.
    pub fn verdict(&self) -> Verdict {
        let input = [KEY, &self.value()].concat();
        let mut records = Vec::new();
        let (mut size, mut fails) = (0, self.fails);
        for emit in &self.emits {
            match emit.records(&input) {
                Some(emitted) => records.extend(emitted),
                None => fails = true,
            }
        }
        for (_, key, value, headers, _) in &records {
            size += [key, value, headers].into_iter().flatten().map(Vec::len).sum::<usize>();
        }
        records.sort_by_key(|record| record.0);
        match fails {
            _ if self.open || size + records.len() * 64 > OUTPUT => Verdict::Open,
            true => Verdict::Fails,
            false => Verdict::Passes(records),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> i32 {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let at = self.data.len() as i32;
        self.data.extend_from_slice(bytes);
        at
    }

    fn step(&mut self, step: u8, arguments: &[(u8, i32)]) {
        self.steps.push(step);
        for (counts_in_data, number) in arguments {
            self.steps.push(*counts_in_data);
            self.steps.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn store(&mut self, at: i32, number: (u8, i32)) {
        self.step(1, &[(1, at), number]);
    }

    /// Pointer and length of a list, sometimes of another one.
    fn list(&mut self, bytes: &mut Bytes<'_>, list: &[u8], size: usize) -> [(u8, i32); 2] {
        let (at, length) = (self.put(list), (list.len() / size) as i32);
        if bytes.one_in(200) {
            self.open = true;
            return [(bytes.byte() & 1, bytes.number()), (0, bytes.bend(length))];
        }
        let bent = bytes.bend(length);
        self.open |= bent != length;
        [(1, at), (0, bent)]
    }

    fn emit(&mut self, bytes: &mut Bytes<'_>) {
        let count = bytes.below(4);
        let headers = encode_headers([("h", Some(&b"v"[..]))]);
        let mut data = headers.clone();
        data.extend(if bytes.one_in(8) { vec![b'x'; 1_900] } else { bytes.some(30) });
        let mut spans = Vec::new();
        for _ in 0..count {
            for part in 0..3 {
                let span = match (part, bytes.below(4)) {
                    (2, 0) => [0, headers.len() as i32],
                    (2, _) | (_, 0) => [0, -1],
                    (_, 1) => [IN_INPUT, bytes.below(KEY.len() + 1) as i32],
                    _ => [headers.len() as i32, (data.len() - headers.len()) as i32],
                };
                spans.extend([bytes.bend(span[0]), bytes.bend(span[1])]);
            }
        }
        if bytes.one_in(60) {
            spans.pop();
        }
        let timestamps: Vec<i64> = (0..count).map(|_| if bytes.one_in(20) { bytes.time() } else { 1_000 }).collect();
        let origins = if count == 1 && bytes.one_in(2) { 0 } else { count };
        let origins: Vec<u32> = (0..origins).map(|_| bytes.bend(0) as u32).collect();
        let port = bytes.below(2) as i32;
        let port = bytes.bend(port);
        let wide = |list: &[i64]| list.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        let numbers = |list: &[i32]| list.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        let from: Vec<i32> = origins.iter().map(|&origin| origin as i32).collect();
        let lists = [
            self.list(bytes, &wide(&timestamps), 8),
            self.list(bytes, &numbers(&spans), 4),
            self.list(bytes, &data, 1),
            self.list(bytes, &numbers(&from), 4),
        ];
        self.step(10, &[&[(0, port)], lists.as_flattened()].concat());
        self.emits.push(Emit { port, timestamps, spans, data, origins });
    }

    fn log(&mut self, bytes: &mut Bytes<'_>) {
        let line = bytes.some(12);
        let level = bytes.bend(2);
        let is_text = core::str::from_utf8(&line).is_ok();
        self.fails |= !(0..5).contains(&level) || !is_text;
        let line = self.list(bytes, &line, 1);
        self.step(24, &[(0, level), line[0], line[1]]);
    }

    /// The key of this record, or another one.
    fn key(&mut self, bytes: &mut Bytes<'_>) -> [(u8, i32); 2] {
        let mut key = KEY.to_vec();
        if bytes.one_in(30) {
            key = bytes.some(6);
        }
        self.fails |= key != KEY;
        self.list(bytes, &key, 1)
    }

    /// One value read, written, or deleted.
    fn one(&mut self, bytes: &mut Bytes<'_>) {
        let (map, size) = (bytes.one_in(2), bytes.below(20));
        let state = bytes.bend(if map { 2 } else { 1 });
        let field = if map || bytes.one_in(30) { vec![b'f'; size] } else { Vec::new() };
        self.fails |= !(state == 2 || state == 1 && field.is_empty());
        let (key, place) = (self.key(bytes), self.list(bytes, &field, 1));
        let mut arguments = vec![(0, state), key[0], key[1], place[0], place[1]];
        match bytes.below(3) {
            0 => {
                let value = vec![1; if bytes.one_in(20) { RECORD } else { bytes.below(30) }];
                self.fails |= value.is_empty() || KEY.len() + field.len() + value.len() > RECORD;
                arguments.extend(self.list(bytes, &value, 1));
                self.step(12, &arguments);
            }
            1 => self.step(13, &arguments),
            _ => {
                arguments.push(self.answered(bytes));
                self.step(11, &arguments);
            }
        }
    }

    fn answered(&mut self, bytes: &mut Bytes<'_>) -> (u8, i32) {
        if bytes.one_in(40) {
            self.open = true;
            return (bytes.byte() & 1, bytes.number());
        }
        (1, 0)
    }

    /// A range scanned or deleted.
    fn range(&mut self, bytes: &mut Bytes<'_>) {
        let state = bytes.bend(2);
        let (there, limit, reverse) = (bytes.bend(1), bytes.number(), bytes.number());
        self.fails |= state != 2 || !(0..2).contains(&there);
        let (start, end) = (bytes.some(3), bytes.some(3));
        let lists = [self.key(bytes), self.list(bytes, &start, 1)];
        let end = self.list(bytes, &end, 1);
        let mut arguments = [&[(0, state)], lists.as_flattened(), &[(0, there)], &end].concat();
        if bytes.one_in(2) {
            return self.step(15, &arguments);
        }
        // How a bool that is neither 0 nor 1 is read is not ours to say.
        self.open |= !(0..2).contains(&reverse);
        arguments.extend([(0, limit), (0, reverse), self.answered(bytes)]);
        self.step(14, &arguments);
    }

    /// Many values read or written.
    fn many(&mut self, bytes: &mut Bytes<'_>) {
        let group = if bytes.one_in(2) { 3 } else { 2 };
        let data = [KEY, b"field", b"\x01value"].concat();
        let (key, field) = ([0, KEY.len() as i32], [KEY.len() as i32, 5]);
        let mut spans = Vec::new();
        for _ in 0..bytes.below(4) {
            spans.extend([key, field].as_flattened());
            if group == 3 {
                spans.extend(if bytes.one_in(3) { [0, -1] } else { [KEY.len() as i32 + 5, 6] });
            }
        }
        if let Some(bent) = spans.len().checked_sub(1).map(|last| bytes.below(last + 1)) {
            let number = bytes.bend(spans[bent]);
            // What a bent span names may be a key by chance.
            self.open |= number != spans[bent];
            spans[bent] = number;
        }
        if bytes.one_in(30) {
            self.fails |= spans.pop().is_some();
        }
        let spans: Vec<u8> = spans.iter().flat_map(|number| number.to_le_bytes()).collect();
        let (spans, data) = (self.list(bytes, &spans, 4), self.list(bytes, &data, 1));
        let arguments = [(0, 2), spans[0], spans[1], data[0], data[1]];
        if group == 3 {
            return self.step(17, &arguments);
        }
        let answer = self.answered(bytes);
        self.step(16, &[&arguments[..], &[answer]].concat());
    }

    fn timer(&mut self, bytes: &mut Bytes<'_>) {
        let domain = bytes.below(2) as i32;
        let (domain, at, name) = (bytes.bend(domain), bytes.time(), bytes.some(6));
        self.fails |= !(0..2).contains(&domain);
        let (key, name) = (self.key(bytes), self.list(bytes, &name, 1));
        let arguments = [(0, domain), key[0], key[1], name[0], name[1]];
        if bytes.one_in(4) {
            return self.step(19, &arguments);
        }
        self.step(18, &[&arguments[..], &[(0, at as i32), (0, (at >> 32) as i32)]].concat());
    }

    fn measure(&mut self, bytes: &mut Bytes<'_>) {
        let (kind, low, high) = (bytes.below(2) as u8, bytes.number(), bytes.number());
        let metric = bytes.bend(i32::from(kind));
        self.fails |= metric != i32::from(kind);
        self.step(21 + kind, &[(0, metric), (0, low), (0, high)]);
    }

    /// A trap, memory, places that answers are written to, bytes written over.
    fn odd(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(6) {
            0 => {
                self.fails = true;
                self.step(2, &[]);
            }
            1 => {
                self.open = true;
                self.step(3, &[(0, bytes.number() & 0x1ff)]);
            }
            2 => {
                self.open = true;
                self.step(1, &[(1, bytes.below(64) as i32), (0, bytes.number())]);
            }
            which => {
                let answer = self.answered(bytes);
                self.step(23 + which as u8, &[answer]);
            }
        }
    }

    /// What the call returns.
    fn answer(&mut self, bytes: &mut Bytes<'_>, keyed: bool) {
        let (failures, cells) = (bytes.below(4) / 2, bytes.below(2));
        let (index, cell) = (bytes.bend(0), bytes.bend(0));
        let reason = if bytes.one_in(4) { bytes.some(5) } else { b"why".to_vec() };
        let value = vec![1; bytes.below(4)];
        let (result, kind) = (bytes.bend(0), bytes.bend(0));
        let length = reason.len() as i32;
        let reason_at = self.put(&reason);
        let failure = self.put(&[&index.to_le_bytes()[..], &[0; 4], &length.to_le_bytes()].concat());
        self.store(failure + 4, (1, reason_at));
        let cell_at = self.put(&cell.to_le_bytes());
        let span = [bytes.bend(0), bytes.bend(value.len() as i32)];
        let spans = self.put(&span.map(i32::to_le_bytes).concat());
        let value_at = self.put(&value);
        let at = self.put(&[0; 40]);
        self.store(at, (0, result));
        if result != 0 {
            self.open |= result.trailing_zeros() >= 8;
            self.store(at + 4, (0, kind));
            self.store(at + 8, (1, reason_at));
            self.store(at + 12, (0, length));
        } else {
            let lists = [(failure, failures), (cell_at, cells), (spans, cells * 2), (value_at, value.len())];
            for (n, (list, length)) in (0..).zip(lists).take(if keyed { 4 } else { 1 }) {
                self.store(at + 4 + n * 8, (1, list));
                self.store(at + 8 + n * 8, (0, length as i32));
            }
        }
        self.step(0, &[(1, at)]);
        let there = i64::from(span[0]) + i64::from(span[1]) <= value.len() as i64 && span[0] >= 0 && span[1] >= 1;
        let cells_hold = !keyed || cells == 0 || (cell == 0 && (span[1] == -1 || there));
        // A record that the guest blames fails, whatever else is said.
        self.fails |= result & 0xff != 0 || failures > 0 || !cells_hold;
    }
}

impl Emit {
    /// The records, if they follow the rules.
    fn records(&self, input: &[u8]) -> Option<Vec<Record>> {
        let count = self.timestamps.len();
        let one_for_one = self.origins.is_empty() && count <= 1;
        let all_of_this = self.origins.len() == count && self.origins.iter().all(|&origin| origin == 0);
        if !(0..2).contains(&self.port) || !(one_for_one || all_of_this) || self.spans.len() != count * 6 {
            return None;
        }
        let record = |(&at, spans): (&i64, &[i32])| {
            let part = |n: usize| -> Option<Option<Vec<u8>>> {
                let (offset, length) = (i64::from(spans[n]), i64::from(spans[n + 1]));
                if length == -1 {
                    return Some(None);
                }
                let (bytes, offset) = if offset < 0 { (input, offset + (1 << 31)) } else { (&self.data[..], offset) };
                let end = usize::try_from(offset + length).ok().filter(|_| length >= 0)?;
                Some(Some(bytes.get(offset as usize..end)?.to_vec()))
            };
            let (key, value, headers) = (part(0)?, part(2)?, part(4)?);
            let size: usize = [&key, &value, &headers].into_iter().flatten().map(Vec::len).sum();
            let in_time = Timestamp(at) == Timestamp::NONE || (0..=CLOCK + AHEAD).contains(&at);
            let whole = headers.as_deref().is_none_or(are_headers);
            (size <= RECORD && in_time && whole).then_some((self.port, key, value, headers, at))
        };
        self.timestamps.iter().zip(self.spans.chunks_exact(6)).map(record).collect()
    }
}

/// Whether bytes are a count and so many names, which are text, with values.
pub fn are_headers(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let number = |rest: &mut &[u8]| -> Option<i32> {
        let (number, behind) = rest.split_first_chunk::<4>()?;
        *rest = behind;
        Some(i32::from_le_bytes(*number))
    };
    let mut read = || -> Option<bool> {
        let count = number(&mut rest)?;
        for _ in 0..count {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            core::str::from_utf8(rest.get(..length)?).ok()?;
            rest = rest.get(length..)?;
            let length = number(&mut rest)?;
            if length != -1 {
                rest = rest.get(usize::try_from(length).ok()?..)?;
            }
        }
        Some(count >= 0 && rest.is_empty())
    };
    read().unwrap_or(false)
}
