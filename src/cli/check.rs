//! `alerttrail check`: what a configuration file says, and what is wrong with it.

use std::path::PathBuf;

use super::{Failure, configuration, say};
use crate::config::Config;
use crate::time::Bounds;

/// What to check.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = configuration(Some(&args.config))?;
    for warning in config.warnings() {
        say(&format!("warning: {warning}"));
    }
    print(&config, &args.config.display().to_string());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
fn print(config: &Config, file: &str) {
    let duration = |duration| humantime::format_duration(duration).to_string();
    println!("{file} is valid.");
    println!("  application  {}", config.application.id);
    println!("  broker       {}", config.kafka.bootstrap_servers);
    println!("  reads        {}", config.input.topics.join(", "));
    println!(
        "  through      {} ({} partitions)",
        config.repartition.topic, config.repartition.partitions
    );
    println!("  writes       {}", config.output.topic);
    if let Some(topic) = &config.output.summary_topic {
        println!("  summaries    {topic}");
    }
    println!("  dead letters {}", config.output.dead_letter_topic);
    println!(
        "  state        {}, {} kept, {} MB of memory",
        config.state.dir.join(&config.application.id).display(),
        duration(config.state.retention),
        config.state.memory / 1_000_000
    );
    println!(
        "  watermark    {} out of orderness, partitions idle after {}, alerts wait {} at the most",
        duration(config.watermark.out_of_orderness),
        duration(config.watermark.idle_timeout),
        duration(config.watermark.max_wait)
    );
    let widening = config.decode.widening;
    let bounds = match widening.bounds {
        Bounds::Exclusive => "exclusive",
        Bounds::Inclusive => "inclusive",
    };
    println!(
        "  windows      {bounds} bounds, {} before, {} after",
        duration(widening.before),
        duration(widening.after)
    );
    println!("The file was read; the broker was not asked.");
}
