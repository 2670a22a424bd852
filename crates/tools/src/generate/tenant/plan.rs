use std::sync::Arc;

use super::rhythm::Rhythm;
use crate::generate::TimeForm;
use crate::generate::options::{Error, Options};
use crate::generate::random::{Purpose, Random, Zipf};
use crate::generate::record::{About, Account, Act, Family, Policy, Presence, Tenant};
use crate::generate::tables::{Plan, Planned, PlannedAlert, Schedule, WATCHED_FILES, World};
use crate::time::EventTime;

/// The plan of people at work, and of alerts about some of them. Every ordinary activity and every alert is a function
/// of the options and its number, so the plan holds only the activities that belong to the stories of alerts.
#[derive(Debug)]
pub(super) struct TenantPlan {
    pub(super) world: World,
    pub(super) rhythm: Rhythm,
    pub(super) policy_ranks: Zipf,
    account_ranks: Zipf,
    habits: Zipf,
    everyday_files: u64,
    /// The activities of the stories that led to alerts, by time.
    stories: Vec<Planned>,
    /// The number of activities that belong to no story of an alert.
    background: u64,
}

/// The subject of an activity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) act: Act,
    pub(super) account: u64,
    pub(super) file: Option<u64>,
    pub(super) policy: Option<usize>,
    pub(super) cid: Presence,
    pub(super) about: Option<About>,
}

/// The acts of an ordinary day, with their relative frequencies.
const ORDINARY: [(u64, Act); 17] = [
    (260, Act::FileAccessed),
    (90, Act::FileModified),
    (60, Act::FileDownloaded),
    (50, Act::FileUploaded),
    (40, Act::FileSyncDownloadedFull),
    (10, Act::FileDeleted),
    (20, Act::SharingSet),
    (8, Act::AnonymousLinkCreated),
    (230, Act::MailItemsAccessed),
    (60, Act::Send),
    (2, Act::NewInboxRule),
    (2, Act::SetMailbox),
    (60, Act::UserLoggedIn),
    (58, Act::MessageSent),
    (50, Act::MessageReadReceiptReceived),
    (10, Act::MeetingParticipantDetail),
    (10, Act::DlpRuleMatch),
];

/// Approximate number of activities for each account.
const ACTIVITIES_OF_ACCOUNT: u64 = 120;
/// Approximate number of activities for each everyday file.
const ACTIVITIES_OF_FILE: u64 = 12;
/// Number of everyday files that a person uses again and again.
const HABITS: usize = 24;
/// The numbers of the policy themes that watch acts of this traffic.
const THEMES: [usize; 10] = [0, 1, 3, 5, 10, 9, 8, 11, 12, 15];

