use std::time::Duration;

use super::coverage::Coverage;
use super::json::TimeForm;
use super::options::{Error, Options};
use super::random::{Guid, Purpose, Random, Share, Zipf};
use super::record::{Kind, Policy, Status, Tenant, User};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// The records of the traffic. Every activity and every alert is a function of the options and its number, so the plan
/// keeps only the windows of the alerts and nothing per activity.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) tenant: Tenant,
    pub(super) policies: Vec<Policy>,
    pub(super) users: Vec<User>,
    ranks: Zipf,
    span: u64,
    coverage: Coverage,
    /// Activities exactly at the ends of alert windows, by number.
    anchors: Vec<Anchor>,
    /// The number of alerts that have anchors.
    anchored: u64,
    keyed: Share,
    inside: Share,
    duplicates: Share,
}

/// An activity that begins or ends an alert: it triggers the alert's policy exactly at its `StartTime` or `EndTime`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Anchor {
    activity: u64,
    alert: u64,
    policy: usize,
}

/// The time of an activity and the delays of its deliveries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) time: EventTime,
    pub(super) form: TimeForm,
    /// The delay of each delivery. The second is `None` if the activity is delivered once.
    pub(super) delays: [Option<Duration>; 2],
}

/// An activity without the data of its user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) seed: u64,
    pub(super) timing: Timing,
    pub(super) kind: Kind,
    pub(super) policy: Option<usize>,
    pub(super) alert: Option<Guid>,
    pub(super) user: usize,
    pub(super) size: usize,
}

/// An alert with all its versions, oldest first.
#[derive(Debug)]
pub(super) struct PlannedAlert {
    pub(super) seed: u64,
    pub(super) id: Guid,
    pub(super) provider_id: Guid,
    pub(super) user: usize,
    pub(super) versions: Vec<Version>,
    /// The activities exactly at the start and the end of its window, if there are any.
    ends: [Option<u64>; 2],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub(super) policy: usize,
    pub(super) start: EventTime,
    pub(super) end: EventTime,
    pub(super) time_generated: EventTime,
    pub(super) status: Status,
}

/// Number of people in the tenant.
const USERS: usize = 400;
/// At most one in this many activities with a correlation id is an anchor.
const ANCHOR_SHARE: u64 = 10;
/// Number of policies that are drawn before the next suitable one is taken.
const DRAWS: usize = 64;

