use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use super::act::Act;
use super::activity::{self, About, Deed, Presence};
use super::alert::{self, Incident};
use super::files::File;
use super::people::Account;
use super::plan::{Plan, Planned};
use super::story::PlannedAlert;
use crate::generate::TimeForm;
use crate::generate::messages::{ACTIVITY_LATENCY, ALERT_LATENCY, Delivered, Rows, Table};
use crate::generate::options::Options;
use crate::generate::random::{Guid, Purpose, Random};
use crate::generate::record::{Delivery, Form};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// Holds the scheduled deliveries, a few words each.
pub(super) struct ActivityTable {
    plan: Arc<Plan>,
    under_way: BinaryHeap<Reverse<(EventTime, Delivered)>>,
    next: u64,
    next_story: usize,
}

impl ActivityTable {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            under_way: BinaryHeap::new(),
            next: 0,
            next_story: 0,
        }
    }

    /// Returns the number of an activity that is not scheduled yet, and a time before which no further activity
    /// happens.
    fn upcoming(&self) -> Option<(EventTime, u64)> {
        let ordinary = (self.next < self.plan.background).then(|| {
            // A time may have been rounded down, by up to a second, to before its slot.
            let time = EventTime::from_ticks(self.plan.slot(self.next).ticks() - TICKS_PER_SECOND);
            (time, self.next)
        });
        let story = self.plan.stories.get(self.next_story);
        let story = story.map(|deed| (deed.time, self.plan.background + self.next_story as u64));
        ordinary.into_iter().chain(story).min()
    }

    fn send(&mut self, number: u64) {
        let planned = self.plan.activity(number);
        for (again, delay) in (0..).zip(planned.delays.into_iter().flatten()) {
            let which = Delivered {
                number,
                version: 0,
                again,
            };
            let arrival = planned.time.plus(ACTIVITY_LATENCY).plus(delay);
            self.under_way.push(Reverse((arrival, which)));
        }
        if number < self.plan.background {
            self.next += 1;
        } else {
            self.next_story += 1;
        }
    }
}

impl Table for ActivityTable {
    const ROWS: Rows = Rows::Activities;
    const PURPOSE: Purpose = Purpose::DeedMessage;

    fn options(&self) -> &Options {
        &self.plan.options
    }

    fn next(&mut self) -> Option<(EventTime, Delivered)> {
        while let Some((time, number)) = self.upcoming() {
            let earliest = time.plus(ACTIVITY_LATENCY);
            if self.under_way.peek().is_some_and(|Reverse((arrival, _))| *arrival < earliest) {
                break;
            }
            self.send(number);
        }
        self.under_way.pop().map(|Reverse(first)| first)
    }

    fn write(&self, which: Delivered, delivery: &Delivery, out: &mut Vec<u8>) -> EventTime {
        let planned = self.plan.activity(which.number);
        write_activity(&self.plan, &planned, delivery, out);
        planned.time
    }

    fn write_for_breaking(&self, seed: u64, delivery: &Delivery, out: &mut Vec<u8>) {
        let about = About {
            id: Guid(u128::from(seed)),
            start: delivery.received,
            end: delivery.received,
            cid: Presence::Present,
        };
        let planned = Planned {
            seed,
            time: delivery.received.minus(ACTIVITY_LATENCY),
            form: TimeForm::FULL,
            delays: [None; 2],
            // Without a key, a bad time would have no effect.
            act: Act::AlertTriggered,
            account: 0,
            object_id: Presence::Present,
            file: None,
            policy: Some(0),
            about: Some(about),
        };
        write_activity(&self.plan, &planned, delivery, out);
    }
}

fn write_activity(plan: &Plan, planned: &Planned, delivery: &Delivery, out: &mut Vec<u8>) {
    let file = planned.file.map(|file| plan.file(file));
    let deed = Deed {
        seed: planned.seed,
        time: planned.time,
        time_form: planned.form,
        act: planned.act,
        account: plan.account(planned.account),
        object_id: planned.object_id,
        file: file.as_ref(),
        policy: planned.policy.map(|policy| &plan.policies[policy]),
        alert: planned.about,
        tenant: &plan.tenant,
    };
    activity::activity(out, &deed, delivery);
}

/// Holds all deliveries, a few words each: alerts come long after their windows, and there are few of them.
pub(super) struct AlertTable {
    plan: Arc<Plan>,
    deliveries: std::vec::IntoIter<(EventTime, Delivered)>,
}

impl AlertTable {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let mut deliveries = Vec::new();
        for number in 0..plan.options.alerts {
            let mut random = Random::new(plan.options.seed, Purpose::IncidentDelivery, number);
            for (version, row) in plan.script(number).alert.versions.iter().enumerate() {
                let repeated = plan.is_repeated(&mut random);
                for again in 0..=u8::from(repeated) {
                    // An export is retried for hours, so an old version may be delivered again after a newer one.
                    let retry = Duration::from_secs(u64::from(again) * random.below(7_200));
                    let delay = plan.delay(&mut random).saturating_add(retry);
                    let arrival = row.time_generated.plus(ALERT_LATENCY).plus(delay);
                    deliveries.push((arrival, Delivered { number, version, again }));
                }
            }
        }
        deliveries.sort_unstable();
        Self {
            plan,
            deliveries: deliveries.into_iter(),
        }
    }
}

impl Table for AlertTable {
    const ROWS: Rows = Rows::Alerts;
    const PURPOSE: Purpose = Purpose::IncidentMessage;

    fn options(&self) -> &Options {
        &self.plan.options
    }

    fn next(&mut self) -> Option<(EventTime, Delivered)> {
        self.deliveries.next()
    }

    fn write(&self, which: Delivered, delivery: &Delivery, out: &mut Vec<u8>) -> EventTime {
        let alert = self.plan.script(which.number).alert;
        write_alert(&self.plan, &alert, which.version, delivery, out);
        alert.versions[which.version].time_generated
    }

    fn write_for_breaking(&self, seed: u64, delivery: &Delivery, out: &mut Vec<u8>) {
        // A number after those of the plan gives an alert that occurs nowhere in the plan.
        let alert = self.plan.script(self.plan.options.alerts + (seed >> 20)).alert;
        // The row is written in the form of the export: without `Type` and an id it could be a row of any table.
        let delivery = Delivery {
            form: Form::LogAnalytics,
            ..*delivery
        };
        write_alert(&self.plan, &alert, 0, &delivery, out);
    }
}

fn write_alert(plan: &Plan, alert: &PlannedAlert, version: usize, delivery: &Delivery, out: &mut Vec<u8>) {
    let version = &alert.versions[version];
    let accounts: Vec<Account> = version.accounts.iter().map(|&number| plan.account(number).clone()).collect();
    let files: Vec<File> = version.files.iter().map(|&number| plan.file(number)).collect();
    let incident = Incident {
        seed: alert.seed,
        id: alert.id,
        provider_id: alert.provider_id,
        policy: &plan.policies[alert.policy],
        accounts: &accounts,
        object_ids: alert.object_ids,
        files: &files,
        tenant: &plan.tenant,
        start: version.start,
        end: version.end,
        time_generated: version.time_generated,
        status: version.status,
    };
    alert::alert(out, &incident, delivery);
}
