use std::time::Duration;

use super::act::{Act, Family, ORDINARY};
use super::activity::{About, Presence};
use super::files::File;
use super::people::Account;
use super::rhythm::Rhythm;
use crate::generate::json::TimeForm;
use crate::generate::options::{Error, Options};
use crate::generate::plan::{duration, ticks, time_form};
use crate::generate::random::{Purpose, Random, Share, Zipf};
use crate::generate::record::{Policy, Tenant};
use crate::time::EventTime;

/// The records of the traffic. Every ordinary activity and every alert is a function of the options and its number, so
/// the plan holds only the activities that belong to the stories of alerts.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) tenant: Tenant,
    pub(super) policies: Vec<Policy>,
    pub(super) accounts: Vec<Account>,
    pub(super) rhythm: Rhythm,
    pub(super) policy_ranks: Zipf,
    pub(super) updates: Share,
    account_ranks: Zipf,
    habits: Zipf,
    everyday_files: u64,
    duplicates: Share,
    /// The activities of the stories that led to alerts, by time.
    pub(super) stories: Vec<Planned>,
    /// The number of activities that belong to no story of an alert.
    pub(super) background: u64,
}

/// An activity.
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
    pub(super) about: Option<About>,
}

/// The subject of an activity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) act: Act,
    pub(super) account: u64,
    pub(super) file: Option<u64>,
    pub(super) policy: Option<usize>,
    pub(super) about: Option<About>,
}

/// Approximate number of activities for each account.
const ACTIVITIES_OF_ACCOUNT: u64 = 120;
/// Approximate number of activities for each everyday file.
const ACTIVITIES_OF_FILE: u64 = 12;
/// Number of files for each alert policy that watches content.
pub(super) const WATCHED_FILES: u64 = 6;
/// Number of everyday files that a person uses again and again.
const HABITS: usize = 24;
/// The numbers of the policy themes that watch acts of this traffic.
const THEMES: [usize; 10] = [0, 1, 3, 5, 10, 9, 8, 11, 12, 15];
/// Number of themes of policies.
const ALL_THEMES: usize = 16;

