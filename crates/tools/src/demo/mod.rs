//! `alerttrail demo`: a broker, traffic and the processor in one process.
//!
//! The broker is librdkafka's mock cluster on a loopback port. Everything else is real: the stages of `alerttrail run`
//! read the synthetic records, route them through the repartition topic, join them and write to the output topics. The
//! demo prints what it reads back from those topics. The page is served as by `alerttrail run`.

mod page;
mod screen;
mod stories;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::config::Config;
use crate::emit::Links;
use crate::http;
use crate::metrics::Metrics;
use crate::pipeline::exposed::Exposed;
use crate::pipeline::processor::{self, Instance, Stages};
use crate::shutdown::Shutdown;
use crate::term::{Failure, eprint_line, logging, out, signals};

/// How long to show it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// End by itself after N seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Draw the people, files and ids of the traffic from this number
    #[arg(long, default_value_t = 7, value_name = "S")]
    seed: u64,
    /// Do not open the page in a browser
    #[arg(long)]
    no_browser: bool,
}

/// The demo's settings: the defaults, except for times that are short enough for a person to follow.
const SETTINGS: [(&str, &str); 9] = [
    ("ALERTTRAIL_APPLICATION__ID", "demo"),
    ("ALERTTRAIL_REPARTITION__PARTITIONS", "2"),
    ("ALERTTRAIL_WATERMARK__INTERVAL", "100ms"),
    ("ALERTTRAIL_WATERMARK__OUT_OF_ORDERNESS", "1s"),
    ("ALERTTRAIL_WATERMARK__IDLE_TIMEOUT", "1s"),
    ("ALERTTRAIL_WATERMARK__MAX_WAIT", "20s"),
    ("ALERTTRAIL_OUTPUT__SUMMARY_TOPIC", "alert-summaries"),
    ("ALERTTRAIL_OUTPUT__UNMATCHED", "emit"),
    ("ALERTTRAIL_STATE__MEMORY", "64MB"),
];

/// The links besides the query.
const LINKS: &str = include_str!("links.toml");

/// Partitions of the topic of activities. As in Event Hubs, activities with one correlation id are in all of them.
const ACTIVITY_PARTITIONS: i32 = 2;

/// Runs the demo until its time is over or a shutdown is requested.
pub fn run(args: &Args) -> Result<(), Failure> {
    logging::begin("error");
    let shutdown = Shutdown::default();
    signals::watch(&shutdown).map_err(Failure::failed)?;
    let cluster = MockCluster::new(1).map_err(Failure::failed)?;
    let folder = tempfile::Builder::new()
        .prefix("alerttrail-demo-")
        .tempdir()
        .map_err(Failure::failed)?;
    let listener = page::listen()?;
    let address = listener.local_addr().map_err(Failure::failed)?.to_string();
    let config = configuration(&cluster.bootstrap_servers(), folder.path(), address.clone())?;
    create_topics(&cluster, &config).map_err(Failure::failed)?;

    eprint_line("alerttrail demo: an embedded broker, synthetic traffic with event time equal to now, and the real processor.");
    eprint_line("Each alert is answered by its policy (query), by its people (users) and by its files (file).");
    eprint_line(&format!(
        "Activities go to 2 partitions of \"{}\", alerts to \"{}\"; the answers below are read back from \"{}\".",
        config.input.topics.first().map_or("", String::as_str),
        config.input.topics.last().map_or("", String::as_str),
        config.output.topic
    ));
    let metrics = Arc::new(Metrics::new(Links::new(&config.decode)).map_err(Failure::failed)?);
    let exposed = Arc::new(Exposed::default());
    let _http = {
        let serving = http::start(listener, &config, &metrics, &exposed, &shutdown).map_err(Failure::failed)?;
        let page = format!("http://{address}/");
        eprint_line(&format!("The page with all of it: {page}"));
        if !args.no_browser {
            page::open(&page);
        }
        serving
    };
    eprint_line("The first alert is answered in a few seconds. Ctrl-C ends it.\n");

    let spawn = |name: &str, work: Box<dyn FnOnce() -> Result<(), Failure> + Send>| {
        let stop = shutdown.clone();
        let run = move || {
            let result = work();
            stop.request();
            result
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(Failure::failed)
    };
    let processor = {
        let (config, shutdown, metrics, exposed) = (config.clone(), shutdown.clone(), Arc::clone(&metrics), Arc::clone(&exposed));
        spawn(
            "processor",
            Box::new(move || {
                let instance = Instance::new(&config, Stages::All, &exposed).map_err(Failure::failed)?;
                processor::start(&instance, Stages::All, &shutdown, &metrics).map_err(Failure::failed)
            }),
        )?
    };
    let traffic = {
        let (config, shutdown, seed) = (config.clone(), shutdown.clone(), args.seed);
        spawn(
            "traffic",
            Box::new(move || traffic::run(&config, seed, &shutdown).map_err(Failure::failed)),
        )?
    };
    let mut screen = screen::Screen::open(&config).map_err(Failure::failed)?;
    let shown = screen
        .run(args.seconds.map(Duration::from_secs), &shutdown)
        .map_err(Failure::failed);
    shutdown.request();
    let results = [processor, traffic].map(|thread| thread.join());
    for result in results {
        result.unwrap_or_else(|_| Err(Failure::failed("a thread of the demo ended unexpectedly")))?;
    }
    shown?;
    if !out::is_over() {
        eprint_line(&format!("\n{}", screen.totals()));
    }
    Ok(())
}

fn configuration(bootstrap_servers: &str, state: &std::path::Path, listen: String) -> Result<Config, Failure> {
    let mut settings: Vec<(String, String)> = SETTINGS
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    settings.push(("ALERTTRAIL_KAFKA__BOOTSTRAP_SERVERS".into(), bootstrap_servers.into()));
    settings.push(("ALERTTRAIL_STATE__DIR".into(), state.display().to_string()));
    settings.push(("ALERTTRAIL_HTTP__LISTEN".into(), listen));
    let file = state.join("links.toml");
    std::fs::write(&file, LINKS).map_err(Failure::failed)?;
    Config::load(Some(&file), settings.into_iter()).map_err(Failure::failed)
}

fn create_topics(cluster: &MockCluster<'_, DefaultProducerContext>, config: &Config) -> rdkafka::error::KafkaResult<()> {
    let log_partitions = i32::try_from(config.repartition.partitions).unwrap_or(1);
    for (at, topic) in config.input.topics.iter().enumerate() {
        cluster.create_topic(topic, if at == 0 { ACTIVITY_PARTITIONS } else { 1 }, 1)?;
    }
    cluster.create_topic(&config.repartition.topic, log_partitions, 1)?;
    let summaries = config.output.summary_topic.as_deref();
    let single = [
        Some(config.output.topic.as_str()),
        summaries,
        Some(config.output.dead_letter_topic.as_str()),
    ];
    for topic in single.into_iter().flatten() {
        cluster.create_topic(topic, 1, 1)?;
    }
    Ok(())
}
