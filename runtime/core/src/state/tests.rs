use super::*;
use crate::commit::Slice;
use crate::layers::tests::Map;
use crate::operator::Domain;
use crate::row::Due;

fn state(ttl: Option<u64>) -> State {
    let declaration =
        StateDeclaration { name: "s".into(), kind: StateKind::OrderedMap, prefetch: false, ttl, encoding: 1 };
    State::new(Box::new(Map::default()), number(&[declaration], &mut Vec::new()))
}

fn due(state: &mut State, now: i64, limit: usize) -> Vec<(i64, Vec<u8>)> {
    let fired = state.due(Due::Event, Timestamp(now), limit).unwrap();
    fired.iter().for_each(|fired| state.take_timer(Domain::EventTime, fired));
    fired.into_iter().map(|fired| (fired.at.0, fired.key)).collect()
}

fn commit(state: &mut State) {
    state.apply(Vec::new(), Timestamp(0)).unwrap();
    state.flush().unwrap();
}

#[test]
fn timers_fire_in_order_and_once() {
    let mut state = state(None);
    for (key, at) in [(b"b", 20), (b"a", 20), (b"c", 5), (b"d", 30)] {
        state.set_timer(Domain::EventTime, key, b"", Timestamp(at)).unwrap();
    }
    state.set_timer(Domain::EventTime, b"c", b"", Timestamp(25)).unwrap();
    assert_eq!(state.earliest(Due::Event), Ok(Some(Timestamp(20))));
    assert_eq!(due(&mut state, 4, 9), []);
    assert_eq!(due(&mut state, 25, 2), [(20, b"a".to_vec()), (20, b"b".to_vec())]);
    commit(&mut state);
    state.set_timer(Domain::EventTime, b"z", b"", Timestamp(1)).unwrap();
    assert_eq!(due(&mut state, 25, 9), [(1, b"z".to_vec()), (25, b"c".to_vec())]);
    assert_eq!(due(&mut state, 25, 9), []);
    state.cancel_timer(Domain::EventTime, b"d", b"").unwrap();
    assert_eq!(due(&mut state, 99, 9), []);
    commit(&mut state);
    let mut left = 0;
    state
        .into_store()
        .scan(b"", &mut |_, _| {
            left += 1;
            true
        })
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn what_is_undone_is_due_again() {
    let mut state = state(None);
    state.set_timer(Domain::EventTime, b"k", b"", Timestamp(5)).unwrap();
    state.settle();
    let mark = state.mark();
    assert_eq!(due(&mut state, 9, 9).len(), 1);
    assert_eq!(state.earliest(Due::Event), Ok(None));
    state.undo(mark);
    assert_eq!(due(&mut state, 9, 9).len(), 1);
}

#[test]
fn values_live_as_long_as_they_are_written() {
    let mut state = state(Some(10));
    let read = |state: &mut State, at| state.value(0, b"k", b"f", Timestamp(at)).unwrap().map(<[u8]>::to_vec);
    state.put(0, b"k", b"f", Some(b"1"), Timestamp(0)).unwrap();
    state.put(0, b"k", b"f", Some(b"2"), Timestamp(5)).unwrap();
    assert_eq!(read(&mut state, 14), Some(b"2".to_vec()));
    assert_eq!(read(&mut state, 15), None);
    for (now, left) in [(10, 1), (15, 0)] {
        for fired in state.due(Due::Expiry, Timestamp(now), 9).unwrap() {
            state.expire(&fired, Timestamp(now)).unwrap();
        }
        assert_eq!(usize::from(read(&mut state, 0).is_some()), left);
    }
    assert_eq!(state.earliest(Due::Expiry), Ok(None));
}

/// As when the next version of an operator limits what the version before kept for ever.
#[test]
fn what_gets_a_time_to_live_expires_once_it_is_written_again() {
    let mut state = state(None);
    for key in [b"a", b"b"] {
        state.put(0, key, b"", Some(b"1"), Timestamp(0)).unwrap();
    }
    let limited = StateDeclaration { ttl: Some(10), ..state.kept()[0].declaration.clone() };
    state.declare(number(&[limited], &mut vec!["s".into()]));
    state.put(0, b"a", b"", Some(b"2"), Timestamp(5)).unwrap();
    let now = Timestamp(15);
    let due = state.due(Due::Expiry, now, 9).unwrap();
    assert_eq!(due.len(), 1);
    due.iter().for_each(|row| state.expire(row, now).unwrap());
    for (key, left) in [(b"a", None), (b"b", Some(&b"1"[..]))] {
        assert_eq!(state.value(0, key, b"", Timestamp::NONE).unwrap(), left);
    }
}

#[test]
fn a_map_is_scanned_both_ways() {
    let mut state = state(None);
    for field in [b"a", b"b", b"c", b"d"] {
        state.put(0, b"k", field, Some(field), Timestamp(0)).unwrap();
    }
    state.put(0, b"kk", b"x", Some(b"x"), Timestamp(0)).unwrap();
    let fields = |state: &State, range: Range<'_>| -> Vec<u8> {
        let found = state.scan(0, b"k", &range, Timestamp::NONE, usize::MAX).unwrap().unwrap();
        found.into_iter().flat_map(|(field, _)| field).collect()
    };
    assert_eq!(state.scan(0, b"k", &Range::ALL, Timestamp::NONE, 7), Ok(None), "eight bytes are too much");
    assert_eq!(fields(&state, Range::ALL), b"abcd");
    assert_eq!(fields(&state, Range { start: b"b", end: Some(b"d"), limit: 9, reverse: true }), b"cb");
    assert_eq!(fields(&state, Range { limit: 2, reverse: true, ..Range::ALL }), b"dc");
    assert_eq!(fields(&state, Range { limit: 0, reverse: true, ..Range::ALL }), b"");
    assert_eq!(state.delete_range(0, b"k", &Range { start: b"b", ..Range::ALL }, usize::MAX), Ok(true));
    assert_eq!(fields(&state, Range::ALL), b"a");
}