impl Plan {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let seed = options.seed;
        let accounts = (options.activities / ACTIVITIES_OF_ACCOUNT).clamp(20, 5_000);
        let policy = |number: usize| Policy::of(seed, THEMES[number % THEMES.len()] + ALL_THEMES * (number / THEMES.len()));
        let mut plan = Self {
            tenant: Tenant::of(seed),
            policies: (0..options.policies).map(policy).collect(),
            accounts: (0..accounts).map(|number| Account::of(seed, number)).collect(),
            rhythm: Rhythm::new(options.start, options.span),
            policy_ranks: Zipf::new(options.policies, 0.8),
            updates: Share::of(options.alert_updates),
            account_ranks: Zipf::new(accounts as usize, 0.8),
            habits: Zipf::new(HABITS, 0.7),
            everyday_files: (options.activities / ACTIVITIES_OF_FILE).clamp(50, 1_000_000),
            duplicates: Share::of(options.duplicates),
            stories: Vec::new(),
            background: options.activities,
            options: options.clone(),
        };
        plan.place_stories();
        Ok(plan)
    }

    /// Collects the activities of the stories of alerts. They are at most half of all activities. Further alerts have
    /// only the ordinary activities of their people.
    fn place_stories(&mut self) {
        let most = self.options.activities / 2;
        for number in 0..self.options.alerts {
            let deeds = self.script(number).deeds;
            if (self.stories.len() + deeds.len()) as u64 > most {
                break;
            }
            self.stories.extend(deeds);
        }
        self.stories.sort_by_key(|deed| deed.time);
        self.background = self.options.activities - self.stories.len() as u64;
    }

    /// Returns the earliest time of ordinary activity `number`.
    pub(super) fn slot(&self, number: u64) -> EventTime {
        self.rhythm.at(number, self.background)
    }

    /// Returns activity `number`. The ordinary ones come first, then those of stories.
    pub(super) fn activity(&self, number: u64) -> Planned {
        match number.checked_sub(self.background) {
            Some(story) => self.stories[story as usize],
            None => self.ordinary(number),
        }
    }

    fn ordinary(&self, number: u64) -> Planned {
        let mut random = Random::new(self.options.seed, Purpose::Deed, number);
        let (from, to) = (self.slot(number).ticks(), self.slot(number + 1).ticks());
        let form = time_form(&mut random);
        let exact = from + random.below((to - from) as u64) as i64;
        let rough = exact - exact.rem_euclid(10_i64.pow(7 - u32::from(form.digits)));
        let time = EventTime::from_ticks(rough).max(self.options.start);
        let subject = self.ordinary_subject(&mut random);
        self.deed(time, form, subject, &mut random)
    }

    fn ordinary_subject(&self, random: &mut Random) -> Subject {
        let account = self.draw_account(random);
        let all: u64 = ORDINARY.iter().map(|(weight, _)| weight).sum();
        let mut draw = random.below(all);
        let mut act = Act::FileAccessed;
        for (weight, candidate) in ORDINARY {
            if draw < weight {
                act = candidate;
                break;
            }
            draw -= weight;
        }
        let mut subject = Subject {
            act,
            account,
            file: None,
            policy: None,
            about: None,
        };
        if act == Act::DlpRuleMatch {
            // The match of a rule that only notifies raises no alert.
            let policy = self.policy_ranks.draw(random);
            subject.policy = Some(policy);
            let on_file = Act::watched(self.policies[policy].theme.operation).is_on_file();
            subject.file = on_file.then(|| self.draw_watched_file(policy, random));
        } else if act.is_on_file() {
            subject.file = Some(self.draw_file(account, random));
        }
        subject
    }

    /// Plans an activity with this subject and draws its other properties.
    pub(super) fn deed(&self, time: EventTime, form: TimeForm, subject: Subject, random: &mut Random) -> Planned {
        let first = self.delay(random);
        let second = self.is_repeated(random).then(|| self.delay(random));
        let nameless = subject.act.facts().family == Family::MailAccess && random.one_in(25);
        Planned {
            seed: random.bits(),
            time,
            form,
            delays: [Some(first), second],
            act: subject.act,
            account: subject.account,
            object_id: if nameless { Presence::Absent } else { Presence::Present },
            file: subject.file,
            policy: subject.policy,
            about: subject.about,
        }
    }

    /// Draws the delay of a delivery, which is less than the disorder.
    pub(super) fn delay(&self, random: &mut Random) -> Duration {
        duration(random.below(ticks(self.options.disorder)))
    }

    /// Draws whether a delivery is repeated.
    pub(super) fn is_repeated(&self, random: &mut Random) -> bool {
        random.chance(self.duplicates)
    }

    /// Draws an account. A few accounts have many of the activities.
    pub(super) fn draw_account(&self, random: &mut Random) -> u64 {
        self.account_ranks.draw(random) as u64
    }

    /// Draws one of the files that `policy` watches.
    pub(super) fn draw_watched_file(&self, policy: usize, random: &mut Random) -> u64 {
        policy as u64 * WATCHED_FILES + random.below(WATCHED_FILES)
    }

    /// Draws a file on which `account` works: mostly one that it uses again and again.
    fn draw_file(&self, account: u64, random: &mut Random) -> u64 {
        let watched = self.policies.len() as u64 * WATCHED_FILES;
        if random.one_in(8) {
            return random.below(watched);
        }
        let habit = self.habits.draw(random) as u64;
        let mut habits = Random::new(self.options.seed, Purpose::Favorite, account << 8 | habit);
        watched + habits.below(self.everyday_files)
    }

    /// Returns file `number`.
    pub(super) fn file(&self, number: u64) -> File {
        let policy = self.policies.get((number / WATCHED_FILES) as usize);
        let owner = &self.accounts[(number % self.accounts.len() as u64) as usize];
        File::of(self.options.seed, number, policy, owner)
    }

    /// Returns account `number`.
    pub(super) fn account(&self, number: u64) -> &Account {
        &self.accounts[number as usize]
    }
}
