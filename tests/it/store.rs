//! All backends behave alike: they return what was put, in order, and a transaction over a backend reads its own
//! writes.

use std::collections::BTreeMap;

use alerttrail::store::{Backend, Direction, Memory, ON_DISK, Shared, Span, State, Table, Txn};
use proptest::prelude::*;

/// The model of a store: ordered tables.
#[derive(Default)]
struct Model(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

#[derive(Clone, Debug)]
enum Operation {
    Put(Table, Vec<u8>, Vec<u8>),
    Remove(Table, Vec<u8>),
    RemoveSpan(Table, Vec<u8>, Vec<u8>),
    Get(Table, Vec<u8>),
    Scan(Table, Vec<u8>, Vec<u8>, Direction),
    /// Writes the changes of the transaction to the backend, and begins another transaction.
    Write,
    /// Drops the changes of the transaction, like a crash.
    Discard,
    /// Closes the backend and opens it again.
    Reopen,
}

fn table() -> impl Strategy<Value = Table> {
    // Few tables and few keys, so that operations hit the same entries.
    prop_oneof![Just(Table::Activities), Just(Table::Timers), Just(Table::Meta)]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0), Just(1), Just(0x7f), Just(0xff)], 0..4)
}

fn operation() -> impl Strategy<Value = Operation> {
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    prop_oneof![
        6 => (table(), key(), prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(table, key, value)| Operation::Put(table, key, value)),
        3 => (table(), key()).prop_map(|(table, key)| Operation::Remove(table, key)),
        1 => (table(), key(), key()).prop_map(|(table, from, to)| Operation::RemoveSpan(table, from, to)),
        3 => (table(), key()).prop_map(|(table, key)| Operation::Get(table, key)),
        4 => (table(), key(), key(), direction).prop_map(|(table, from, to, direction)| Operation::Scan(table, from, to, direction)),
        2 => Just(Operation::Write),
        1 => Just(Operation::Discard),
        1 => Just(Operation::Reopen),
    ]
}

impl Model {
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(&(table, key.to_vec())).cloned()
    }

    fn scan(&self, table: Table, span: &Span, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
        let inside = |(at, key): &(Table, Vec<u8>)| *at == table && span.from <= *key && *key < span.to;
        let pairs = self.0.iter().filter(|(key, _)| inside(key));
        let mut pairs: Vec<_> = pairs.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        if direction == Direction::Backward {
            pairs.reverse();
        }
        pairs
    }
}

impl Clone for Model {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Returns the span of a whole table.
fn everything() -> Span {
    Span {
        from: Vec::new(),
        to: vec![0xff; 8],
    }
}

fn scan<B: Backend>(txn: &Txn<'_, B>, table: Table, span: Span, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = txn.scan(table, span, direction).map(Result::unwrap);
    pairs.map(|(key, value)| (key.into(), value.into())).collect()
}

/// Applies the operations to a backend and to the model, and asserts that every read returns the same.
fn assert_agree<B: Backend>(operations: &[Operation], mut backend: B, reopen: impl Fn(B) -> B) {
    let mut operations = operations.iter().peekable();
    // `written` is the content of the backend, `seen` is what the transaction sees.
    let mut written = Model::default();
    while operations.peek().is_some() {
        let mut seen = written.clone();
        let mut txn = Txn::new(&backend);
        let mut end = None;
        for operation in operations.by_ref() {
            match operation.clone() {
                Operation::Put(table, key, value) => {
                    seen.0.insert((table, key.clone()), value.clone());
                    txn.put(table, key, value);
                }
                Operation::Remove(table, key) => {
                    seen.0.remove(&(table, key.clone()));
                    txn.remove(table, key);
                }
                // Spans come from ordered layouts: a span never ends before it begins.
                Operation::RemoveSpan(table, from, to) if from <= to => {
                    seen.0.retain(|(at, key), _| *at != table || *key < from || *key >= to);
                    txn.remove_span(table, Span { from, to });
                }
                Operation::RemoveSpan(..) => {}
                Operation::Get(table, key) => assert_eq!(txn.get(table, &key).unwrap(), seen.get(table, &key)),
                Operation::Scan(table, from, to, direction) => {
                    let span = Span { from, to };
                    let expected = seen.scan(table, &span, direction);
                    let first = txn.first(table, span.clone(), direction).unwrap();
                    assert_eq!(
                        first.map(|(key, _)| key.to_vec()),
                        expected.first().map(|(key, _)| key.clone())
                    );
                    assert_eq!(scan(&txn, table, span, direction), expected);
                }
                Operation::Write | Operation::Discard | Operation::Reopen => {
                    end = Some(operation);
                    break;
                }
            }
        }
        for table in Table::ALL {
            let expected = seen.scan(table, &everything(), Direction::Forward);
            assert_eq!(scan(&txn, table, everything(), Direction::Forward), expected);
        }
        let batch = txn.into_batch();
        if matches!(end, Some(Operation::Write)) {
            backend.write(batch).unwrap();
            written = seen;
        }
        if matches!(end, Some(Operation::Reopen)) {
            backend = reopen(backend);
        }
        for table in Table::ALL {
            let expected = written.scan(table, &everything(), Direction::Backward);
            assert_eq!(scan(&Txn::new(&backend), table, everything(), Direction::Backward), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn differential_memory_and_model(operations in prop::collection::vec(operation(), 1..60)) {
        assert_agree(&operations, Memory::default(), |backend| backend);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if ON_DISK { 60 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The memory backend is compared with the same model, so the two backends agree with each other.
    #[test]
    fn differential_state_and_model(operations in prop::collection::vec(operation(), 1..120)) {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared::new(16 << 20);
        let open = || State::open(folder.path(), &shared).unwrap();
        assert_agree(&operations, open(), |backend| {
            if !ON_DISK {
                return backend;
            }
            drop(backend);
            open()
        });
    }
}
