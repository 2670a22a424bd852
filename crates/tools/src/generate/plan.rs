use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid as Guid;

use super::TimeForm;
use super::coverage::Coverage;
use super::options::{Error, Options};
use super::random::{Purpose, Random, Zipf};
use super::record::{About, Account, Act, Policy, Presence, Status, Tenant};
use super::tables::{Plan, Planned, PlannedAlert, Schedule, Version, World, duration, ticks};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// The plan of activities that have the correlation ids of alerts. Every activity and every alert is a function of the
/// options and its number, so the plan keeps only the windows of the alerts and nothing per activity.
#[derive(Debug)]
pub(super) struct CorrelatedPlan {
    world: World,
    ranks: Zipf,
    span: u64,
    coverage: Coverage,
    /// Activities exactly at the ends of alert windows, by number.
    anchors: Vec<Anchor>,
    /// The number of alerts that have anchors.
    anchored: u64,
    /// The share of the other activities that have a correlation id, and of these the share that is in a window while
    /// one is open.
    keyed: f64,
    inside: f64,
}

/// An activity that begins or ends an alert: it triggers the alert's policy exactly at its `StartTime` or `EndTime`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Anchor {
    activity: u64,
    alert: u64,
    policy: usize,
}

/// The activities exactly at the start and the end of an alert's window, if there are any.
type Ends = [Option<u64>; 2];

/// Number of people in the tenant.
const USERS: u64 = 400;
/// At most one in this many activities with a correlation id is an anchor.
const ANCHOR_SHARE: u64 = 10;
/// Number of policies that are drawn before the next suitable one is taken.
const DRAWS: usize = 64;