#[test]
fn what_does_not_fit_is_not_gathered() {
    let mut state = state(None);
    for field in 0..3_000_u32 {
        state.put(0, b"k", &field.to_be_bytes(), Some(&[1; 1_000]), Timestamp(0)).unwrap();
    }
    let scan = |state: &State, limit, reverse, room| {
        state.scan(0, b"k", &Range { limit, reverse, ..Range::ALL }, Timestamp::NONE, room).unwrap()
    };
    for reverse in [false, true] {
        assert_eq!(scan(&state, usize::MAX, reverse, 2_000_000), None);
        assert_eq!(scan(&state, 1_000, reverse, 2_000_000).map(|found| found.len()), Some(1_000));
    }
    assert_eq!(scan(&state, 2, true, 2_000_000).unwrap()[0].0, 2_999_u32.to_be_bytes());
    assert_eq!(state.delete_range(0, b"k", &Range::ALL, 100_000), Ok(false));
    assert_eq!(state.delete_range(0, b"k", &Range::ALL, usize::MAX), Ok(true));
    assert_eq!(scan(&state, usize::MAX, false, 2_000_000), Some(Vec::new()));
}

#[test]
fn the_index_follows_from_the_changelog() {
    let mut state = state(None);
    let row = row::timer(Domain::EventTime, b"k", b"n");
    for at in [Some(5), Some(7)] {
        state.derive(&row, at.map(|at| row::time(Timestamp(at))).as_ref().map(|t| &t[..])).unwrap();
        commit(&mut state);
    }
    assert_eq!(due(&mut state, 9, 9), [(7, b"k".to_vec())]);
}

/// Rows of which two are more than is looked at in one go.
#[test]
fn what_comes_due_is_handed_out_in_bounds() {
    let mut state = state(Some(10));
    let large = |number: u8| [vec![number], vec![7; 9 << 20]].concat();
    for number in 0..5 {
        state.put(0, &large(number), b"", Some(b"1"), Timestamp(0)).unwrap();
    }
    let now = Timestamp(10);
    let mut taken = Vec::new();
    while state.has_due(Due::Expiry, now) {
        let due = state.due(Due::Expiry, now, 99).unwrap();
        taken.push(due.len());
        due.iter().for_each(|row| state.expire(row, now).unwrap());
    }
    assert_eq!((taken, state.earliest(Due::Expiry)), (vec![1, 1, 1, 1, 1], Ok(None)));
}

/// As when a node takes over a task whose rows it has to read: of five rows of 9 MiB two at a time, or one.
#[test]
fn the_index_of_what_expires_is_written_in_slices() {
    let mut state = state(Some(10));
    let keys: Vec<_> = (0..5_u8).map(|number| [vec![number], vec![7; 9 << 20]].concat()).collect();
    for (key, at) in keys.iter().zip(0..) {
        let mut value = Vec::new();
        row::Value { written: Some(Timestamp(at)), bytes: b"1" }.encode_into(&mut value);
        state.derive(&row::value(0, key, b""), Some(&value)).unwrap();
        commit(&mut state);
    }
    let mut slices = |slice: Slice| {
        let (mut at, mut slices) = (Indexing::default(), 1);
        while !state.index_expiry(&mut at, &mut slice.clone()).unwrap() {
            assert!(state.overlay().is_empty());
            slices += 1;
        }
        slices
    };
    let (few, short) = (Slice { records: 2, bytes: usize::MAX }, Slice { records: usize::MAX, bytes: 9 << 20 });
    assert_eq!((slices(few), slices(short)), (3, 5));
    for at in 0..5 {
        let due = state.due(Due::Expiry, Timestamp(10 + at), 99).unwrap();
        assert_eq!(due.iter().map(|row| row.at).collect::<Vec<_>>(), [Timestamp(10 + at)]);
        due.iter().for_each(|row| state.expire(row, Timestamp(10 + at)).unwrap());
    }
}

