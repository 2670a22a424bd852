//! `alerttrail reset`: deletes everything that an application has stored, so that it starts over.
//!
//! The order matters if the command is interrupted: positions are deleted first and the repartition topic last. Without
//! positions, the input is read again into the existing repartition topic and state, which does not change the result.
//! With positions but without the repartition topic, records that were read before would be left out. The records of
//! the output topics are deleted after the state, because rows that the state counts as sent would not be sent again.

mod outputs;

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;

use super::{Failure, configuration, counted, out, print_line};
use crate::clock;
use crate::config::Config;
use crate::kafka::clients;
use crate::kafka::groups::{self, ConsumerGroup};
use crate::kafka::topics::Topics;
use crate::store::{self, StateDir};
use crate::words::duration;
use outputs::{Choice, OutputsToReset};

/// The time to wait for members that have ended, in addition to their session timeout.
const MEMBER_TIMEOUT_MARGIN: Duration = Duration::from_secs(5);

const WHAT_IS_KEPT: &str = "The input topics are not changed, and are read again from input.start.";

/// What to delete.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    /// Show what would be deleted, without deleting it
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Also delete the records of output.topic and output.summary_topic, so that readers start over
    #[arg(long, conflicts_with = "keep_output")]
    purge_output: bool,
    /// Keep the records of output.topic and output.summary_topic, although readers that keep the greatest seq of each
    /// id will keep earlier rows that are withdrawn or changed afterwards
    #[arg(long)]
    keep_output: bool,
}

/// The positions, stores and records that exist.
struct Existing {
    groups: [(String, Option<ConsumerGroup>); 2],
    state: PathBuf,
    /// The folders of the stores and their total size; `None` if there is no folder.
    stores: Option<(Vec<PathBuf>, u64)>,
    topic: String,
    /// The numbers of partitions and records; `None` if there is no topic.
    log: Option<(u32, u64)>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::logging::begin("warn");
    let config = configuration(Some(&args.config))?;
    if !args.yes && !args.dry_run && !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "reset asks for a confirmation, but standard input is not a terminal; add --yes to delete without asking, or --dry-run to see what would be deleted",
        ));
    }
    let topics = Topics::new(&config).map_err(Failure::failed)?;
    let mut existing = inspect(&config, &topics)?;
    existing.print(&config.application.id);
    let lock = existing.lock()?;
    existing.wait_for_members(&config)?;
    drop(lock);
    // From now on, no process writes to the outputs.
    let outputs = OutputsToReset::inspect(&config, &topics, Choice::from_args(args))?;
    outputs.print();
    if !args.dry_run {
        outputs.require_choice()?;
    }
    if existing.is_empty() && !outputs.will_delete() {
        print_line("There is nothing to delete.");
        return Ok(());
    }
    print_line(WHAT_IS_KEPT);
    outputs.explain();
    outputs.check_permission(&config)?;
    if args.dry_run {
        if let Some(decision) = outputs.open_decision() {
            print_line(&format!("A decision is needed: {decision}."));
        }
        print_line("Nothing was changed.");
        return Ok(());
    }
    if !args.yes && !is_confirmed().map_err(Failure::failed)? {
        return Err(Failure::failed("not confirmed; nothing was changed"));
    }
    existing.delete(&config, &topics)?;
    outputs.delete(&config, &topics)?;
    print_line("Instances on other machines have their own state: run this command there too before any of them starts.");
    Ok(())
}

fn inspect(config: &Config, topics: &Topics<'_>) -> Result<Existing, Failure> {
    let [route, join] = groups::names(config);
    let find = |name: String| -> Result<_, Failure> {
        let group = groups::find(config, &name).map_err(Failure::failed)?;
        Ok((name, group))
    };
    let topic = config.repartition.topic.clone();
    let partitions = topics.partitions(&topic).map_err(Failure::failed)?;
    let log = match partitions {
        None => None,
        Some(partitions) => Some((partitions, topics.records(&topic).map_err(Failure::failed)?)),
    };
    let state = config.state.dir.join(&config.application.id);
    Ok(Existing {
        groups: [find(route)?, find(join)?],
        stores: stores(&state).map_err(|error| disk_failure("read", &state, &error))?,
        state,
        topic,
        log,
    })
}

impl Existing {
    fn is_empty(&self) -> bool {
        self.log.is_none() && self.stores.is_none() && self.groups.iter().all(|(_, group)| group.is_none())
    }

