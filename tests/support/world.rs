//! Topics, traffic and processes of one test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use alerttrail::generate::{Generator, Messages as _, Options};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use super::{Instance, TIMEOUT, broker, program};

/// The topics, the folder and the application of one test.
pub(crate) struct World {
    /// The broker's address for the test itself.
    pub(crate) broker: String,
    /// The broker's address for the processor.
    pub(crate) served: String,
    pub(crate) name: String,
    pub(crate) folder: tempfile::TempDir,
    /// The folder of the state directories.
    pub(crate) states: PathBuf,
    /// `watermark.idle_timeout`
    pub(crate) idle_timeout: &'static str,
    /// Additional lines of the configuration file, by section.
    pub(crate) more: BTreeMap<&'static str, String>,
    sent: PathBuf,
    number: usize,
}

/// Whether sent messages belong to the input that the expected result is computed from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Yes,
    No,
}

/// A message of an output topic.
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Record {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.value).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl World {
    /// Creates topics on the broker: 4 partitions of activities, 1 of alerts, 3 of rows.
    pub(crate) fn new(name: &str) -> Option<Self> {
        Some(Self::on(&broker()?, name))
    }

    /// Does the same on the broker at this address.
    pub(crate) fn on(broker: &str, name: &str) -> Self {
        let unique = format!(
            "{name}-{}-{}",
            std::process::id(),
            std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()
        );
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            sent: folder.path().join("sent.jsonl"),
            broker: broker.to_owned(),
            served: broker.to_owned(),
            name: unique,
            states: folder.path().to_owned(),
            folder,
            idle_timeout: "1s",
            more: BTreeMap::new(),
            number: 0,
        };
        for (topic, partitions) in [("activities", 4), ("alerts", 1), ("rows", 3), ("summaries", 1), ("dead", 1)] {
            world.create_topic(&world.topic(topic), partitions, &[]);
        }
        world
    }

    /// Returns the file of all messages that count, in a format that `correlate` reads.
    pub(crate) fn sent(&self) -> &Path {
        &self.sent
    }

    /// Adds a line to a section of the configuration file.
    pub(crate) fn set(&mut self, section: &'static str, line: &str) {
        let lines = self.more.entry(section).or_default();
        lines.push_str(line);
        lines.push('\n');
    }

    pub(crate) fn topic(&self, role: &str) -> String {
        format!("{}-{role}", self.name)
    }

    pub(crate) fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let results = runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        // A broker under load takes a moment to become the leader of new partitions.
        let began = Instant::now();
        let has_leaders = |metadata: rdkafka::metadata::Metadata| {
            let partitions = metadata.topics()[0].partitions();
            !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0)
        };
        while !admin.inner().fetch_metadata(Some(topic), TIMEOUT).is_ok_and(has_leaders) {
            assert!(began.elapsed() < TIMEOUT, "{topic} has no leader");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        config
    }

    /// Writes the configuration file; `state` is the name of the instance's state directory.
    pub(crate) fn config(&self, state: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{state}.toml"));
        let more = |section: &str| self.more.get(section).cloned().unwrap_or_default();
        let text = format!(
            r#"
[application]
id = "{name}"
[kafka]
bootstrap_servers = "{broker}"
{kafka}
[input]
topics = ["{name}-activities", "{name}-alerts"]
{input}
[repartition]
partitions = 3
[watermark]
out_of_orderness = "5m"
idle_timeout = "{idle}"
{watermark}
[correlation]
{correlation}
[state]
dir = "{dir}"
{state}
retention = "3650d"
[output]
topic = "{name}-rows"
summary_topic = "{name}-summaries"
dead_letter_topic = "{name}-dead"
{output}
[http]
listen = ""
"#,
            name = self.name,
            broker = self.served,
            dir = self.states.join(state).display(),
            idle = self.idle_timeout,
            state = match more("state") {
                lines if lines.contains("memory") => lines,
                lines => lines + "memory = \"64MB\"",
            },
            kafka = self
                .more
                .get("kafka.properties")
                .map_or_else(String::new, |lines| format!("[kafka.properties]\n{lines}")),
            input = more("input"),
            watermark = more("watermark"),
            correlation = more("correlation"),
            output = more("output"),
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Sends messages, the n-th to partition n modulo the number of partitions, and keeps them for [`World::expected`].
    pub(crate) fn send<'m>(&mut self, role: &str, partitions: i32, messages: impl IntoIterator<Item = &'m [u8]>) {
        let first = self.number;
        let placed = messages.into_iter().enumerate().map(|(n, message)| {
            let partition = i32::try_from(first + n).unwrap() % partitions;
            (partition, message)
        });
        self.number += self.produce(role, Counted::Yes, placed);
    }

    /// Sends messages to one partition.
    pub(crate) fn send_to<'m>(&self, role: &str, partition: i32, counted: Counted, messages: impl IntoIterator<Item = &'m [u8]>) {
        self.produce(role, counted, messages.into_iter().map(|message| (partition, message)));
    }

    fn produce<'m>(&self, role: &str, counted: Counted, messages: impl Iterator<Item = (i32, &'m [u8])>) -> usize {
        let producer: BaseProducer = self.client().set("linger.ms", "5").create().unwrap();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.sent);
        let mut file = std::io::BufWriter::new(file.unwrap());
        let topic = self.topic(role);
        let mut count = 0;
        for (partition, message) in messages {
            count += 1;
            loop {
                let record = BaseRecord::<(), [u8]>::to(&topic).partition(partition).payload(message);
                if producer.send(record).is_ok() {
                    break;
                }
                producer.poll(Duration::from_millis(10));
            }
            if counted == Counted::Yes {
                file.write_all(message).unwrap();
                file.write_all(b"\n").unwrap();
            }
        }
        file.flush().unwrap();
        producer.flush(TIMEOUT).unwrap();
        count
    }

    /// Sends generated traffic.
    pub(crate) fn send_generated(&mut self, options: &Options) {
        let generator = Generator::new(options).unwrap();
        let mut messages = Vec::new();
        let mut activities = generator.activities();
        let mut buffer = Vec::new();
        while activities.next_message(&mut buffer).is_some() {
            messages.push(std::mem::take(&mut buffer));
        }
        self.send("activities", 4, messages.iter().map(Vec::as_slice));
        messages.clear();
        let mut alerts = generator.alerts();
        while alerts.next_message(&mut buffer).is_some() {
            messages.push(std::mem::take(&mut buffer));
        }
        self.send("alerts", 1, messages.iter().map(Vec::as_slice));
    }

    /// Runs `correlate` over all sent messages that count. Returns the files of its rows and dead-letter records.
    pub(crate) fn correlate(&self) -> (PathBuf, PathBuf) {
        let (rows, dead) = (
            self.folder.path().join("expected.jsonl"),
            self.folder.path().join("expected-dead.jsonl"),
        );
        let output = Command::new(program())
            .arg("correlate")
            .args([
                Path::new("--config"),
                &self.config("expected"),
                Path::new("--input"),
                &self.sent,
            ])
            .args([Path::new("--output"), &rows, Path::new("--dead-letters"), &dead])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (rows, dead)
    }

    /// Returns the rows of `correlate` for all sent messages that count, by id, and its dead-letter records.
    pub(crate) fn expected(&self) -> (BTreeMap<String, Value>, Vec<Value>) {
        let (rows, dead) = self.correlate();
        let lines = |path: &Path| -> Vec<Value> {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let rows = lines(&rows)
            .into_iter()
            .map(|row| (row["id"].as_str().unwrap().to_owned(), row));
        (rows.collect(), lines(&dead))
    }

    /// Returns all records that a topic has now.
    pub(crate) fn read(&self, role: &str) -> Vec<Record> {
        let topic = self.topic(role);
        let mut config = self.client();
        config
            .set("group.id", "reader")
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT).unwrap();
        let partitions = i32::try_from(metadata.topics()[0].partitions().len()).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut records = Vec::new();
        let mut left: BTreeSet<i32> = (0..partitions).collect();
        let began = Instant::now();
        // Counting would not work, because the markers of transactions take offsets too.
        while !left.is_empty() {
            assert!(
                began.elapsed() < TIMEOUT,
                "the partitions {left:?} of {topic} cannot be read to the end"
            );
            let message = match consumer.poll(Duration::from_millis(100)) {
                None => continue,
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                    continue;
                }
                Some(message) => message.unwrap(),
            };
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
            let headers = message.headers().map(|headers| {
                headers
                    .iter()
                    .map(|header| (header.key.to_owned(), text(header.value)))
                    .collect()
            });
            records.push(Record {
                key: message.key().unwrap_or_default().to_vec(),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: headers.unwrap_or_default(),
            });
        }
        records
    }

    /// Returns the fold of the rows: by id, the record with the greatest `seq`.
    pub(crate) fn fold(&self) -> BTreeMap<String, Value> {
        let mut fold: BTreeMap<String, (i64, Value)> = BTreeMap::new();
        for record in self.read("rows") {
            let row = record.json();
            let (id, seq) = (row["id"].as_str().unwrap().to_owned(), row["seq"].as_i64().unwrap());
            if fold.get(&id).is_none_or(|(newest, _)| *newest < seq) {
                fold.insert(id, (seq, row));
            }
        }
        let live = fold.into_iter().filter(|(_, (_, row))| row["op"] == "upsert");
        live.map(|(id, (_, row))| (id, row)).collect()
    }

    /// Waits until the fold of the output topic has exactly the expected ids.
    pub(crate) fn wait_for_expected_rows(&self, instances: &mut [&mut Instance]) -> BTreeMap<String, Value> {
        let (expected, _) = self.expected();
        let began = Instant::now();
        loop {
            let fold = self.fold();
            let missing = expected.keys().filter(|id| !fold.contains_key(*id)).count();
            let too_many = fold.keys().filter(|id| !expected.contains_key(*id)).count();
            if missing == 0 && too_many == 0 {
                return fold;
            }
            for instance in instances.iter_mut() {
                instance.assert_runs();
            }
            assert!(
                began.elapsed() < TIMEOUT,
                "{missing} of {} rows are missing, {too_many} are unexpected",
                expected.len()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until the topic has this many records.
    pub(crate) fn wait_for_records(&self, role: &str, count: usize, instance: &mut Instance) -> Vec<Record> {
        let began = Instant::now();
        loop {
            let records = self.read(role);
            if records.len() >= count {
                return records;
            }
            instance.assert_runs();
            assert!(
                began.elapsed() < TIMEOUT,
                "{} has {} records, not {count}",
                self.topic(role),
                records.len()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn start(&self, state: &str) -> Instance {
        self.start_as(Path::new(program()), state)
    }

    /// Starts another program than the one that is tested.
    pub(crate) fn start_as(&self, program: &Path, state: &str) -> Instance {
        let log = self.folder.path().join(format!("{state}.log"));
        Instance::start_as(program, &self.config(state), &log, &[])
    }

    /// Runs the processor until it ends, which must be soon.
    pub(crate) fn run_to_end(&self, state: &str) -> Output {
        let config = self.config(state);
        Command::new(program())
            .arg("run")
            .arg("--config")
            .arg(config)
            .output()
            .unwrap()
    }
}
