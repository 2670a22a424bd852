//! What may be forgotten before the retention cut-off. Nothing behind it is read, so when it goes does not matter.

use super::Joiner;
use super::work::{Step, load};
use crate::record::LinkId;
use crate::store::keys::Timer;
use crate::store::{Base, Error, Table, Txn, keys};

impl Joiner {
    /// Drops the days that lie before the retention cut-off as a whole, then one alert after another.
    pub(super) fn evict<B: Base>(&mut self, txn: &mut Txn<'_, B>) -> Result<(), Error> {
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
        // A time at the retention cut-off itself is not behind it.
        let Some(key) = self.timers.first(Timer::Forget, cutoff.ticks().saturating_sub(1), txn)? else {
            return Ok(());
        };
        let alert = keys::timer_alert(&key)?;
        let held = load(&alert, txn)?;
        if held.as_ref().is_some_and(|held| held.keys.iter().any(|key| key.revise)) {
            // Late activities that no summary has counted: one counts them before the alert is forgotten.
            self.work.push_front(Step::Evict);
            return self.revise_all(&alert, txn);
        }
        self.take_down(&alert, held.as_ref(), txn);
        // Also when there is no such alert: the timer must not come up again.
        txn.remove(Table::Timers, key.into());
        txn.remove(Table::Alerts, keys::alert(&alert));
        txn.remove(Table::AlertRows, keys::alert(&alert));
        self.work.push_front(Step::Evict);
        Ok(())
    }

    /// Drops the days of links that keep activities for a shorter time than the others.
    fn evict_links<B: Base>(&mut self, txn: &mut Txn<'_, B>) {
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
