//! How carefully a task goes on after processes that had it died.
//!
//! A claim counts itself in the task's row, and a committed epoch resets the count. Three claims without an epoch make the
//! next epoch one turn long, and each one after it a turn longer, so that the place of what kills is soon the first thing
//! behind a commit. At four, the task's records run singly: each call of an operator has one record or timer, and is
//! announced in the task's row before it is made. A process that takes over a task of which one was announced waits
//! before it goes on, so that whoever kills processes from outside meets the wait and not the call. The call on which a
//! third process died in a row is at fault, and the operator's policy applies to it.

use std::time::Duration;

use crate::operator::Domain;
use crate::stage::Stage;
use crate::task::trial::Place;
use crate::varint::{put, take};

/// Claims without an epoch from which on epochs begin with one turn.
const BY_TURN: u32 = 3;

/// Claims without an epoch from which on records run singly.
const SINGLY: u32 = 4;

/// Processes that die on one call before it is at fault. Some may have been killed from outside.
pub const MAX_DEATHS: u32 = 3;

/// Turns of an epoch from which on their number is not bounded any more. Before there are so many, epochs have had half
/// a thousand.
const MAX_TURNS: u32 = 32;

/// How long a task waits after a process died during a call that was announced.
pub(crate) const WAIT: Duration = Duration::from_millis(500);

/// Records of an input after which records may share a turn again: as many as a turn may have.
const LEFT_SINGLY: u32 = 256;

/// What a task's row says of processes that died.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Care {
    /// How often the task was claimed since its last epoch.
    pub claims: u32,
    /// Turns that the next epoch may have; 0 for any number.
    pub turns: u32,
    /// Records that are still to run singly.
    pub left: u32,
    /// The call on which a process died last, and how many did.
    pub struck: Option<(Suspect, u32)>,
    /// The call that is being made.
    pub announced: Option<Suspect>,
}

/// A call of an operator with one record or timer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Suspect {
    /// The operator's index in its stage.
    pub node: u64,
    /// What tells the code of its stage apart: other code has not killed anything yet.
    pub code: u64,
    /// Which record or timer.
    pub place: [u64; 4],
}

impl Care {
    /// Of a task that was claimed for the first time.
    pub(crate) fn first() -> Self {
        Self { claims: 1, ..Self::default() }
    }

    /// As a claim leaves it. `alive`: the process that claims it anew is the one that had it.
    pub(crate) fn claimed(mut self, alive: bool, inputs: usize) -> Self {
        let announced = self.announced.take();
        if alive {
            return self;
        }
        if let Some(suspect) = announced {
            let deaths = self.struck.filter(|(struck, _)| *struck == suspect).map_or(0, |(_, deaths)| deaths);
            self.struck = Some((suspect, deaths + 1));
        }
        self.claims = self.claims.saturating_add(1);
        if self.turns > 0 || self.claims >= BY_TURN {
            self.turns = 1;
        }
        if self.claims == SINGLY {
            self.left = LEFT_SINGLY.saturating_mul(inputs.max(1) as u32);
        }
        self
    }

    /// As a clean release leaves it: nobody died, but what is at fault stays so.
    pub(crate) fn released(&self) -> Self {
        Self { struck: self.convicted().copied(), ..Self::default() }
    }

    /// Whether records run singly.
    pub fn is_singly(&self) -> bool {
        self.claims >= SINGLY && self.left > 0
    }

    /// Whether a process died on a call, and others are to show whether it was the call.
    pub(crate) fn is_suspicious(&self) -> bool {
        self.struck.is_some() && self.convicted().is_none()
    }

    fn convicted(&self) -> Option<&(Suspect, u32)> {
        self.struck.as_ref().filter(|(_, deaths)| *deaths >= MAX_DEATHS)
    }

    /// Whether it says no more than how often the task was claimed.
    pub(crate) fn is_plain(&self) -> bool {
        Self { claims: 0, ..*self } == Self::default()
    }

    /// Writes all but the claims.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        put(bytes, u64::from(self.turns));
        put(bytes, u64::from(self.left));
        let (struck, deaths) = self.struck.map_or((None, 0), |(suspect, deaths)| (Some(suspect), deaths));
        put(bytes, u64::from(deaths));
        for suspect in [struck, self.announced] {
            put(bytes, u64::from(suspect.is_some()));
            if let Some(Suspect { node, code, place }) = suspect {
                [node, code].into_iter().chain(place).for_each(|number| put(bytes, number));
            }
        }
    }

    /// Reads what [`Care::encode`] wrote.
    pub(crate) fn decode(from: &mut &[u8], claims: u32) -> Option<Self> {
        let turns = u32::try_from(take(from)?).ok()?;
        let left = u32::try_from(take(from)?).ok()?;
        let deaths = u32::try_from(take(from)?).ok()?;
        let struck = take_suspect(from)?.map(|suspect| (suspect, deaths));
        Some(Self { claims, turns, left, struck, announced: take_suspect(from)? })
    }
}

