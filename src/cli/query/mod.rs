//! `alerttrail query`: queries a running processor.

mod client;
mod tables;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::{Failure, out};
use crate::query::causes::Explanation;
use crate::query::shapes::{ActivityList, AlertDetail, AlertList, ProcessorStatus};
use client::Server;

/// The help of each query lists the options that all queries have in a separate section.
const HEADING: &str = "Options of every query";

/// The server, and the query.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// URL of the processor's API [default: from --config, then ALERTTRAIL_SERVER, then http://127.0.0.1:8686]
    #[arg(long, global = true, help_heading = HEADING, value_name = "URL")]
    server: Option<String>,
    /// The processor's configuration file, for its http.listen and http.token
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the response as JSON
    #[arg(long, global = true, help_heading = HEADING)]
    json: bool,
    /// Entra tenant id; only if tenants are configured
    #[arg(long, global = true, help_heading = HEADING, value_name = "ID")]
    tenant: Option<String>,
    #[command(subcommand)]
    query: Query,
}

#[derive(Subcommand, Debug)]
enum Query {
    /// List alerts, latest first
    Alerts(ListArgs),
    /// Show one alert, with its results by link and key
    Alert {
        /// Its SystemAlertId
        id: String,
        #[command(flatten)]
        by: By,
    },
    /// List the activities of an alert, in order of time
    Activities {
        /// Its SystemAlertId
        id: String,
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        paging: Paging,
    },
    /// Explain the status of an alert and the number of its activities
    Explain {
        /// Its SystemAlertId
        id: String,
        #[command(flatten)]
        by: By,
        /// Also search the ends of the input topics and of the dead-letter topic for the alert's key in other fields,
        /// or for an alert that is not stored; takes several seconds
        #[arg(long)]
        scan: bool,
    },
    /// Show the status of the processor
    Status,
}

/// Selects one of an alert's results.
#[derive(clap::Args, Debug)]
struct By {
    /// The link [default: query]
    #[arg(long, value_name = "NAME")]
    link: Option<String>,
    /// The key, if the alert has several for the link [default: the first one in order]
    #[arg(long, value_name = "KEY")]
    correlation_id: Option<String>,
}

impl By {
    fn parameters(&self) -> [(&'static str, Option<&str>); 2] {
        [
            ("link", self.link.as_deref()),
            ("correlation_id", self.correlation_id.as_deref()),
        ]
    }
}

#[derive(clap::Args, Debug)]
struct ListArgs {
    /// Filter by status
    #[arg(long, value_name = "STATUS")]
    status: Option<StatusArg>,
    /// Filter by severity
    #[arg(long)]
    severity: Option<String>,
    /// Filter by a text in ids, name, provider, product or entities
    #[arg(long)]
    text: Option<String>,
    /// Filter by generation time: this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Filter by generation time: before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Apply --from and --to to windows instead of generation times
    #[arg(long)]
    by_window: bool,
    /// Show the results by this link [default: query]; alerts without a key for the link are left out
    #[arg(long, value_name = "NAME")]
    link: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

#[derive(clap::Args, Debug)]
struct Paging {
    /// Maximum number of entries
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Show all entries
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum StatusArg {
    Open,
    Closed,
    Matched,
    Unmatched,
}

impl StatusArg {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Matched => "matched",
            Self::Unmatched => "unmatched",
        }
    }
}

/// The maximum number of entries per request.
const MAX_PAGE: usize = 500;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let server = Server::new(args.server.as_deref(), args.config.as_deref())?;
    let alert = |id: &str| format!("/api/v1/alerts/{}", client::encoded(id));
    let tenant = ("tenant_id", args.tenant.as_deref());
    match &args.query {
        Query::Alerts(list) => alerts(&server, args, list),
        Query::Alert { id, by } => {
            let text = server.get(&alert(id), &[&[tenant][..], &by.parameters()].concat())?;
            show(args, &text, |detail: AlertDetail| tables::alert(&detail))
        }
        Query::Activities { id, by, paging } => activities(&server, args, &(alert(id) + "/activities"), by, paging),
        Query::Explain { id, by, scan } => {
            let scanned = ("scan", scan.then_some("true"));
            let parameters = [&[tenant, scanned][..], &by.parameters()].concat();
            let spinner = scan.then(waiting);
            let text = server.get(&(alert(id) + "/explain"), &parameters);
            if let Some(spinner) = spinner {
                spinner.finish_and_clear();
            }
            let text = text?;
            show(args, &text, |explanation: Explanation| tables::explanation(&explanation))
        }
        Query::Status => {
            let text = server.get("/api/v1/status", &[])?;
            show(args, &text, |status: ProcessorStatus| tables::status(&status))
        }
    }
}