impl CorrelatedPlan {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let seed = options.seed;
        let keyed = (options.keyed_share * options.activities as f64) as u64;
        let mut plan = Self {
            ranks: Zipf::new(options.policies, options.policy_skew),
            span: ticks(options.span).max(1),
            coverage: Coverage::default(),
            anchors: Vec::new(),
            anchored: options.alerts.min(keyed / ANCHOR_SHARE / 2),
            keyed: 0.0,
            inside: 0.0,
            world: World {
                tenant: Tenant::new(seed),
                policies: (0..options.policies).map(|number| Policy::new(seed, number)).collect(),
                accounts: (0..USERS).map(|number| Account::member(seed, number)).collect(),
                options: options.clone(),
            },
        };
        plan.place_alerts();
        plan.place_activities(keyed);
        Ok(plan)
    }

    /// Collects the windows of all alerts, and the activities at their ends.
    fn place_alerts(&mut self) {
        let mut coverage = Coverage::new(self.world.policies.len());
        for number in 0..self.world.options.alerts {
            let (alert, ends) = self.alert_with_ends(number);
            if let Some(last) = alert.versions.last() {
                coverage.add(last.policy, last.start, last.end, number);
            }
            let policy = alert.versions.first().map_or(0, |version| version.policy);
            let anchors = ends.iter().flatten().map(|&activity| Anchor {
                activity,
                alert: number,
                policy,
            });
            self.anchors.extend(anchors);
        }
        coverage.merge();
        self.coverage = coverage;
        self.anchors.sort_unstable();
        self.anchors.dedup_by_key(|anchor| anchor.activity);
    }

    /// Chooses the shares for the activities that are not anchors, so that the shares of all activities are as
    /// configured.
    fn place_activities(&mut self, keyed: u64) {
        let anchors = self.anchors.len() as u64;
        let within = |anchor: &&Anchor| self.coverage.alert_at(anchor.policy, self.draw(anchor.activity).0).is_some();
        let inside = self.anchors.iter().filter(within).count() as u64;
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let others = keyed.saturating_sub(anchors) as f64;
        let wanted = (self.world.options.in_window_share * keyed as f64 - inside as f64).max(0.0);
        let end = self.world.options.start.plus(self.world.options.span);
        // When no window is open, no activity can be in one. The rest of the time must compensate for that.
        let open = self.coverage.open_share(self.world.options.start, end);
        self.keyed = share(others, self.world.options.activities.saturating_sub(anchors) as f64);
        self.inside = share(share(wanted, others), open);
    }

    /// Returns the earliest possible time of activity `number`. Activities are spread evenly over the span, one to a
    /// slot.
    pub(super) fn slot(&self, number: u64) -> EventTime {
        let offset = u128::from(number) * u128::from(self.span) / u128::from(self.world.options.activities.max(1));
        EventTime::from_ticks(self.world.options.start.ticks() + offset as i64)
    }

    /// Returns the time of activity `number`, its format, and the random numbers from which everything else about it is
    /// drawn.
    fn draw(&self, number: u64) -> (EventTime, TimeForm, Random) {
        let random = Random::new(self.world.options.seed, Purpose::Activity, number);
        let (time, form) = self.world.draw_time(self.slot(number), self.slot(number + 1), &random);
        (time, form, random)
    }

    /// Returns the policy that an activity triggers, and the alert whose window then contains it.
    fn tripped(&self, time: EventTime, random: &Random) -> (Option<usize>, Option<u64>) {
        let inside = random.chance(self.inside);
        let fits = |policy: usize| self.coverage.alert_at(policy, time).is_some() == inside;
        let mut policy = self.ranks.draw(random);
        for _ in 0..DRAWS {
            if fits(policy) {
                break;
            }
            policy = self.ranks.draw(random);
        }
        let policies = self.world.policies.len();
        let chosen = (0..policies)
            .map(|step| (policy + step) % policies)
            .find(|&policy| fits(policy));
        let policy = chosen.unwrap_or(policy);
        (Some(policy), self.coverage.alert_at(policy, time))
    }

    fn size(&self, random: &Random) -> usize {
        let percent = 50 + random.below(61) + random.below(41);
        let heavy = if random.one_in(200) { 4 } else { 1 };
        self.world.options.record_size * percent as usize / 100 * heavy
    }

    fn alert_random(&self, number: u64) -> Random {
        Random::new(self.world.options.seed, Purpose::Alert, number)
    }

    /// Returns the provider's id of alert `number`.
    fn provider_id(&self, number: u64) -> Guid {
        let random = self.alert_random(number);
        // The first id is `SystemAlertId`.
        random.guid();
        random.guid()
    }

    /// Returns alert `number`, and the activities at the ends of its window.
    fn alert_with_ends(&self, number: u64) -> (PlannedAlert, Ends) {
        let random = self.alert_random(number);
        let (id, provider_id) = (random.guid(), random.guid());
        let policy = self.alerting_policy(&random);
        let (start, end, ends) = self.window(number, &random);
        let first = Version {
            policy,
            start,
            end,
            time_generated: end.plus(lag(&random)),
            status: Status::New,
            accounts: Vec::new(),
            files: Vec::new(),
        };
        let mut versions = vec![first.clone()];
        if random.chance(self.world.options.alert_updates) {
            let second = self.update(&first, Status::InProgress, &random);
            versions.push(second.clone());
            if random.one_in(4) {
                versions.push(self.update(&second, Status::Resolved, &random));
            }
        }
        let (seed, account) = (random.bits(), random.below(USERS));
        let file = self.world.draw_watched_file(policy, &random);
        for version in &mut versions {
            version.accounts.push(account);
            version.files.push(file);
        }
        let alert = PlannedAlert {
            seed,
            id,
            provider_id,
            object_ids: Presence::Present,
            versions,
        };
        (alert, ends)
    }

    /// Draws a policy that raises alerts. Only every other policy does, because activities outside all windows must
    /// have keys too, also frequent ones.
    fn alerting_policy(&self, random: &Random) -> usize {
        self.ranks.draw(random) & !1
    }

    /// Returns start and end of a window, and the activities at them, if any.
    fn window(&self, number: u64, random: &Random) -> (EventTime, EventTime, Ends) {
        let options = &self.world.options;
        let length = self.window_length(random);
        let span_end = options.start.plus(options.span);
        // The whole window is within the span if that is possible.
        let latest = span_end.minus(length).max(options.start);
        let place = random.below((latest.ticks() - options.start.ticks()) as u64 + 1);
        let begin = EventTime::from_ticks(options.start.ticks() + place as i64);
        if options.activities == 0 {
            return (begin, begin.plus(length), [None; 2]);
        }
        let first = self.activity_near(begin);
        let start = self.draw(first).0;
        if length.is_zero() {
            return (start, start, [Some(first).filter(|_| number < self.anchored), None]);
        }
        let last = self.activity_near(start.plus(length));
        let end = self.draw(last).0;
        let exact = end.ticks() - start.ticks();
        let allowed = ticks(options.window_min) as i64..=ticks(options.window_max) as i64;
        let (end, last) = if exact > 0 && allowed.contains(&exact) {
            (end, Some(last))
        } else {
            (start.plus(length), None)
        };
        let anchors = [Some(first), last].map(|activity| activity.filter(|_| number < self.anchored));
        (start, end, anchors)
    }

    /// Draws the length of a window. Short windows are more frequent than long ones.
    fn window_length(&self, random: &Random) -> Duration {
        if random.chance(self.world.options.zero_windows) {
            return Duration::ZERO;
        }
        let shortest = ticks(self.world.options.window_min);
        let longest = ticks(self.world.options.window_max.min(self.world.options.span)).max(shortest);
        let more = random.below(longest - shortest + 1);
        duration(shortest + random.below(more + 1))
    }

    /// Returns the activity whose slot contains `time`. For later times, returns the last activity.
    fn activity_near(&self, time: EventTime) -> u64 {
        let count = self.world.options.activities;
        let offset = (time.ticks() - self.world.options.start.ticks()).max(0) as u128;
        let number = offset * u128::from(count) / u128::from(self.span);
        (number as u64).min(count.saturating_sub(1))
    }

    /// Returns a later version. Half of them may have a longer window, the others change only the status. One in 16
    /// moves to another policy.
    fn update(&self, old: &Version, status: Status, random: &Random) -> Version {
        let length = duration((old.end.ticks() - old.start.ticks()) as u64);
        let more = if random.one_in(2) {
            duration(random.below(ticks(length) / 2 + 1))
        } else {
            Duration::ZERO
        };
        let span_end = self.world.options.start.plus(self.world.options.span);
        let longest = old.start.plus(self.world.options.window_max).min(span_end);
        // An empty window stays empty, and no window is longer than the maximum.
        let end = old.end.plus(more).min(longest).max(old.end);
        let moved = random.one_in(16) && self.world.policies.len() > 2;
        let later = duration(random.between(300, 10_800) * TICKS_PER_SECOND as u64 + random.below(TICKS_PER_SECOND as u64));
        Version {
            policy: if moved { self.other_policy(old.policy) } else { old.policy },
            start: old.start,
            end,
            time_generated: old.time_generated.plus(later).max(end.plus(lag(random))),
            status,
            accounts: Vec::new(),
            files: Vec::new(),
        }
    }

    fn other_policy(&self, policy: usize) -> usize {
        let next = policy + 2;
        if next < self.world.policies.len() { next } else { 0 }
    }
}

