use super::{Backend, Batch, Direction, Error, Memory, Pairs, Reads, Span, Table};

/// State that is in memory while it is small, and afterwards in a base that is opened for it. If a write fails while
/// the state is being moved, one part of it is in memory and one part in the base: use it only for state that is
/// discarded after any failure.
pub struct Spilling<B> {
    state: Location<B>,
    limit: usize,
}

enum Location<B> {
    Memory(Memory, Open<B>),
    Moved(B),
}

/// Opens the other base.
type Open<B> = Box<dyn Fn() -> Result<B, Error>>;

impl<B: Backend> Spilling<B> {
    /// Returns a state that is in memory up to about `limit` bytes, and afterwards in the base that `open` opens. That
    /// base must be empty.
    pub fn new(limit: usize, open: impl Fn() -> Result<B, Error> + 'static) -> Self {
        Self {
            state: Location::Memory(Memory::default(), Box::new(open)),
            limit,
        }
    }

    /// Returns whether the state has been moved out of memory.
    pub fn has_moved(&self) -> bool {
        matches!(self.state, Location::Moved(_))
    }

    fn base(&self) -> &dyn Backend {
        match &self.state {
            Location::Memory(memory, _) => memory,
            Location::Moved(base) => base,
        }
    }
}

impl<B: Backend> Reads for Spilling<B> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.base().get(table, key)
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        self.base().scan(table, span, direction)
    }
}

impl<B: Backend> Backend for Spilling<B> {
    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        match &mut self.state {
            Location::Moved(base) => base.write(batch),
            Location::Memory(memory, open) => {
                memory.write(batch)?;
                if memory.bytes() > self.limit {
                    let mut base = open()?;
                    std::mem::take(memory)
                        .into_batches()
                        .try_for_each(|batch| base.write(batch))?;
                    self.state = Location::Moved(base);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_moves_when_there_is_too_much_of_it() {
        let mut base = Spilling::new(1_000, || Ok(Memory::default()));
        let mut moved_at = None;
        for number in 0..100u8 {
            let mut batch = Batch::default();
            batch.changes[Table::Alerts.index()].insert(vec![number], Some(vec![number; 10]));
            if number > 0 {
                batch.changes[Table::Timers.index()].insert(vec![number], Some(Vec::new()));
                batch.changes[Table::Timers.index()].insert(vec![number - 1], None);
            }
            base.write(batch).unwrap();
            if base.has_moved() {
                moved_at.get_or_insert(number);
            }
            for earlier in 0..=number {
                assert_eq!(base.get(Table::Alerts, &[earlier]).unwrap(), Some(vec![earlier; 10]));
            }
            let all = Span {
                from: vec![],
                to: vec![255],
            };
            let timers = base.scan(Table::Timers, all, Direction::Forward).count();
            assert_eq!(timers, usize::from(number > 0));
        }
        assert!(moved_at.is_some_and(|at| at > 3 && at < 90), "{moved_at:?}");
    }

    #[test]
    fn what_is_taken_away_makes_room() {
        let mut base = Spilling::new(1_000, || -> Result<Memory, Error> { panic!("there never is much") });
        for number in 0..1_000u32 {
            for value in [Some(vec![0; 300]), Some(vec![0; 100]), None] {
                let mut batch = Batch::default();
                batch.changes[Table::Alerts.index()].insert(number.to_be_bytes().to_vec(), value);
                base.write(batch).unwrap();
            }
        }
    }
}
