//! The environment of a trial: its own topics and settings, on the given broker or on one inside this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::options::{Mode, Options};
use crate::config::{self, Config};
use crate::kafka::clients::REQUEST_TIMEOUT;
use crate::kafka::topics::Topics;
use crate::kafka::{clients, groups};
use crate::term::{Failure, configuration};

/// The out-of-orderness of the test. The activities of a partition are in order, and alerts close this much later.
pub(super) const OUT_OF_ORDERNESS: Duration = Duration::from_millis(100);
/// The partition of alerts has no activities: it holds the watermark back until it counts as idle.
const IDLE: Duration = Duration::from_secs(1);
/// The retention of topics, which a crash may leave on the broker.
const RETENTION_MS: &str = "21600000";
/// Bytes that the embedded broker keeps of a partition.
pub(super) const EMBEDDED_BYTES: f64 = 5.0 * 1024.0 * 1024.0;

/// Topics and settings of one trial.
pub(super) struct Environment {
    /// The configuration of the processors and the driver.
    pub(super) config: Config,
    /// The variables that override the configuration file for the processors.
    pub(super) variables: Vec<(String, String)>,
    /// The configuration file.
    pub(super) file: PathBuf,
    /// State and logs of the processors.
    pub(super) folder: PathBuf,
    /// The broker inside this process, if it is used.
    cluster: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Environment {
    /// Returns the topic of activities.
    pub(super) fn activities(&self) -> &str {
        self.config.input.topics.first().map_or("", String::as_str)
    }

    /// Returns the topic of alerts.
    pub(super) fn alerts(&self) -> &str {
        self.config.input.topics.last().map_or("", String::as_str)
    }

    /// Returns whether the broker is inside this process.
    pub(super) fn is_embedded(&self) -> bool {
        self.cluster.is_some()
    }

    /// Creates the topics of the application `id`, with all its files below `folder`.
    pub(super) fn open(options: &Options, id: &str, folder: &Path) -> Result<Self, Failure> {
        let cluster = match options.embedded {
            true => Some(MockCluster::new(1).map_err(Failure::failed)?),
            false => None,
        };
        let servers = match &cluster {
            Some(cluster) => Some(cluster.bootstrap_servers()),
            None => options.bootstrap_servers.clone(),
        };
        let folder = folder.join(id);
        std::fs::create_dir_all(&folder).map_err(Failure::failed)?;
        let file = match &options.config {
            Some(file) => file.clone(),
            None => {
                let file = folder.join("capacity.toml");
                std::fs::write(&file, "# All settings come from environment variables.\n").map_err(Failure::failed)?;
                file
            }
        };
        let named = configuration(Some(&file))?;
        if named.decode.tenants.is_some() {
            return Err(Failure::usage(
                "the configuration has a [tenants] table, but the traffic of a capacity test has one tenant; use a configuration without it",
            ));
        }
        let delivery = options.delivery.unwrap_or(Mode::from_delivery(named.output.delivery));
        let variables = variables(id, servers, delivery, &folder, named.output.summary_topic.is_some());
        let environment = config::environment().chain(variables.clone());
        let config = Config::load(Some(&file), environment).map_err(Failure::usage)?;
        let environment = Self {
            config,
            variables,
            file,
            folder,
            cluster,
        };
        environment.create(options.partitions)?;
        Ok(environment)
    }

    /// Returns name and partitions of each topic.
    fn topics(&self, partitions: u32) -> Vec<(String, u32)> {
        let output = &self.config.output;
        let mut topics = vec![
            (self.activities().to_owned(), partitions),
            (self.alerts().to_owned(), 1),
            (output.topic.clone(), 4),
            (output.dead_letter_topic.clone(), 1),
        ];
        topics.extend(output.summary_topic.iter().map(|topic| (topic.clone(), 1)));
        topics
    }

    fn create(&self, partitions: u32) -> Result<(), Failure> {
        let topics = self.topics(partitions);
        let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        if let Some(cluster) = &self.cluster {
            // The embedded broker does not support topic creation, so the processor cannot create its own topic.
            let log = (self.config.repartition.topic.clone(), self.config.repartition.partitions);
            for (topic, partitions) in topics.iter().chain([&log]) {
                cluster.create_topic(topic, count(*partitions), 1).map_err(Failure::failed)?;
            }
            return Ok(());
        }
        let client = Topics::new(&self.config).map_err(Failure::failed)?;
        // This request reports why there is no connection, while topic creation does not.
        client.partitions(self.activities()).map_err(Failure::failed)?;
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|(topic, partitions)| {
                NewTopic::new(topic, count(*partitions), TopicReplication::Fixed(-1)).set("retention.ms", RETENTION_MS)
            })
            .collect();
        let failed = |cause: String| {
            Failure::failed(format!(
                "cannot create the topics of the test: {cause}; the test uses its own topics and needs the permission to create and delete them"
            ))
        };
        let (admin, options) = self.admin()?;
        let results = block_on(admin.create_topics(&new, &options))?;
        for result in results.map_err(|error| failed(error.to_string()))? {
            if let Err((topic, code)) = result {
                return Err(failed(format!("{topic}: {code}")));
            }
        }
        let began = crate::clock::start();
        for (topic, partitions) in &topics {
            // A broker under load takes a moment to become the leader of new partitions.
            while client.partitions(topic).map_err(Failure::failed)? != Some(*partitions) {
                if began.elapsed() > REQUEST_TIMEOUT {
                    return Err(failed(format!("{topic} has no leader after {} s", REQUEST_TIMEOUT.as_secs())));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Deletes the topics that exist. Fails with the name of one that cannot be deleted.
    pub(super) fn delete(&self) -> Result<(), Failure> {
        if self.is_embedded() {
            return Ok(());
        }
        let mut names: Vec<String> = self.topics(1).into_iter().map(|(topic, _)| topic).collect();
        names.push(self.config.repartition.topic.clone());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (admin, options) = self.admin()?;
        let results = block_on(admin.delete_topics(&names, &options))?;
        for result in results.map_err(Failure::failed)? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => {
                    return Err(Failure::failed(format!(
                        "cannot delete the topic {topic}: {code}; delete it by hand"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Deletes the consumer groups. Returns whether they are gone. A member that has ended counts until its session
    /// times out.
    pub(super) fn forget(&self) -> bool {
        self.is_embedded()
            || groups::names(&self.config)
                .iter()
                .all(|name| groups::delete(&self.config, name).is_ok())
    }

    fn admin(&self) -> Result<(AdminClient<DefaultClientContext>, AdminOptions), Failure> {
        let admin = clients::admin(&self.config, DefaultClientContext).map_err(Failure::failed)?;
        let options = AdminOptions::new()
            .operation_timeout(Some(REQUEST_TIMEOUT))
            .request_timeout(Some(REQUEST_TIMEOUT));
        Ok((admin, options))
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(Failure::failed)?.block_on(future))
}

/// Returns the test's own settings: everything except the broker, the memory, the partitions of the repartition topic
/// and the interval of watermark updates.
fn variables(id: &str, servers: Option<String>, delivery: Mode, folder: &Path, summaries: bool) -> Vec<(String, String)> {
    let topic = |role: &str| format!("{id}-{role}");
    let idle = humantime::format_duration(IDLE).to_string();
    let disorder = humantime::format_duration(OUT_OF_ORDERNESS).to_string();
    let mut settings: Vec<(&str, String)> = vec![
        ("APPLICATION__ID", id.to_owned()),
        (
            "INPUT__TOPICS",
            format!("[\"{}\", \"{}\"]", topic("activities"), topic("alerts")),
        ),
        ("INPUT__START", "earliest".to_owned()),
        ("INPUT__IDENTITY", "content".to_owned()),
        ("INPUT__ON_LOST_OFFSETS", "fail".to_owned()),
        ("CORRELATION__ACTIVITY_KEY", "[\"RawEventData.Data.cid\"]".to_owned()),
        ("CORRELATION__ACTIVITY_TIME", "[\"RawEventData.CreationTime\"]".to_owned()),
        ("CORRELATION__ALERT_KEY", "[\"AlertType\"]".to_owned()),
        ("CORRELATION__IGNORE_CASE", "false".to_owned()),
        ("CORRELATION__BOUNDS", "exclusive".to_owned()),
        ("CORRELATION__BEFORE", "0s".to_owned()),
        ("CORRELATION__AFTER", "0s".to_owned()),
        ("REPARTITION__TOPIC", String::new()),
        ("WATERMARK__OUT_OF_ORDERNESS", disorder),
        ("WATERMARK__IDLE_TIMEOUT", idle),
        ("WATERMARK__MAX_WAIT", "1h".to_owned()),
        ("STATE__DIR", folder.display().to_string()),
        ("OUTPUT__TOPIC", topic("rows")),
        ("OUTPUT__DEAD_LETTER_TOPIC", topic("dead-letters")),
        ("OUTPUT__FORMAT", "native".to_owned()),
        ("OUTPUT__DELIVERY", delivery.word().to_owned()),
    ];
    if summaries {
        settings.push(("OUTPUT__SUMMARY_TOPIC", topic("summaries")));
    }
    if let Some(servers) = servers {
        settings.push(("KAFKA__BOOTSTRAP_SERVERS", servers));
    }
    let named = |(name, value): (&str, String)| (format!("ALERTTRAIL_{name}"), value);
    settings.into_iter().map(named).collect()
}
