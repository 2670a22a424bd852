//! `alerttrail check`: checks a configuration, the broker, and whether the settings fit the records in the input
//! topics.

mod broker;
mod report;

use std::path::PathBuf;

use super::{Failure, configuration_of_clients};
use crate::check::{Findings, Level};
use crate::config::Config;
use report::Report;

/// What to check.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the file only, without contacting a broker
    #[arg(long)]
    offline: bool,
    /// Number of newest messages of each input topic to check; 0 for none
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    sample: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    super::logging::begin("error");
    let config = configuration_of_clients(&args.config)?;
    let mut report = Report::new(&args.config.display().to_string(), &config, args.json);
    for warning in config.warnings() {
        report.add("settings", Level::Warning, warning);
    }
    report.begin();
    if let Some(findings) = broker_findings(args, &config, &mut report)? {
        report.take(findings);
    }
    report.end();
    match report.errors() {
        0 => Ok(()),
        1 => Err(Failure::failed("one check failed; see the error above")),
        errors => Err(Failure::failed(format!("{errors} checks failed; see the errors above"))),
    }
}

/// Returns the findings about the broker, or `None` if it was not contacted.
fn broker_findings(args: &Args, config: &Config, report: &mut Report) -> Result<Option<Findings>, Failure> {
    if args.offline {
        return Ok(None);
    }
    report.wait(&format!("contacting {}", config.kafka.bootstrap_servers));
    broker::check(config, args.sample).map(Some).map_err(Failure::failed)
}