#[expect(clippy::option_option, reason = "bytes that are cut are not a suspect that is missing")]
fn take_suspect(from: &mut &[u8]) -> Option<Option<Suspect>> {
    if take(from)? == 0 {
        return Some(None);
    }
    let (node, code) = (take(from)?, take(from)?);
    let place = [take(from)?, take(from)?, take(from)?, take(from)?];
    Some(Some(Suspect { node, code, place }))
}

impl Suspect {
    pub(crate) fn new(node: usize, code: u64, place: &Place) -> Self {
        let place = match place {
            Place::Record { input, offset, ordinal } => [0, *input as u64, *offset as u64, u64::from(*ordinal)],
            Place::Timer { domain, at, key, name } => {
                let domain = if *domain == Domain::EventTime { 1 } else { 2 };
                [domain, at.0 as u64, hash(key), hash(name)]
            }
        };
        Self { node: node as u64, code, place }
    }
}

/// What tells the code of a stage apart: all its plugins, since it depends on the operators before one which record it is
/// given at a place.
pub(crate) fn code(stage: &Stage) -> u64 {
    let names: Vec<_> = stage.nodes.iter().flat_map(|node| node.plugin.bytes().chain([0])).collect();
    hash(&names)
}

/// FNV-1a, which is the same wherever the next process runs.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The care that a task takes, as its row has it and as the open epoch will leave it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    care: Care,
    /// Records, and turns of timers alone, that went through in the open epoch.
    passed: u32,
    /// Turns with calls of operators that did.
    turns: u32,
    /// Whether what is at fault was settled, in the turn under way and in the open epoch.
    settled: (bool, bool),
}

impl Watch {
    pub(crate) fn new(care: Care) -> Self {
        Self { care, ..Self::default() }
    }

    /// What the row says.
    pub(crate) fn care(&self) -> &Care {
        &self.care
    }

    /// Announces a call. Answers what the row is to say before it is made.
    pub(crate) fn announce(&mut self, suspect: Suspect) -> &Care {
        self.care.announced = Some(suspect);
        &self.care
    }

    /// Takes back what was announced, if anything was. Answers what the row is to say then.
    pub(crate) fn withdraw(&mut self) -> Option<&Care> {
        self.care.announced.take()?;
        Some(&self.care)
    }

    /// Whether any call is known to be at fault.
    pub(crate) fn has_verdict(&self) -> bool {
        !self.settled.1 && self.care.convicted().is_some()
    }

    /// Why a call is known to be at fault, and after how many attempts.
    pub(crate) fn verdict(&mut self, suspect: Suspect) -> Option<(String, u32)> {
        let deaths = self.care.convicted().filter(|(struck, _)| *struck == suspect)?.1;
        self.settled.0 = true;
        let reason = format!(
            "the process died on it: {deaths} processes in a row ended during this call, which was the only one under way"
        );
        Some((reason, deaths))
    }

    /// The turn under way was dropped.
    pub(crate) fn dropped(&mut self) {
        self.settled.0 = false;
    }

    /// The turn under way went through. `called`: operators were, with records or timers.
    pub(crate) fn passed(&mut self, records: usize, called: bool) {
        self.passed = self.passed.saturating_add((records as u32).max(u32::from(called)));
        self.turns += u32::from(called || records > 0);
        self.settled = (false, self.settled.0 || self.settled.1);
    }

    /// What the row says once the open epoch is committed.
    pub(crate) fn sealed(&self) -> Care {
        let Care { claims, turns, left, struck, announced } = self.care;
        let survived = |suspect: &Suspect| announced == Some(*suspect);
        let struck = struck.filter(|(suspect, _)| !survived(suspect) && !self.settled.1);
        let care = Care { claims, turns, left: left.saturating_sub(self.passed), struck, announced: None };
        match turns {
            // No operator was called: what the last process died on may be still to come.
            _ if self.passed == 0 => care,
            _ if care.left > 0 => care,
            0 | MAX_TURNS.. => care.released(),
            // It goes on. Without another epoch the next process runs records singly.
            _ => Care { claims: claims.min(BY_TURN - 1), turns: turns + 1, ..care },
        }
    }

    /// Whether the open epoch has as many turns as it may have.
    pub(crate) fn is_due(&self) -> bool {
        self.care.is_singly() || self.care.turns > 0 && self.turns >= self.care.turns
    }

    /// The open epoch is committed.
    pub(crate) fn committed(&mut self) {
        *self = Self::new(self.sealed());
    }

    /// The open epoch was dropped.
    pub(crate) fn aborted(&mut self) {
        self.care.announced = None;
        (self.passed, self.turns, self.settled) = (0, 0, (false, false));
    }

