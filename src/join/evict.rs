//! What may be forgotten behind the horizon. Nothing behind it is read, so when it goes does not matter.

use super::Joiner;
use super::state::AlertState;
use super::work::{Step, load};
use crate::store::keys::Timer;
use crate::store::{Base, Error, Table, Txn, keys};

impl Joiner {
    /// Drops the days that lie behind the horizon as a whole, then one alert after another.
    pub(super) fn evict<B: Base>(&mut self, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        let horizon = self.next_horizon();
        self.progress.horizon = Some(horizon);
        if let Some(&first) = self.days.first()
            && first < horizon.day()
        {
            let kept = self.days.split_off(&horizon.day());
            let dropped = std::mem::replace(&mut self.days, kept);
            txn.remove_span(Table::Activities, keys::activities_of_days(first, horizon.day()));
            for day in dropped {
                txn.remove(Table::Meta, keys::day(day));
            }
        }
        // A time at the horizon itself is not behind it.
        let Some(key) = self.timers.first(Timer::Forget, horizon.ticks().saturating_sub(1), txn)? else {
            return Ok(());
        };
        let alert = keys::timer_alert(&key)?;
        let state = load(&alert, txn)?;
        if let Some(AlertState::Here(held)) = &state
            && held.revise
        {
            // Late activities that no summary has told of: one tells of them before the alert is forgotten.
            self.work.push_front(Step::Evict);
            self.work.push_front(Step::Summary { alert });
            return Ok(());
        }
        self.take_down(&alert, state.as_ref(), txn);
        // Also when there is no such alert: the timer must not come up again.
        txn.remove(Table::Timers, key.into());
        txn.remove(Table::Alerts, keys::alert(&alert));
        txn.remove(Table::AlertRows, keys::alert(&alert));
        self.work.push_front(Step::Evict);
        Ok(())
    }
}
