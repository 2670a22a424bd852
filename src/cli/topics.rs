//! `alerttrail topics create`: creates missing topics.

use std::path::PathBuf;

use super::{Failure, configuration, counted, print_line};
use crate::check::topics::{Role, configured};
use crate::config::{Config, Preset};
use crate::kafka::topics::Topics;

/// The action on topics.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Create the missing topics of a configuration; existing topics are not changed
    Create(Create),
}

#[derive(clap::Args, Debug)]
struct Create {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Number of partitions of the output topics and, with --with-inputs, of the input topics; the repartition topic
    /// has the number in repartition.partitions
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    /// Replication factor [default: the broker's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    replication: Option<u16>,
    /// Also create the input topics, which Azure's exports create in production
    #[arg(long)]
    with_inputs: bool,
    /// Show what would be created, without creating it
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::logging::begin("error");
    let Command::Create(create) = &args.command;
    let config = configuration(Some(&create.config))?;
    create.run(&config)
}

impl Create {
    fn run(&self, config: &Config) -> Result<(), Failure> {
        let topics = Topics::new(config).map_err(Failure::failed)?;
        let mut refused = Vec::new();
        for (role, topic) in configured(config) {
            let partitions = match role {
                Role::Repartition => config.repartition.partitions,
                _ => self.partitions,
            };
            let purpose = role.name();
            if let Some(found) = topics.partitions(&topic).map_err(Failure::failed)? {
                print_line(&format!(
                    "{topic} ({purpose}) exists, with {}",
                    counted(found.into(), "partition")
                ));
                continue;
            }
            if role == Role::Input && !self.with_inputs {
                print_line(&format!("{topic} ({purpose}) does not exist; --with-inputs creates it too"));
                continue;
            }
            let with = counted(partitions.into(), "partition");
            if self.dry_run {
                print_line(&format!("{topic} ({purpose}) would be created, with {with}"));
                continue;
            }
            match topics.create(role, &topic, partitions, self.replication) {
                Ok(()) => {
                    topics.wait_for(&topic, partitions).map_err(Failure::failed)?;
                    print_line(&format!("{topic} ({purpose}) was created, with {with}"));
                }
                Err(cause) => refused.push(format!("{topic} ({cause})")),
            }
        }
        match refused.is_empty() {
            true => Ok(()),
            false => Err(Failure::failed(format!(
                "the broker did not create {}; {}",
                refused.join(", "),
                remedy(config.kafka.preset)
            ))),
        }
    }
}

fn remedy(preset: Preset) -> &'static str {
    match preset {
        Preset::Kafka => {
            "check the permission to create topics, and that there are at least as many brokers as --replication requires"
        }
        Preset::EventHubs => {
            "creating an event hub requires the Manage right or the role Azure Event Hubs Data Owner, and the tier limits partitions and retention: create it in the portal or with `az eventhubs eventhub create`, or ask an administrator"
        }
    }
}