impl TenantPlan {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let seed = options.seed;
        let accounts = (options.activities / ACTIVITIES_OF_ACCOUNT).clamp(20, 5_000);
        let policy = |number: usize| Policy::new(seed, THEMES[number % THEMES.len()] + Policy::THEMES * (number / THEMES.len()));
        let mut plan = Self {
            rhythm: Rhythm::new(options.start, options.span),
            policy_ranks: Zipf::new(options.policies, 0.8),
            account_ranks: Zipf::new(accounts as usize, 0.8),
            habits: Zipf::new(HABITS, 0.7),
            everyday_files: (options.activities / ACTIVITIES_OF_FILE).clamp(50, 1_000_000),
            stories: Vec::new(),
            background: options.activities,
            world: World {
                tenant: Tenant::new(seed),
                policies: (0..options.policies).map(policy).collect(),
                accounts: (0..accounts).map(|number| Account::new(seed, number)).collect(),
                options: options.clone(),
            },
        };
        plan.place_stories();
        Ok(plan)
    }

    /// Collects the activities of the stories of alerts. They are at most half of all activities. Further alerts have
    /// only the ordinary activities of their people.
    fn place_stories(&mut self) {
        let max_story_activities = self.world.options.activities / 2;
        for number in 0..self.world.options.alerts {
            let deeds = self.script(number).deeds;
            if (self.stories.len() + deeds.len()) as u64 > max_story_activities {
                break;
            }
            self.stories.extend(deeds);
        }
        self.stories.sort_by_key(|deed| deed.time);
        self.background = self.world.options.activities - self.stories.len() as u64;
    }

    /// Returns the earliest time of ordinary activity `number`.
    pub(super) fn slot(&self, number: u64) -> EventTime {
        self.rhythm.at(number, self.background)
    }

    fn ordinary(&self, number: u64) -> Planned {
        let random = Random::new(self.world.options.seed, Purpose::Deed, number);
        let (time, form) = self.world.draw_time(self.slot(number), self.slot(number + 1), &random);
        let subject = self.ordinary_subject(&random);
        self.deed(time, form, subject, &random)
    }

    fn ordinary_subject(&self, random: &Random) -> Subject {
        let account = self.draw_account(random);
        let act = random.weighted(&ORDINARY);
        let mut subject = Subject {
            act,
            account,
            file: None,
            policy: None,
            cid: Presence::Absent,
            about: None,
        };
        if act == Act::DlpRuleMatch {
            // The match of a rule that only notifies raises no alert.
            let policy = self.policy_ranks.draw(random);
            subject.policy = Some(policy);
            let on_file = Act::watched(&self.world.policies[policy].theme.operation).is_on_file();
            subject.file = on_file.then(|| self.world.draw_watched_file(policy, random));
        } else if act.is_on_file() {
            subject.file = Some(self.draw_file(account, random));
        }
        subject
    }

    /// Plans an activity with this subject and draws its other properties.
    pub(super) fn deed(&self, time: EventTime, form: TimeForm, subject: Subject, random: &Random) -> Planned {
        let delays = self.world.draw_delays(random);
        let nameless = subject.act.facts().family == Family::MailAccess && random.one_in(25);
        Planned {
            seed: random.bits(),
            time,
            form,
            delays,
            act: subject.act,
            account: subject.account,
            object_id: if nameless { Presence::Absent } else { Presence::Present },
            file: subject.file,
            policy: subject.policy,
            cid: subject.cid,
            about: subject.about,
            size: None,
        }
    }

    /// Draws an account. A few accounts have many of the activities.
    pub(super) fn draw_account(&self, random: &Random) -> u64 {
        self.account_ranks.draw(random) as u64
    }

    /// Draws a file on which `account` works: mostly one that it uses again and again.
    fn draw_file(&self, account: u64, random: &Random) -> u64 {
        let watched = self.world.policies.len() as u64 * WATCHED_FILES;
        if random.one_in(8) {
            return random.below(watched);
        }
        let habit = self.habits.draw(random) as u64;
        let habits = Random::new(self.world.options.seed, Purpose::Favorite, account << 8 | habit);
        watched + habits.below(self.everyday_files)
    }
}

impl Plan for TenantPlan {
    fn world(&self) -> &World {
        &self.world
    }

    /// The ordinary activities have the first numbers, those of stories the others.
    fn schedule(self: Arc<Self>) -> Schedule {
        let stories = (self.background..)
            .zip(&self.stories)
            .map(|(number, deed)| (deed.time, number));
        let mut stories = stories.collect::<Vec<_>>().into_iter().peekable();
        let mut ordinary = (0..self.background).map(move |number| (self.slot(number), number)).peekable();
        Box::new(std::iter::from_fn(move || match (ordinary.peek(), stories.peek()) {
            (Some(ordinary), Some(story)) if story < ordinary => stories.next(),
            (None, _) => stories.next(),
            _ => ordinary.next(),
        }))
    }

    fn activity(&self, number: u64) -> Planned {
        match number.checked_sub(self.background) {
            Some(story) => self.stories[story as usize],
            None => self.ordinary(number),
        }
    }

    fn alert(&self, number: u64) -> PlannedAlert {
        self.script(number).alert
    }
}