impl Plan {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let seed = options.seed;
        let keyed = (options.keyed_share * options.activities as f64) as u64;
        let mut plan = Self {
            tenant: Tenant::of(seed),
            policies: (0..options.policies).map(|number| Policy::of(seed, number)).collect(),
            users: (0..USERS).map(|number| User::of(seed, number)).collect(),
            ranks: Zipf::new(options.policies, options.policy_skew),
            span: ticks(options.span).max(1),
            coverage: Coverage::default(),
            anchors: Vec::new(),
            anchored: options.alerts.min(keyed / ANCHOR_SHARE / 2),
            keyed: Share::of(0.0),
            inside: Share::of(0.0),
            duplicates: Share::of(options.duplicates),
            options: options.clone(),
        };
        plan.place_alerts();
        plan.place_activities(keyed);
        Ok(plan)
    }

    /// Collects the windows of all alerts, and the activities at their ends.
    fn place_alerts(&mut self) {
        let mut coverage = Coverage::new(self.policies.len());
        for number in 0..self.options.alerts {
            let alert = self.alert(number);
            if let Some(last) = alert.versions.last() {
                coverage.add(last.policy, last.start, last.end, number);
            }
            let policy = alert.versions.first().map_or(0, |version| version.policy);
            let anchors = alert.ends.iter().flatten().map(|&activity| Anchor {
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
        let within = |anchor: &&Anchor| {
            self.coverage
                .alert_at(anchor.policy, self.timing(anchor.activity).0.time)
                .is_some()
        };
        let inside = self.anchors.iter().filter(within).count() as u64;
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let others = keyed.saturating_sub(anchors) as f64;
        let wanted = (self.options.in_window_share * keyed as f64 - inside as f64).max(0.0);
        let end = self.options.start.plus(self.options.span);
        // When no window is open, no activity can be in one. The rest of the time must compensate for that.
        let open = self.coverage.open_share(self.options.start, end);
        self.keyed = Share::of(share(others, self.options.activities.saturating_sub(anchors) as f64));
        self.inside = Share::of(share(share(wanted, others), open));
    }

    /// Returns the earliest possible time of activity `number`. Activities are spread evenly over the span, one to a
    /// slot.
    pub(super) fn slot(&self, number: u64) -> EventTime {
        let offset = u128::from(number) * u128::from(self.span) / u128::from(self.options.activities.max(1));
        EventTime::from_ticks(self.options.start.ticks() + offset as i64)
    }

    /// Returns the time of activity `number`, and the random numbers from which its other properties are drawn.
    pub(super) fn timing(&self, number: u64) -> (Timing, Random) {
        let mut random = Random::new(self.options.seed, Purpose::Activity, number);
        let (from, to) = (self.slot(number).ticks(), self.slot(number + 1).ticks());
        let form = time_form(&mut random);
        let exact = from + random.below((to - from) as u64) as i64;
        let rough = exact - exact.rem_euclid(10_i64.pow(7 - u32::from(form.digits)));
        let time = EventTime::from_ticks(rough).max(self.options.start);
        let first = self.delay(&mut random);
        let second = random.chance(self.duplicates).then(|| self.delay(&mut random));
        let delays = [Some(first), second];
        (Timing { time, form, delays }, random)
    }

    /// Draws the delay of a delivery. It is less than the disorder, so that no record is late by more than that.
    pub(super) fn delay(&self, random: &mut Random) -> Duration {
        duration(random.below(ticks(self.options.disorder)))
    }

    /// Draws whether a delivery is repeated.
    pub(super) fn is_repeated(&self, random: &mut Random) -> bool {
        random.chance(self.duplicates)
    }

    /// Returns activity `number`.
    pub(super) fn activity(&self, number: u64) -> Planned {
        let (timing, mut random) = self.timing(number);
        let (policy, alert) = match self.anchors.binary_search_by_key(&number, |anchor| anchor.activity) {
            Ok(place) => {
                let anchor = &self.anchors[place];
                (Some(anchor.policy), Some(anchor.alert))
            }
            Err(_) if random.chance(self.keyed) => self.tripped(timing.time, &mut random),
            Err(_) => (None, None),
        };
        let kind = if policy.is_some() {
            keyed_kind(&mut random)
        } else {
            ordinary_kind(&mut random)
        };
        Planned {
            seed: random.bits(),
            timing,
            kind,
            policy,
            alert: alert.map(|number| self.alert_ids(number).1),
            user: random.place(self.users.len()),
            size: self.size(&mut random),
        }
    }

    /// Returns the policy that an activity triggers, and the alert whose window then contains it.
    fn tripped(&self, time: EventTime, random: &mut Random) -> (Option<usize>, Option<u64>) {
        let inside = random.chance(self.inside);
        let fits = |policy: usize| self.coverage.alert_at(policy, time).is_some() == inside;
        let mut policy = self.ranks.draw(random);
        for _ in 0..DRAWS {
            if fits(policy) {
                break;
            }
            policy = self.ranks.draw(random);
        }
        let policies = self.policies.len();
        let chosen = (0..policies)
            .map(|step| (policy + step) % policies)
            .find(|&policy| fits(policy));
        let policy = chosen.unwrap_or(policy);
        (Some(policy), self.coverage.alert_at(policy, time))
    }

    fn size(&self, random: &mut Random) -> usize {
        let percent = 50 + random.below(61) + random.below(41);
        let heavy = if random.one_in(200) { 4 } else { 1 };
        self.options.record_size * percent as usize / 100 * heavy
    }

    fn alert_random(&self, number: u64) -> Random {
        Random::new(self.options.seed, Purpose::Alert, number)
    }

    /// Returns `SystemAlertId` and the provider's id of alert `number`.
    fn alert_ids(&self, number: u64) -> (Guid, Guid) {
        let mut random = self.alert_random(number);
        (random.guid(), random.guid())
    }

    /// Returns alert `number`.
    pub(super) fn alert(&self, number: u64) -> PlannedAlert {
        let mut random = self.alert_random(number);
        let (id, provider_id) = (random.guid(), random.guid());
        let policy = self.alerting_policy(&mut random);
        let (start, end, ends) = self.window(number, &mut random);
        let first = Version {
            policy,
            start,
            end,
            time_generated: end.plus(lag(&mut random)),
            status: Status::New,
        };
        let mut versions = vec![first];
        if random.chance(Share::of(self.options.alert_updates)) {
            let second = self.update(first, Status::InProgress, &mut random);
            versions.push(second);
            if random.one_in(4) {
                versions.push(self.update(second, Status::Resolved, &mut random));
            }
        }
        PlannedAlert {
            seed: random.bits(),
            id,
            provider_id,
            user: random.place(self.users.len()),
            versions,
            ends,
        }
    }

    /// Draws a policy that raises alerts. Only every other policy does, because activities outside all windows must
    /// have keys too, also frequent ones.
    fn alerting_policy(&self, random: &mut Random) -> usize {
        self.ranks.draw(random) & !1
    }

    /// Returns start and end of a window, and the activities at them, if any.
    fn window(&self, number: u64, random: &mut Random) -> (EventTime, EventTime, [Option<u64>; 2]) {
        let options = &self.options;
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
        let start = self.timing(first).0.time;
        if length.is_zero() {
            return (start, start, [Some(first).filter(|_| number < self.anchored), None]);
        }
        let last = self.activity_near(start.plus(length));
        let end = self.timing(last).0.time;
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
    fn window_length(&self, random: &mut Random) -> Duration {
        if random.chance(Share::of(self.options.zero_windows)) {
            return Duration::ZERO;
        }
        let shortest = ticks(self.options.window_min);
        let longest = ticks(self.options.window_max.min(self.options.span)).max(shortest);
        let more = random.below(longest - shortest + 1);
        duration(shortest + random.below(more + 1))
    }

    /// Returns the activity whose slot contains `time`. For later times, returns the last activity.
    fn activity_near(&self, time: EventTime) -> u64 {
        let count = self.options.activities;
        let offset = (time.ticks() - self.options.start.ticks()).max(0) as u128;
        let number = offset * u128::from(count) / u128::from(self.span);
        (number as u64).min(count.saturating_sub(1))
    }

    /// Returns a later version. Half of them may have a longer window, the others change only the status. One in 16
    /// moves to another policy.
    fn update(&self, old: Version, status: Status, random: &mut Random) -> Version {
        let length = duration((old.end.ticks() - old.start.ticks()) as u64);
        let more = if random.one_in(2) {
            duration(random.below(ticks(length) / 2 + 1))
        } else {
            Duration::ZERO
        };
        let span_end = self.options.start.plus(self.options.span);
        let longest = old.start.plus(self.options.window_max).min(span_end);
        // An empty window stays empty, and no window is longer than the maximum.
        let end = old.end.plus(more).min(longest).max(old.end);
        let moved = random.one_in(16) && self.policies.len() > 2;
        let later = duration(random.between(300, 10_800) * TICKS_PER_SECOND as u64 + random.below(TICKS_PER_SECOND as u64));
        Version {
            policy: if moved { self.other_policy(old.policy) } else { old.policy },
            start: old.start,
            end,
            time_generated: old.time_generated.plus(later).max(end.plus(lag(random))),
            status,
        }
    }

    fn other_policy(&self, policy: usize) -> usize {
        let next = policy + 2;
        if next < self.policies.len() { next } else { 0 }
    }
}

/// Draws the time from the end of a window to its alert: mostly up to 25 minutes, once in 50 times up to 6 hours.
pub(super) fn lag(random: &mut Random) -> Duration {
    let longest = if random.one_in(50) { 21_600 } else { 1_500 };
    duration(random.between(40, longest) * TICKS_PER_SECOND as u64 + random.below(TICKS_PER_SECOND as u64))
}

pub(super) fn time_form(random: &mut Random) -> TimeForm {
    let (digits, zone) = match random.below(20) {
        0..=8 => (0, true),
        9..=12 => (0, false),
        13..=14 => (3, true),
        15..=16 => (7, true),
        17..=18 => (random.between(1, 6), true),
        _ => (random.between(1, 7), false),
    };
    TimeForm {
        digits: digits as u8,
        zone,
        separator: b'T',
    }
}

fn keyed_kind(random: &mut Random) -> Kind {
    match random.below(20) {
        0..=12 => Kind::AlertTriggered,
        13..=17 => Kind::AlertEntityGenerated,
        _ => Kind::AlertUpdated,
    }
}

fn ordinary_kind(random: &mut Random) -> Kind {
    match random.below(1_000) {
        0..=249 => Kind::FileAccessed,
        250..=319 => Kind::FileDownloaded,
        320..=389 => Kind::FileUploaded,
        390..=409 => Kind::AnonymousLinkCreated,
        410..=659 => Kind::MailItemsAccessed,
        660..=739 => Kind::Send,
        740..=849 => Kind::MessageReadReceiptReceived,
        850..=929 => Kind::MessageSent,
        930..=973 => Kind::UserLoggedIn,
        974..=987 => Kind::DlpRuleMatch,
        988..=990 => Kind::AirInvestigation,
        991..=993 => Kind::AlertTriggered,
        994..=997 => Kind::AlertEntityGenerated,
        _ => Kind::AlertUpdated,
    }
}

/// Returns a duration in ticks. Checked options are far below the maximum of `u64`.
pub(super) fn ticks(duration: Duration) -> u64 {
    (duration.as_nanos() / 100) as u64
}

pub(super) fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(100))
}
