//! The tables of planned traffic: in which order its records are delivered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid as Guid;

use super::TimeForm;
use super::malformed::RowKind;
use super::messages::{Batches, Delivered, DeliveredTable, Messages};
use super::options::Options;
use super::random::{Purpose, Random};
use super::record::{self, About, Account, Act, Deed, Delivery, File, Form, Incident, Policy, Presence, Status, Tenant};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// The plan of the traffic. Every record is a function of the plan and its number.
pub(super) trait Plan: Send + Sync {
    /// Returns the tenant with its people and policies.
    fn world(&self) -> &World;
    /// Returns the numbers of all activities, each with a time before which neither it nor a later one happens.
    fn schedule(self: Arc<Self>) -> Schedule;
    /// Returns the time of activity `number` and the delay of each delivery. The second is `None` if it is delivered
    /// once.
    fn timing(&self, number: u64) -> (EventTime, [Option<Duration>; 2]) {
        let planned = self.activity(number);
        (planned.time, planned.delays)
    }
    /// Returns activity `number`.
    fn activity(&self, number: u64) -> Planned;
    /// Returns alert `number`. Numbers after those of the options give alerts that occur nowhere in the plan.
    fn alert(&self, number: u64) -> PlannedAlert;
}

/// The activities of a plan in the order in which they may happen.
pub(super) type Schedule = Box<dyn Iterator<Item = (EventTime, u64)> + Send>;

/// The options, and the tenant with its people and policies.
#[derive(Debug)]
pub(super) struct World {
    pub(super) options: Options,
    pub(super) tenant: Tenant,
    pub(super) policies: Vec<Policy>,
    pub(super) accounts: Vec<Account>,
}

/// Number of files for each alert policy that watches content.
pub(super) const WATCHED_FILES: u64 = 6;

impl World {
    /// Draws the time of an activity, and the format of its time, whose digits it has.
    pub(super) fn draw_time(&self, from: EventTime, to: EventTime, random: &Random) -> (EventTime, TimeForm) {
        let form = TimeForm::draw(random);
        let exact = from.ticks() + random.below((to.ticks() - from.ticks()) as u64) as i64;
        let rough = exact - exact.rem_euclid(10_i64.pow(7 - u32::from(form.digits)));
        (EventTime::from_ticks(rough).max(self.options.start), form)
    }

    /// Draws the delays of the deliveries of an activity.
    pub(super) fn draw_delays(&self, random: &Random) -> [Option<Duration>; 2] {
        let first = self.draw_delay(random);
        [Some(first), self.is_repeated(random).then(|| self.draw_delay(random))]
    }

    /// Draws the delay of a delivery. It is less than the disorder, so that no record is late by more than that.
    fn draw_delay(&self, random: &Random) -> Duration {
        duration(random.below(ticks(self.options.disorder)))
    }

    fn is_repeated(&self, random: &Random) -> bool {
        random.chance(self.options.duplicates)
    }

    /// Draws one of the files that `policy` watches.
    pub(super) fn draw_watched_file(&self, policy: usize, random: &Random) -> u64 {
        policy as u64 * WATCHED_FILES + random.below(WATCHED_FILES)
    }

    /// Returns file `number`. Those that policies watch come first.
    pub(super) fn file(&self, number: u64) -> File {
        let policy = self.policies.get((number / WATCHED_FILES) as usize);
        let owner = &self.accounts[(number % self.accounts.len() as u64) as usize];
        File::new(self.options.seed, number, policy, owner)
    }

    /// Returns account `number`.
    pub(super) fn account(&self, number: u64) -> &Account {
        &self.accounts[number as usize]
    }

    fn write_activity(&self, planned: &Planned, delivery: &Delivery, out: &mut Vec<u8>) {
        let file = planned.file.map(|file| self.file(file));
        let deed = Deed {
            time_form: planned.form,
            object_id: planned.object_id,
            file: file.as_ref(),
            policy: planned.policy.map(|policy| &self.policies[policy]),
            cid: planned.cid,
            alert: planned.about,
            size: planned.size,
            ..Deed::new(
                planned.seed,
                planned.time,
                planned.act,
                self.account(planned.account),
                &self.tenant,
            )
        };
        record::activity(out, &deed, delivery);
    }

    fn write_alert(&self, alert: &PlannedAlert, version: usize, delivery: &Delivery, out: &mut Vec<u8>) {
        let version = &alert.versions[version];
        let accounts: Vec<Account> = version.accounts.iter().map(|&number| self.account(number).clone()).collect();
        let files: Vec<File> = version.files.iter().map(|&number| self.file(number)).collect();
        let incident = Incident {
            seed: alert.seed,
            id: alert.id,
            provider_id: alert.provider_id,
            policy: &self.policies[version.policy],
            accounts: &accounts,
            object_ids: alert.object_ids,
            files: &files,
            tenant: &self.tenant,
            start: version.start,
            end: version.end,
            time_generated: version.time_generated,
            status: version.status,
        };
        record::alert(out, &incident, delivery);
    }
}

/// An activity. Accounts, policies and files are given by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) seed: u64,
    pub(super) time: EventTime,
    pub(super) form: TimeForm,
    /// The delay of each delivery. The second is `None` if the activity is delivered once.
    pub(super) delays: [Option<Duration>; 2],
    pub(super) act: Act,
    pub(super) account: u64,
    pub(super) object_id: Presence,
    pub(super) file: Option<u64>,
    pub(super) policy: Option<usize>,
    pub(super) cid: Presence,
    pub(super) about: Option<About>,
    pub(super) size: Option<usize>,
}