impl Plan for CorrelatedPlan {
    fn world(&self) -> &World {
        &self.world
    }

    fn schedule(self: Arc<Self>) -> Schedule {
        let activities = 0..self.world.options.activities;
        Box::new(activities.map(move |number| (self.slot(number), number)))
    }

    fn timing(&self, number: u64) -> (EventTime, [Option<Duration>; 2]) {
        let (time, _, random) = self.draw(number);
        (time, self.world.draw_delays(&random))
    }

    fn activity(&self, number: u64) -> Planned {
        let (time, form, random) = self.draw(number);
        let delays = self.world.draw_delays(&random);
        let (policy, alert) = match self.anchors.binary_search_by_key(&number, |anchor| anchor.activity) {
            Ok(place) => {
                let anchor = &self.anchors[place];
                (Some(anchor.policy), Some(anchor.alert))
            }
            Err(_) if random.chance(self.keyed) => self.tripped(time, &random),
            Err(_) => (None, None),
        };
        let act = random.weighted(if policy.is_some() { &KEYED } else { &ORDINARY });
        Planned {
            seed: random.bits(),
            time,
            form,
            delays,
            act,
            account: random.below(USERS),
            object_id: Presence::Present,
            size: Some(self.size(&random)),
            file: None,
            policy,
            cid: Presence::Present,
            about: alert.map(|number| About::before(time, self.provider_id(number), &random)),
        }
    }

    fn alert(&self, number: u64) -> PlannedAlert {
        self.alert_with_ends(number).0
    }
}

/// The acts of activities with a correlation id, with their relative frequencies.
const KEYED: [(u64, Act); 3] = [
    (13, Act::AlertTriggered),
    (5, Act::AlertEntityGenerated),
    (2, Act::AlertUpdated),
];

/// The acts of the other activities, with their relative frequencies.
const ORDINARY: [(u64, Act); 15] = [
    (250, Act::FileAccessed),
    (70, Act::FileDownloaded),
    (70, Act::FileUploaded),
    (20, Act::AnonymousLinkCreated),
    (250, Act::MailItemsAccessed),
    (80, Act::Send),
    (110, Act::MessageReadReceiptReceived),
    (80, Act::MessageSent),
    (44, Act::UserLoggedIn),
    (7, Act::DlpRuleMatch),
    (7, Act::RespelledDlpRuleMatch),
    (3, Act::AirInvestigation),
    (3, Act::AlertTriggered),
    (4, Act::AlertEntityGenerated),
    (2, Act::AlertUpdated),
];

/// Draws the time from the end of a window to its alert: mostly up to 25 minutes, once in 50 times up to 6 hours.
pub(super) fn lag(random: &Random) -> Duration {
    let longest = if random.one_in(50) { 21_600 } else { 1_500 };
    duration(random.between(40, longest) * TICKS_PER_SECOND as u64 + random.below(TICKS_PER_SECOND as u64))
}