    fn print(&self, id: &str) {
        let none = || "does not exist".to_owned();
        print_line(&format!("To be deleted of the application {id}:"));
        for (name, group) in &self.groups {
            let what = group
                .as_ref()
                .map_or_else(none, |_| "with its committed positions".to_owned());
            print_line(&format!("  consumer group  {name}, {what}"));
        }
        let what = self.stores.as_ref().map_or_else(none, |(stores, bytes)| {
            format!(
                "{}, {}",
                counted(stores.len() as u64, "partition"),
                ByteSize(*bytes).display().si()
            )
        });
        print_line(&format!("  state           {}, {what}", self.state.display()));
        let what = self.log.map_or_else(none, |(partitions, records)| {
            format!("{}, {}", counted(partitions.into(), "partition"), counted(records, "record"))
        });
        print_line(&format!("  topic           {}, {what}", self.topic));
    }

    /// Takes the lock of the state, which is held until the returned value is dropped. Fails if a process on this
    /// machine uses the state.
    fn lock(&self) -> Result<Option<StateDir>, Failure> {
        let dir = self.stores.as_ref().map(|_| StateDir::open(&self.state));
        dir.transpose().map_err(|error| match error {
            store::Error::InUse { path, by } => Failure::failed(format!(
                "the state in {path} is in use by {by}, which runs this application; stop it first and run reset again; nothing was changed"
            )),
            error => Failure::failed(error),
        })
    }

    /// Waits until the groups have no members. A member that has ended counts until its session times out. Fails if a
    /// member stays.
    fn wait_for_members(&mut self, config: &Config) -> Result<(), Failure> {
        let (began, session) = (clock::start(), clients::session_timeout(config));
        let mut is_reported = false;
        loop {
            let mut members = self
                .groups
                .iter()
                .filter_map(|(name, group)| Some((name, &group.as_ref()?.members)));
            let Some((name, members)) = members.find(|(_, members)| !members.is_empty()) else {
                return Ok(());
            };
            let members = members.join(", ");
            if began.elapsed() > session + MEMBER_TIMEOUT_MARGIN {
                return Err(Failure::failed(format!(
                    "the consumer group {name} is in use by {members}; stop every instance of the application first and run reset again; \
                     nothing was changed"
                )));
            }
            if !is_reported {
                print_line(&format!(
                    "Waiting for at most {}: the broker counts {members} as a member of {name}. A stopped instance counts as one until \
                     its session times out (session.timeout.ms).",
                    duration(session + MEMBER_TIMEOUT_MARGIN)
                ));
                is_reported = true;
            }
            std::thread::sleep(Duration::from_secs(1));
            for (name, group) in &mut self.groups {
                *group = groups::find(config, name).map_err(Failure::failed)?;
            }
        }
    }

    /// Deletes everything that exists.
    fn delete(&self, config: &Config, topics: &Topics<'_>) -> Result<(), Failure> {
        for (name, group) in &self.groups {
            if group.is_some() {
                groups::delete(config, name).map_err(Failure::failed)?;
                print_line(&format!("Deleted the consumer group {name}."));
            } else {
                print_line(&format!("There was no consumer group {name}."));
            }
        }
        match &self.stores {
            Some(_) => {
                let _lock = self.lock()?;
                empty(&self.state).map_err(|error| disk_failure("remove", &self.state, &error))?;
                print_line(&format!("Removed the state in {}.", self.state.display()));
            }
            None => print_line(&format!("There was no state in {}.", self.state.display())),
        }
        match self.log {
            Some(_) => {
                topics.delete(&self.topic).map_err(Failure::failed)?;
                print_line(&format!("Deleted the topic {}.", self.topic));
            }
            None => print_line(&format!("There was no topic {}.", self.topic)),
        }
        Ok(())
    }
}

/// Returns the stores in the state directory of an application, and the bytes of everything in it.
fn stores(state: &Path) -> std::io::Result<Option<(Vec<PathBuf>, u64)>> {
    // An empty folder may be left over from one that could not be removed.
    if !state.try_exists()? || fs::read_dir(state)?.next().is_none() {
        return Ok(None);
    }
    let mut stores = Vec::new();
    for entry in fs::read_dir(state)? {
        let path = entry?.path();
        if path.is_dir() {
            stores.push(path);
        }
    }
    stores.sort();
    let bytes = bytes(state)?;
    Ok(Some((stores, bytes)))
}

fn bytes(folder: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() {
            bytes(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(sum)
}

/// Removes the content of the folder, then the folder itself. If the folder cannot be removed, because it is a link or
/// the root of a volume, it stays empty.
fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_dir(folder).ok();
    Ok(())
}

fn disk_failure(what: &str, path: &Path, cause: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "cannot {what} the state in {}: {cause}; check the permissions of this user, and run the command again",
        path.display()
    ))
}

/// Prompts for a confirmation. Returns false if that is impossible.
fn is_confirmed() -> std::io::Result<bool> {
    out::raw(b"Delete all of this? [y/N] ");
    if out::is_over() {
        return Ok(false);
    }
    let mut input = String::new();
    std::io::stdin().read_line(&mut input)?;
    Ok(matches!(input.trim().to_lowercase().as_str(), "y" | "yes"))
}