/// A count of all rows, two at a time.
fn counted(state: &mut State) -> Size {
    let mut counted = Counted::default();
    while !state.count(&mut counted, &mut Slice { records: 2, bytes: usize::MAX }).unwrap() {}
    counted.size
}

/// Sizes are those of a count of all rows, over commits, undone calls, dropped epochs and whatever the cache knows.
mod sizes {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Put(u8, u8),
        Delete(u8, u8),
        DeleteAll(u8),
        Timer(u8, i64),
        Cancel(u8),
        Read(u8, u8),
        Undone(u8, u8),
        Fire(i64),
        Expire(i64),
        Drop,
        Commit,
    }

    fn act() -> impl Strategy<Value = Act> {
        let (key, field, at) = (0_u8..3, 0_u8..3, 0_i64..9);
        prop_oneof![
            3 => (key.clone(), field.clone()).prop_map(|(key, field)| Act::Put(key, field)),
            2 => (key.clone(), field.clone()).prop_map(|(key, field)| Act::Delete(key, field)),
            1 => key.clone().prop_map(Act::DeleteAll),
            2 => (key.clone(), at.clone()).prop_map(|(key, at)| Act::Timer(key, at)),
            1 => key.clone().prop_map(Act::Cancel),
            1 => (key.clone(), field.clone()).prop_map(|(key, field)| Act::Read(key, field)),
            1 => (key, field).prop_map(|(key, field)| Act::Undone(key, field)),
            1 => at.clone().prop_map(Act::Fire),
            1 => at.prop_map(Act::Expire),
            1 => Just(Act::Drop),
            2 => Just(Act::Commit),
        ]
    }

    fn act_on(state: &mut State, act: &Act) -> Result<(), StoreError> {
        let (none, domain) = (Timestamp::NONE, Domain::EventTime);
        let mut put = |key: u8, field: u8, value| state.put(0, &[key], &[field], value, Timestamp(3));
        match *act {
            Act::Put(key, field) => put(key, field, Some(b"1v"))?,
            Act::Delete(key, field) => put(key, field, None)?,
            Act::DeleteAll(key) => drop(state.delete_range(0, &[key], &Range::ALL, usize::MAX)?),
            Act::Timer(key, at) => state.set_timer(domain, &[key], b"", Timestamp(at))?,
            Act::Cancel(key) => state.cancel_timer(domain, &[key], b"")?,
            Act::Read(key, field) => drop(state.value(0, &[key], &[field], none)?.map(<[u8]>::to_vec)),
            Act::Undone(key, field) => {
                let mark = state.mark();
                state.put(0, &[key], &[field], Some(b"1w"), none)?;
                state.set_timer(domain, &[key], b"u", Timestamp(1))?;
                state.undo(mark);
            }
            Act::Fire(at) => drop(due(state, at, 9)),
            Act::Expire(at) => {
                for row in state.due(Due::Expiry, Timestamp(at), 99)? {
                    state.expire(&row, Timestamp(at))?;
                }
            }
            Act::Drop | Act::Commit => {}
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn a_size_is_how_much_there_is(
            acts in vec(act(), 0..60),
            ttl in proptest::option::of(Just(2_u64)),
            budget in prop_oneof![Just(0_usize), Just(300), Just(1 << 20)],
            flushes: bool,
        ) {
            let mut state = state(ttl);
            state.bound(budget);
            let mut size = Size::default();
            for act in acts {
                act_on(&mut state, &act).unwrap();
                match act {
                    Act::Drop => state.drop_epoch(),
                    Act::Commit => {
                        size = state.size(size).unwrap();
                        state.apply(Vec::new(), Timestamp(0)).unwrap();
                        if flushes {
                            state.flush().unwrap();
                            prop_assert_eq!(size, counted(&mut state));
                        }
                    }
                    _ => {}
                }
            }
            state.drop_epoch();
            state.flush().unwrap();
            prop_assert_eq!(size, counted(&mut state));
        }
    }
}
