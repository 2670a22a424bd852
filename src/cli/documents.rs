//! `alerttrail config`: prints the possible content of a configuration, for users and for editors.

use clap::Subcommand;

use super::{Failure, out};
use crate::config;

/// Options of `alerttrail config`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    document: Document,
}

#[derive(Subcommand, Debug)]
enum Document {
    /// Print a configuration file with every setting, its default and a comment
    Default,
    /// Print the JSON Schema of a configuration file
    ///
    /// Editors use it to complete and check a file. For Taplo and Even Better TOML, save it next to your configuration
    /// and begin the configuration with the line `#:schema ./alerttrail.schema.json`
    Schema,
}

/// Prints the document.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match args.document {
        Document::Default => out::raw(config::default_text().as_bytes()),
        Document::Schema => out::document(&format!("{:#}", config::schema())),
    }
    Ok(())
}
