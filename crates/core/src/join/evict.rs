//! Deletes what is before the retention cut-off. Nothing reads it any more, so the time of its deletion does not
//! matter.

use super::Joiner;
use super::work::{Step, load};
use crate::record::LinkId;
use crate::store::keys::Timer;
use crate::store::{Backend, Error, Table, Txn, keys};

impl Joiner {
    /// Deletes the days that are entirely before the retention cut-off, then one alert after another.
    pub(super) fn evict<B: Backend>(&mut self, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        self.progress.evicted = self.progress.watermarks.by_activities();
        let cutoff = self.cutoff(LinkId::QUERY);
        if let Some(&first) = self.days.first()
            && first < cutoff.day()
        {
            let kept = self.days.split_off(&cutoff.day());
            let dropped = std::mem::replace(&mut self.days, kept);
            txn.remove_span(Table::Activities, keys::activities_of_days(first, cutoff.day()));
            for day in dropped {
                txn.remove(Table::Meta, keys::day(day));
            }
        }
        self.evict_links(txn);
        // A time equal to the retention cut-off has not expired.
        let Some(key) = self.timers.first(Timer::Forget, cutoff.ticks().saturating_sub(1), txn)? else {
            return Ok(());
        };
        let alert = keys::timer_alert(&key)?;
        let state = load(&alert, txn)?;
        if state.as_ref().is_some_and(|state| state.keys.iter().any(|key| key.revise)) {
            // Late activities that no summary has counted are counted in a revision before the alert is deleted.
            self.work.push_front(Step::Evict);
            return self.revise_all(&alert, txn);
        }
        self.remove_alert(&alert, state.as_ref(), txn);
        // The timer is removed even if there is no such alert, because otherwise it would be found again.
        txn.remove(Table::Timers, key.into());
        txn.remove(Table::Alerts, keys::alert(&alert));
        txn.remove(Table::AlertRows, keys::alert(&alert));
        self.work.push_front(Step::Evict);
        Ok(())
    }

    /// Deletes the days of links whose retention is shorter than that of the others.
    fn evict_links<B: Backend>(&mut self, txn: &mut Txn<'_, B>) {
        for link in self.retention.shorter_links() {
            let cutoff = self.cutoff(link).day();
            let dropped = self.dropped.entry(link).or_insert(i64::MIN);
            if *dropped < cutoff {
                for day in self.days.range(*dropped..cutoff) {
                    txn.remove_span(Table::Activities, keys::activities_of_link(link, *day));
                }
                *dropped = cutoff;
            }
        }
    }
}
