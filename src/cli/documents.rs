//! `alerttrail config`: prints the possible content of a configuration, for people and for editors.

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
    /// Print every setting with its default and a comment, as a configuration file
    Default,
    /// Print the JSON Schema of a configuration file
    ///
    /// Editors complete and check a file with it. Save it beside your configuration, whose first line then names it,
    /// for Taplo and Even Better TOML: `#:schema ./alerttrail.schema.json`
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