fn alerts(server: &Server, args: &Args, list: &ListArgs) -> Result<(), Failure> {
    let mut whole: Option<AlertList> = None;
    loop {
        let received = whole.as_ref().map_or(0, |whole| whole.alerts.len());
        let limit = list.paging.next(received);
        let cursor = whole.as_ref().and_then(|whole| whole.next_cursor.clone());
        if limit == 0 || (whole.is_some() && cursor.is_none()) {
            break;
        }
        let text = server.get(
            "/api/v1/alerts",
            &[
                ("status", list.status.map(StatusArg::as_str)),
                ("severity", list.severity.as_deref()),
                ("text", list.text.as_deref()),
                ("from", list.from.as_deref()),
                ("to", list.to.as_deref()),
                ("time", list.by_window.then_some("window")),
                ("tenant_id", args.tenant.as_deref()),
                ("link", list.link.as_deref()),
                ("limit", Some(&limit.to_string())),
                ("cursor", cursor.as_deref()),
            ],
        )?;
        let page: AlertList = client::parsed(&text)?;
        match &mut whole {
            None => whole = Some(page),
            Some(whole) => {
                whole.alerts.extend(page.alerts);
                whole.examined += page.examined;
                (whole.next_cursor, whole.unanswered_partitions) = (page.next_cursor, page.unanswered_partitions);
            }
        }
    }
    whole.map_or(Ok(()), |whole| print(args, &whole, tables::alerts))
}

fn activities(server: &Server, args: &Args, path: &str, by: &By, paging: &Paging) -> Result<(), Failure> {
    let mut whole: Option<ActivityList> = None;
    loop {
        let received = whole.as_ref().map_or(0, |whole| whole.activities.len());
        let limit = paging.next(received);
        let cursor = whole.as_ref().and_then(|whole| whole.next_cursor.clone());
        if limit == 0 || (whole.is_some() && cursor.is_none()) {
            break;
        }
        let (tenant, limit) = (args.tenant.as_deref(), limit.to_string());
        let [link, key] = by.parameters();
        let (limit, cursor) = (("limit", Some(limit.as_str())), ("cursor", cursor.as_deref()));
        let text = server.get(path, &[("tenant_id", tenant), link, key, limit, cursor])?;
        let page: ActivityList = client::parsed(&text)?;
        match &mut whole {
            None => whole = Some(page),
            Some(whole) => {
                whole.activities.extend(page.activities);
                whole.next_cursor = page.next_cursor;
            }
        }
    }
    whole.map_or(Ok(()), |whole| print(args, &whole, tables::activities))
}

impl Paging {
    /// Returns how many entries to request next.
    fn next(&self, received: usize) -> usize {
        match self.all {
            true => MAX_PAGE,
            false => usize::try_from(self.limit)
                .unwrap_or(usize::MAX)
                .saturating_sub(received)
                .min(MAX_PAGE),
        }
    }
}

/// Shows a spinner on a terminal.
fn waiting() -> indicatif::ProgressBar {
    let spinner =
        indicatif::ProgressBar::new_spinner().with_message("the processor is searching the input topics and the dead letters");
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
}

/// Prints a response unchanged, or as text.
fn show<T: serde::de::DeserializeOwned>(args: &Args, text: &str, table: impl FnOnce(T) -> String) -> Result<(), Failure> {
    let response = client::parsed(text)?;
    out::document(&if args.json { text.to_owned() } else { table(response) });
    Ok(())
}

fn print<T: serde::Serialize>(args: &Args, response: &T, table: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    let text = match args.json {
        true => serde_json::to_string(response).map_err(Failure::failed)?,
        false => table(response),
    };
    out::document(&text);
    Ok(())
}
