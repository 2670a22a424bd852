use std::time::Duration;

use uuid::Uuid as Guid;

use super::plan::{Subject, TenantPlan};
use crate::generate::TimeForm;
use crate::generate::plan::lag;
use crate::generate::random::{Purpose, Random};
use crate::generate::record::{About, Act, Presence, Status};
use crate::generate::tables::duration;
use crate::generate::tables::{Planned, PlannedAlert, Version};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// An alert, and the activities that led to it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) alert: PlannedAlert,
    pub(super) deeds: Vec<Planned>,
}

/// The properties of an alert that are drawn first and determine all others.
struct Outline {
    id: Guid,
    provider_id: Guid,
    policy: usize,
    act: Act,
    account: u64,
    /// A person whom a later version adds.
    second: Option<u64>,
    files: Vec<u64>,
    /// The times when the policy was triggered, in order.
    trips: Vec<EventTime>,
    start: EventTime,
    end: EventTime,
    is_updated: bool,
}

impl TenantPlan {
    /// Returns the story of alert `number`.
    pub(super) fn script(&self, number: u64) -> Script {
        let random = Random::new(self.world.options.seed, Purpose::Incident, number);
        let outline = self.outline(&random);
        let versions = versions(&outline, &random);
        let object_ids = self.object_ids(&outline, &random);
        let deeds = self.deeds(&outline, &versions, &random);
        let alert = PlannedAlert {
            seed: random.bits(),
            id: outline.id,
            provider_id: outline.provider_id,
            object_ids,
            versions,
        };
        Script { alert, deeds }
    }

    fn outline(&self, random: &Random) -> Outline {
        let (id, provider_id) = (random.guid(), random.guid());
        let policy = self.policy_ranks.draw(random);
        let act = Act::watched(&self.world.policies[policy].theme.operation);
        let account = self.draw_account(random);
        let begin = self.rhythm.draw(random).ticks();
        let start = EventTime::from_ticks(begin - begin.rem_euclid(TICKS_PER_SECOND)).max(self.world.options.start);
        let (trips, end) = self.trips(start, act, random);
        let is_updated = random.chance(self.world.options.alert_updates);
        let second = is_updated
            .then(|| self.draw_account(random))
            .filter(|&second| second != account && random.one_in(2));
        let mut files: Vec<u64> = Vec::new();
        for _ in 0..random.between(1, 3) * u64::from(act.is_on_file()) {
            files.push(self.world.draw_watched_file(policy, random));
        }
        files.sort_unstable();
        files.dedup();
        Outline {
            id,
            provider_id,
            policy,
            act,
            account,
            second,
            files,
            trips,
            start,
            end,
            is_updated,
        }
    }

    /// Draws the times when the policy is triggered, and the end of the alert. Of 20 alerts, 8 cover one moment, 7
    /// cover a minute, and 5 collect what happens in up to 8 hours.
    fn trips(&self, start: EventTime, act: Act, random: &Random) -> (Vec<EventTime>, EventTime) {
        let room = ((self.rhythm.end().ticks() - start.ticks()) / TICKS_PER_SECOND).max(0) as u64;
        let (length, further) = match random.below(20) {
            0..=7 => return (vec![start], start),
            8..=14 => (60, random.below(3)),
            _ => (random.between(600, 28_800), random.between(2, 8)),
        };
        let is_volume = matches!(act, Act::FileDownloaded | Act::FileDeleted);
        let further = if is_volume { further * 3 } else { further };
        let length = length.min(room);
        let mut trips: Vec<EventTime> = (0..further).map(|_| later(start, random.below(length + 1))).collect();
        let end = later(start, length);
        trips.push(start);
        // An alert about a minute ends with the minute, even if its last activity is earlier.
        if length > 60 {
            trips.push(end);
        }
        trips.sort_unstable();
        (trips, end)
    }

    /// Draws whether people have object ids. Some providers, but not data loss prevention, name people only by their
    /// principal names.
    fn object_ids(&self, outline: &Outline, random: &Random) -> Presence {
        let named_only = random.one_in(5);
        if named_only && !self.world.policies[outline.policy].theme.is_dlp() {
            Presence::Absent
        } else {
            Presence::Present
        }
    }

    fn deeds(&self, outline: &Outline, versions: &[Version], random: &Random) -> Vec<Planned> {
        let mut deeds = Deeds {
            plan: self,
            outline,
            random,
            cid: Presence::Absent,
            deeds: Vec::new(),
        };
        deeds.lead_up();
        deeds.trips();
        deeds.audit(versions);
        deeds.deeds
    }
}

struct Deeds<'a> {
    plan: &'a TenantPlan,
    outline: &'a Outline,
    random: &'a Random,
    /// Whether the record of the new alert has the correlation id.
    cid: Presence,
    deeds: Vec<Planned>,
}