    /// Other code has taken over, which has not killed anything yet. How carefully the task goes on stays as it is.
    pub(crate) fn replaced(&mut self) {
        (self.care.struck, self.care.announced) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp;

    fn suspect(offset: i64) -> Suspect {
        Suspect::new(1, 5, &Place::Record { input: 0, offset, ordinal: 0 })
    }

    fn dies_on(care: Care, offset: i64) -> Care {
        Care { announced: Some(suspect(offset)), ..care }.claimed(false, 1)
    }

    #[test]
    fn an_epoch_makes_claims_forgotten() {
        let care = Care::default().claimed(false, 1);
        assert_eq!((care.claims, care.turns > 0), (1, false));
        let mut watch = Watch::new(care);
        watch.passed(0, false);
        watch.committed();
        assert_eq!(*watch.care(), care, "nothing was called in it");
        watch.passed(1, true);
        watch.committed();
        assert_eq!(*watch.care(), Care::default());
    }

    #[test]
    fn claims_without_an_epoch_make_epochs_short_and_then_records_single() {
        let three = Care::first().claimed(false, 1).claimed(false, 1);
        assert_eq!((three.turns, three.is_singly()), (1, false));
        let mut watch = Watch::new(three);
        for turns in 1..MAX_TURNS {
            (0..turns).for_each(|_| {
                assert!(!watch.is_due());
                watch.passed(256, true);
            });
            assert!(watch.is_due(), "an epoch of {turns} turns");
            watch.committed();
        }
        assert_eq!(watch.care().turns, MAX_TURNS);
        assert_eq!(watch.care().claimed(false, 1).turns, 1, "and again when the next one dies");
        assert!(watch.care().claimed(false, 1).claimed(false, 1).is_singly(), "at once if nothing came before that");
        (0..MAX_TURNS).for_each(|_| watch.passed(256, true));
        watch.committed();
        assert_eq!(*watch.care(), Care::default());
    }

    #[test]
    fn records_run_singly_until_so_many_went_through() {
        let four = Care { claims: SINGLY - 1, ..Care::default() }.claimed(false, 3);
        let mut watch = Watch::new(four);
        for _ in 0..3 * LEFT_SINGLY {
            assert!(watch.care().is_singly());
            watch.passed(0, true);
            assert!(watch.is_due());
            watch.committed();
        }
        assert!(!watch.care().is_singly() && watch.care().turns > 0);
    }

    #[test]
    fn the_call_on_which_three_processes_died_is_at_fault() {
        let once = dies_on(Care { claims: 4, left: 9, turns: 1, ..Care::default() }, 7);
        let mut watch = Watch::new(once);
        assert_eq!(watch.verdict(suspect(7)), None, "one may have been killed from outside");
        // Others may come before it, and go through.
        watch.announce(suspect(6));
        watch.passed(1, true);
        watch.committed();
        let twice = dies_on(*watch.care(), 7);
        assert!(twice.is_suspicious() && Watch::new(twice).verdict(suspect(7)).is_none());
        let thrice = dies_on(twice, 7);
        assert!(Watch::new(thrice.released()).has_verdict(), "a clean release keeps it");
        let mut watch = Watch::new(thrice);
        assert_eq!(watch.verdict(suspect(6)), None);
        assert!(watch.verdict(suspect(7)).is_some_and(|(reason, deaths)| reason.contains("died on it") && deaths == 3));
        watch.dropped();
        watch.committed();
        assert!(watch.verdict(suspect(7)).is_some(), "it was not settled");
        watch.passed(1, true);
        watch.committed();
        assert_eq!((watch.verdict(suspect(7)), watch.care().struck), (None, None));
    }

    #[test]
    fn a_call_that_goes_through_or_a_process_that_lives_is_not_at_fault() {
        let once = dies_on(Care { claims: 4, left: 9, turns: 1, ..Care::default() }, 7);
        let mut watch = Watch::new(once);
        watch.announce(suspect(7));
        watch.passed(1, true);
        watch.committed();
        assert_eq!(watch.care().struck, None);
        let alive = Care { announced: Some(suspect(7)), ..once }.claimed(true, 1);
        assert_eq!(alive, once);
        assert_eq!(dies_on(once, 8).struck, Some((suspect(8), 1)));
    }

    #[test]
    fn care_comes_back_and_a_cut_one_does_not() {
        let timer = Place::Timer { domain: Domain::EventTime, at: Timestamp(5), key: vec![1], name: vec![2] };
        let announced = Some(Suspect::new(3, 5, &timer));
        let care = Care { claims: 4, turns: 3, left: 200, struck: Some((suspect(-1), 2)), announced };
        for care in [care, Care { claims: 4, left: 1, ..Care::default() }] {
            let mut bytes = Vec::new();
            care.encode(&mut bytes);
            assert_eq!(Care::decode(&mut bytes.as_slice(), 4), Some(care));
            (0..bytes.len()).for_each(|cut| assert_eq!(Care::decode(&mut &bytes[..cut], 4), None, "{cut}"));
        }
    }
}