/// An alert with all its versions, oldest first.
#[derive(Debug)]
pub(super) struct PlannedAlert {
    pub(super) seed: u64,
    pub(super) id: Guid,
    pub(super) provider_id: Guid,
    pub(super) object_ids: Presence,
    pub(super) versions: Vec<Version>,
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) policy: usize,
    pub(super) start: EventTime,
    pub(super) end: EventTime,
    pub(super) time_generated: EventTime,
    pub(super) status: Status,
    pub(super) accounts: Vec<u64>,
    pub(super) files: Vec<u64>,
}

/// Minimum time from an activity to its delivery.
const ACTIVITY_LATENCY: Duration = Duration::from_secs(120);
/// Minimum time from `TimeGenerated` to the delivery.
const ALERT_LATENCY: Duration = Duration::from_secs(30);

/// Returns the CloudAppEvents messages of a plan in order of arrival.
pub(super) fn activities(plan: Arc<dyn Plan>) -> impl Messages {
    Batches::new(ActivityTable {
        schedule: Arc::clone(&plan).schedule().peekable(),
        under_way: BinaryHeap::new(),
        plan,
    })
}

/// Returns the SecurityAlert messages of a plan in order of arrival.
pub(super) fn alerts(plan: Arc<dyn Plan>) -> impl Messages {
    Batches::new(AlertTable::new(plan))
}

/// Holds the scheduled deliveries of about `disorder` of event time, a few words each.
struct ActivityTable {
    plan: Arc<dyn Plan>,
    schedule: Peekable<Schedule>,
    under_way: BinaryHeap<Reverse<(EventTime, Delivered)>>,
}

impl DeliveredTable for ActivityTable {
    const ROWS: RowKind = RowKind::Activities;
    const PURPOSE: Purpose = Purpose::ActivityMessage;

    fn options(&self) -> &Options {
        &self.plan.world().options
    }

    fn next(&mut self) -> Option<(EventTime, Delivered)> {
        while let Some(&(slot, number)) = self.schedule.peek() {
            // A time may have been rounded down, by up to a second, to before its slot.
            let earliest = EventTime::from_ticks(slot.ticks() - TICKS_PER_SECOND).plus(ACTIVITY_LATENCY);
            if self.under_way.peek().is_some_and(|Reverse((arrival, _))| *arrival < earliest) {
                break;
            }
            self.schedule.next();
            let (time, delays) = self.plan.timing(number);
            for (again, delay) in (0..).zip(delays.into_iter().flatten()) {
                let which = Delivered {
                    number,
                    version: 0,
                    again,
                };
                self.under_way.push(Reverse((time.plus(ACTIVITY_LATENCY).plus(delay), which)));
            }
        }
        self.under_way.pop().map(|Reverse(first)| first)
    }

    fn write(&self, which: Delivered, delivery: &Delivery, out: &mut Vec<u8>) -> EventTime {
        let planned = self.plan.activity(which.number);
        self.plan.world().write_activity(&planned, delivery, out);
        planned.time
    }

    fn write_for_breaking(&self, seed: u64, delivery: &Delivery, out: &mut Vec<u8>) {
        let planned = Planned {
            seed,
            time: delivery.received.minus(ACTIVITY_LATENCY),
            form: TimeForm::FULL,
            delays: [None; 2],
            act: Act::AlertTriggered,
            account: 0,
            object_id: Presence::Present,
            file: None,
            // Without a correlation id, a bad time would have no effect.
            policy: Some(0),
            cid: Presence::Present,
            about: None,
            size: None,
        };
        self.plan.world().write_activity(&planned, delivery, out);
    }
}

/// Holds all deliveries, a few words each: alerts come long after their windows, and there are few of them.
struct AlertTable {
    plan: Arc<dyn Plan>,
    deliveries: std::vec::IntoIter<(EventTime, Delivered)>,
}

impl AlertTable {
    fn new(plan: Arc<dyn Plan>) -> Self {
        let world = plan.world();
        let mut deliveries = Vec::new();
        for number in 0..world.options.alerts {
            let random = Random::new(world.options.seed, Purpose::AlertDelivery, number);
            for (version, row) in plan.alert(number).versions.iter().enumerate() {
                for again in 0..=u8::from(world.is_repeated(&random)) {
                    // An export is retried for hours, so an old version may be delivered again after a newer one.
                    let retry = if again == 1 && random.one_in(2) {
                        Duration::from_secs(random.below(7_200))
                    } else {
                        Duration::ZERO
                    };
                    let delay = world.draw_delay(&random).saturating_add(retry);
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

impl DeliveredTable for AlertTable {
    const ROWS: RowKind = RowKind::Alerts;
    const PURPOSE: Purpose = Purpose::AlertMessage;

    fn options(&self) -> &Options {
        &self.plan.world().options
    }

    fn next(&mut self) -> Option<(EventTime, Delivered)> {
        self.deliveries.next()
    }

    fn write(&self, which: Delivered, delivery: &Delivery, out: &mut Vec<u8>) -> EventTime {
        let alert = self.plan.alert(which.number);
        self.plan.world().write_alert(&alert, which.version, delivery, out);
        alert.versions[which.version].time_generated
    }

    fn write_for_breaking(&self, seed: u64, delivery: &Delivery, out: &mut Vec<u8>) {
        let alert = self.plan.alert(self.options().alerts + (seed >> 20));
        // The row is written in the form of the export: without `Type` and an id it could be a row of any table.
        let delivery = Delivery {
            form: Form::LogAnalytics,
            ..*delivery
        };
        self.plan.world().write_alert(&alert, 0, &delivery, out);
    }
}

/// Returns a duration in ticks. Checked options are far below the maximum of `u64`.
pub(super) fn ticks(duration: Duration) -> u64 {
    (duration.as_nanos() / 100) as u64
}

/// Returns a number of ticks as a duration.
pub(super) fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(100))
}
