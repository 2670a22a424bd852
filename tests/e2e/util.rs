//! Topics, traffic and processes for one test.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use alerttrail::generate::{Generator, Messages as _, Options};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The broker's address; `None` when there is none, and that is allowed.
pub(crate) fn broker() -> Option<String> {
    match std::env::var("ALERTTRAIL_TEST_KAFKA") {
        Ok(address) => Some(address),
        Err(_) if std::env::var("CI").as_deref() == Ok("true") => {
            panic!("ALERTTRAIL_TEST_KAFKA is not set, and under CI=true these tests must run; scripts/test sets it")
        }
        Err(_) => {
            println!("skipped: ALERTTRAIL_TEST_KAFKA names no broker; scripts/test starts one");
            None
        }
    }
}

/// One test's own topics, folder and application.
pub(crate) struct World {
    pub(crate) broker: String,
    pub(crate) name: String,
    pub(crate) folder: tempfile::TempDir,
    /// More lines for the configuration file, by section.
    pub(crate) more: BTreeMap<&'static str, String>,
    sent: PathBuf,
    number: usize,
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
    /// Topics of its own on the broker: 4 partitions of activities, 1 of alerts, 3 of rows.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let broker = broker()?;
        let unique = format!(
            "{name}-{}-{}",
            std::process::id(),
            std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()
        );
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            sent: folder.path().join("sent.jsonl"),
            broker,
            name: unique,
            folder,
            more: BTreeMap::new(),
            number: 0,
        };
        for (topic, partitions) in [("activities", 4), ("alerts", 1), ("rows", 3), ("summaries", 1), ("dead", 1)] {
            world.create_topic(&world.topic(topic), partitions, &[]);
        }
        Some(world)
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
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        config
    }

    /// Writes the configuration file; `state` names the folder of an instance's state.
    pub(crate) fn config(&self, state: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{state}.toml"));
        let more = |section: &str| self.more.get(section).cloned().unwrap_or_default();
        let text = format!(
            r#"
[application]
id = "{name}"
[kafka]
bootstrap_servers = "{broker}"
[input]
topics = ["{name}-activities", "{name}-alerts"]
[repartition]
partitions = 3
[watermark]
out_of_orderness = "5m"
idle_timeout = "1s"
{watermark}
[correlation]
{correlation}
[state]
dir = "{dir}"
memory = "64MB"
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
            broker = self.broker,
            dir = self.folder.path().join(state).display(),
            watermark = more("watermark"),
            correlation = more("correlation"),
            output = more("output"),
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Sends messages, the n-th to partition n modulo the number of partitions, and keeps them for [`World::expected`].
    pub(crate) fn send<'m>(&mut self, role: &str, partitions: i32, messages: impl IntoIterator<Item = &'m [u8]>) {
        let producer: BaseProducer = self.client().set("linger.ms", "5").create().unwrap();
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.sent)
            .unwrap();
        let topic = self.topic(role);
        for message in messages {
            let partition = i32::try_from(self.number).unwrap() % partitions;
            self.number += 1;
            loop {
                let record = BaseRecord::<(), [u8]>::to(&topic).partition(partition).payload(message);
                if producer.send(record).is_ok() {
                    break;
                }
                producer.poll(Duration::from_millis(10));
            }
            file.write_all(message).unwrap();
            file.write_all(b"\n").unwrap();
        }
        producer.flush(PATIENCE).unwrap();
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

    /// The rows that `correlate` gives for everything sent, by id; and its dead letters.
    pub(crate) fn expected(&self) -> (BTreeMap<String, Value>, Vec<Value>) {
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
        let lines = |path: &Path| -> Vec<Value> {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let rows = lines(&rows)
            .into_iter()
            .map(|row| (row["id"].as_str().unwrap().to_owned(), row));
        (rows.collect(), lines(&dead))
    }

    /// Everything on a topic now.
    pub(crate) fn read(&self, role: &str) -> Vec<Record> {
        let topic = self.topic(role);
        let mut config = self.client();
        config
            .set("group.id", "reader")
            .set("enable.partition.eof", "false")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        let mut left = 0;
        for partition in 0..i32::try_from(partitions).unwrap() {
            let (low, high) = consumer.fetch_watermarks(&topic, partition, PATIENCE).unwrap();
            left += high - low;
            list.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut records = Vec::new();
        let began = Instant::now();
        while left > 0 {
            assert!(began.elapsed() < PATIENCE, "{left} records of {topic} cannot be read");
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let message = message.unwrap();
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
            left -= 1;
        }
        records
    }

    /// The rows that count: by id, of several records of one id the one with the greatest `seq`.
    pub(crate) fn fold(&self) -> BTreeMap<String, Value> {
        let mut fold: BTreeMap<String, (i64, Value)> = BTreeMap::new();
        for record in self.read("rows") {
            let row = record.json();
            let (id, seq) = (row["id"].as_str().unwrap().to_owned(), row["seq"].as_i64().unwrap());
            if fold.get(&id).is_none_or(|(held, _)| *held < seq) {
                fold.insert(id, (seq, row));
            }
        }
        let live = fold.into_iter().filter(|(_, (_, row))| row["op"] == "upsert");
        live.map(|(id, (_, row))| (id, row)).collect()
    }

    /// Waits until the fold of the output topic holds exactly the expected ids.
    pub(crate) fn wait_for_answer(&self, instances: &mut [&mut Instance]) -> BTreeMap<String, Value> {
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
                began.elapsed() < PATIENCE,
                "{missing} of {} rows are missing, {too_many} too many",
                expected.len()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until the topic holds this many records.
    pub(crate) fn wait_for_records(&self, role: &str, count: usize, instance: &mut Instance) -> Vec<Record> {
        let began = Instant::now();
        loop {
            let records = self.read(role);
            if records.len() >= count {
                return records;
            }
            instance.assert_runs();
            assert!(
                began.elapsed() < PATIENCE,
                "{} has {} records, not {count}",
                self.topic(role),
                records.len()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn start(&self, state: &str) -> Instance {
        Instance::start(&self.config(state), &self.folder.path().join(format!("{state}.log")))
    }

    /// Runs it to its end, which is expected to come soon.
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

/// A running processor. It is killed when the test ends.
pub(crate) struct Instance {
    child: Child,
    log: PathBuf,
}

impl Instance {
    fn start(config: &Path, log: &Path) -> Self {
        Self::start_with(config, log, &[])
    }

    /// The same with these environment variables.
    pub(crate) fn start_with(config: &Path, log: &Path, environment: &[(&str, &str)]) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(program())
            .arg("run")
            .arg("--config")
            .arg(config)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self {
            child,
            log: log.to_owned(),
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The most memory it ever had, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    pub(crate) fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the processor ended with {status}:\n{}", self.log());
        }
    }

    /// SIGKILL: what a crash is.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; how it ended, and after how long.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            assert!(began.elapsed() < PATIENCE, "SIGTERM does not end it:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_alerttrail")
}

/// A CloudAppEvents row with a correlation id.
pub(crate) fn activity(cid: &str, time: &str, note: &str) -> Vec<u8> {
    format!(
        r#"{{"Type":"CloudAppEvents","ActionType":"AlertTriggered","Note":"{note}","RawEventData":{{"CreationTime":"{time}","Data":"{{\"cid\":\"{cid}\"}}"}}}}"#
    )
    .into_bytes()
}

/// A SecurityAlert row.
pub(crate) fn alert(id: &str, cid: &str, start: &str, end: &str, generated: &str) -> Vec<u8> {
    format!(
        r#"{{"Type":"SecurityAlert","SystemAlertId":"{id}","AlertType":"{cid}","StartTime":"{start}","EndTime":"{end}","TimeGenerated":"{generated}"}}"#
    )
    .into_bytes()
}