impl Deeds<'_> {
    /// Adds an activity if it is within the span.
    fn add(&mut self, time: EventTime, act: Act, account: u64, file: Option<u64>, about: Option<About>) {
        if time < self.plan.world.options.start || time >= self.plan.rhythm.end() {
            return;
        }
        let is_record = matches!(
            act,
            Act::DlpRuleMatch | Act::AlertTriggered | Act::AlertEntityGenerated | Act::AlertUpdated | Act::Send
        );
        let subject = Subject {
            act,
            account,
            file,
            policy: is_record.then_some(self.outline.policy),
            cid: if act == Act::AlertTriggered {
                self.cid
            } else {
                Presence::Absent
            },
            about,
        };
        let form = TimeForm {
            digits: 0,
            zone: !self.random.one_in(3),
            separator: 'T',
        };
        let deed = self.plan.deed(time, form, subject, self.random);
        self.deeds.push(deed);
    }

    /// Adds a sign-in, and a first look at the file.
    fn lead_up(&mut self) {
        let (start, account) = (self.outline.start, self.outline.account);
        let before = self.random.between(60, 1_800);
        self.add(earlier(start, before), Act::UserLoggedIn, account, None, None);
        if let Some(&file) = self.outline.files.first() {
            let before = self.random.between(5, 600);
            self.add(earlier(start, before), Act::FileAccessed, account, Some(file), None);
        }
    }

    /// Adds the activities that triggered the policy, and the matches of its rule.
    fn trips(&mut self) {
        let outline = self.outline;
        let is_dlp = self.plan.world.policies[outline.policy].theme.is_dlp();
        for (place, &time) in outline.trips.iter().enumerate() {
            // The second person is never the first to trigger the policy.
            let account = match outline.second {
                Some(second) if place % 3 == 1 => second,
                _ => outline.account,
            };
            let file = outline.files.get(place % outline.files.len().max(1)).copied();
            self.add(time, outline.act, account, file, None);
            if is_dlp {
                let seconds = self.random.between(5, 300);
                self.add(later(time, seconds), Act::DlpRuleMatch, account, file, None);
            }
        }
    }

    /// Adds the alert's own audit records: its creation and its entities 1 to 40 minutes after its start, and its
    /// updates when their versions are generated.
    fn audit(&mut self, versions: &[Version]) {
        let outline = self.outline;
        let triggered = later(outline.start, self.random.between(60, 2_400));
        let about = About {
            id: outline.provider_id,
            start: outline.start,
            end: versions.first().map_or(outline.end, |version| version.end),
        };
        let file = outline.files.first().copied();
        if !self.random.one_in(4) {
            self.cid = Presence::Present;
        }
        self.add(triggered, Act::AlertTriggered, outline.account, file, Some(about));
        let is_dlp = self.plan.world.policies[outline.policy].theme.is_dlp();
        let entities = self.random.between(u64::from(!is_dlp), 2);
        let latest = later(outline.start, 2_400);
        for _ in 0..entities {
            let time = later(triggered, self.random.below(90)).min(latest);
            self.add(time, Act::AlertEntityGenerated, outline.account, file, Some(about));
        }
        for version in versions.iter().skip(1) {
            let ticks = version.time_generated.ticks();
            let time = EventTime::from_ticks(ticks - ticks.rem_euclid(TICKS_PER_SECOND));
            self.add(time, Act::AlertUpdated, outline.account, file, Some(about));
        }
    }
}

/// Returns the versions of an alert. The second may have a later end, more people and more files. Some alerts have a
/// third one, which removes the added person.
fn versions(outline: &Outline, random: &Random) -> Vec<Version> {
    let whole = Version {
        policy: outline.policy,
        start: outline.start,
        end: outline.end,
        time_generated: outline.end.plus(lag(random)),
        status: Status::New,
        accounts: vec![outline.account],
        files: outline.files.clone(),
    };
    if !outline.is_updated {
        return vec![whole];
    }
    let middle = outline.trips[outline.trips.len() / 2];
    let end = if outline.trips.len() > 2 { middle } else { outline.end };
    let first = Version {
        end,
        time_generated: end.plus(lag(random)),
        files: outline.files.iter().copied().take(1).collect(),
        ..whole.clone()
    };
    let second = Version {
        time_generated: first.time_generated.plus(between_versions(random)).max(whole.time_generated),
        status: Status::InProgress,
        accounts: std::iter::once(outline.account).chain(outline.second).collect(),
        ..whole
    };
    let mut versions = vec![first, second.clone()];
    if random.one_in(3) {
        versions.push(Version {
            time_generated: second.time_generated.plus(between_versions(random)),
            status: Status::Resolved,
            accounts: vec![outline.account],
            ..second
        });
    }
    versions
}

fn between_versions(random: &Random) -> Duration {
    duration(random.between(300, 10_800) * TICKS_PER_SECOND as u64 + random.below(TICKS_PER_SECOND as u64))
}

fn later(time: EventTime, seconds: u64) -> EventTime {
    time.plus(Duration::from_secs(seconds))
}

fn earlier(time: EventTime, seconds: u64) -> EventTime {
    time.minus(Duration::from_secs(seconds))
}
