//! How the settings of topics, and changes to them, affect the processor.

use alerttrail::config::Config;
use alerttrail::kafka::clients::{self, Logged};
use alerttrail::kafka::digest::record_digest;
use alerttrail::kafka::topics::Topics;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::{Instance, World, activity, alert};

#[test]
fn the_size_limit_is_the_lowest_of_all_topics() {
    let Some(world) = World::new("limit") else { return };
    let limit = |config: &std::path::Path| {
        let config = Config::load(Some(config), std::iter::empty()).unwrap();
        Topics::new(&config).unwrap().message_limit()
    };
    let config = world.config("a");
    assert_eq!(limit(&config), 1_000_000, "the producer's limit is below that of the topics");
    for role in ["rows", "summaries", "dead"] {
        let small = world.topic(&format!("small-{role}"));
        let bytes = 20_000 + role.len();
        world.create_topic(&small, 1, &[("max.message.bytes", &bytes.to_string())]);
        let text = std::fs::read_to_string(world.config("a")).unwrap();
        std::fs::write(&config, text.replace(&world.topic(role), &small)).unwrap();
        assert_eq!(limit(&config), bytes, "{role}");
    }
    let repartition = format!("{}-correlation-repartition", world.name);
    world.create_topic(&repartition, 3, &[("max.message.bytes", "30000")]);
    assert_eq!(limit(&world.config("a")), 30_000, "the repartition topic counts too");
}

#[test]
fn the_producers_limit_applies_if_no_topic_can_be_described() {
    let Some(world) = World::new("no-limit") else { return };
    let text = std::fs::read_to_string(world.config("a")).unwrap();
    let config = world.folder.path().join("none.toml");
    let small = "[kafka.properties]\n\"message.max.bytes\" = \"300000\"\n[input]";
    std::fs::write(&config, text.replace(&world.topic(""), "no-such-").replace("[input]", small)).unwrap();
    let config = Config::load(Some(&config), std::iter::empty()).unwrap();
    assert_eq!(Topics::new(&config).unwrap().message_limit(), 300_000);
}

#[test]
fn many_idle_partitions_do_not_delay_rows_for_long() {
    let Some(mut world) = World::new("many") else { return };
    let many = world.topic("many");
    world.create_topic(&many, 128, &[]);
    let path = world.config("a");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&world.topic("activities"), &many)).unwrap();
    // Records are read all the time, so a metadata request has to wait for a fetch.
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    world.send("many", 128, [activity("p", "2026-03-01T10:00:00Z", "one").as_slice()]);
    world.send(
        "alerts",
        1,
        [alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z").as_slice()],
    );
    let mut instance = Instance::start_with(&path, &world.folder.path().join("a.log"), &[]);
    instance.wait_for_log("joining");
    let began = std::time::Instant::now();
    world.wait_for_records("rows", 1, &mut instance);
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn partitions_added_to_an_input_topic_are_read_from_their_beginning() {
    let Some(mut world) = World::new("added") else { return };
    // Starting at the end applies to partitions that exist at the first start.
    world.more.insert("input", "start = \"latest\"".to_owned());
    let mut instance = world.start("a");
    instance.wait_for_log("reading");
    std::thread::sleep(std::time::Duration::from_secs(4));
    let topic = world.topic("activities");
    world.add_partitions(&topic, 6);
    let sent = activity("p", "2026-03-01T10:00:00Z", "added");
    world.send_all_to("activities", 5, &[sent]);
    assert_eq!(world.range(&topic, 5), (0, 1), "it is sent before the partition is read");
    assert_eq!(world.committed(&topic, 5), None, "nobody reads it yet");
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    let alert = alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z");
    world.send("alerts", 1, [alert.as_slice()]);
    let began = std::time::Instant::now();
    let rows = world.wait_for_records("rows", 1, &mut instance);
    assert!(began.elapsed() < std::time::Duration::from_secs(50), "{:?}", began.elapsed());
    assert_eq!(rows[0].json()["activity"]["Note"], "added");
}

#[test]
fn a_topic_added_to_the_configuration_is_read_after_a_restart() {
    let Some(mut world) = World::new("topic-added") else { return };
    let added = world.topic("added");
    world.create_topic(&added, 2, &[]);
    let mut instance = world.start("a");
    instance.wait_for_log("reading");
    assert_eq!(instance.terminate().0.code(), Some(0));

    let path = world.config("a");
    let before = std::fs::read_to_string(&path).unwrap();
    let topics = format!("{}-alerts\"", world.name);
    std::fs::write(&path, before.replace(&topics, &format!("{topics}, \"{added}\""))).unwrap();
    // Starts within the session of its former membership.
    let mut instance = Instance::start_with(&path, &world.folder.path().join("again.log"), &[]);
    instance.wait_for_log(&format!("reading topic=\"{added}\""));
    world.send("added", 2, [activity("p", "2026-03-01T10:00:00Z", "added").as_slice()]);
    let alert = alert(
        "A1",
        "p",
        "2026-03-01T09:00:00Z",
        "2026-03-01T11:00:00Z",
        "2026-03-01T11:05:00Z",
    );
    world.send("alerts", 1, [alert.as_slice()]);
    let rows = world.wait_for_records("rows", 1, &mut instance);
    assert_eq!(rows[0].json()["activity"]["Note"], "added");
}

#[test]
fn partitions_added_to_the_repartition_topic_stop_it() {
    let Some(mut world) = World::new("log-grows") else { return };
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "one").as_slice()]);
    let mut instance = world.start("a");
    instance.wait_for_log("joining");
    world.add_partitions(&world.repartition_topic(), 4);
    let (status, log) = instance.wait_for_end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("has 4 partitions and repartition.partitions is 3"), "{log}");
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        printed.contains("has 4 partitions") && printed.contains("alerttrail reset"),
        "{printed}"
    );
}

#[test]
fn a_record_digest_is_stable_and_differs_in_a_recreated_topic() {
    let Some(mut world) = World::new("digest") else { return };
    let config = Config::load(Some(&world.config("a")), std::iter::empty()).unwrap();
    let topic = world.topic("activities");
    let at = |offset| {
        let consumer: BaseConsumer<Logged> = clients::consumer(&config, "settings", None, Logged).unwrap();
        record_digest(&consumer, &topic, 0, offset, std::time::Duration::from_secs(20)).unwrap()
    };
    let one = activity("p", "2026-03-01T10:00:00Z", "one");
    world.send_all_to("activities", 0, &[one.clone(), one.clone()]);
    let known = at(1).unwrap();
    assert_eq!(at(1), Some(known), "the digest does not change");
    assert_ne!(at(0), Some(known), "the same bytes at another offset are another record");
    assert_eq!(at(2), None, "the partition ends before this offset");

    world.delete_topic(&topic);
    world.create_topic(&topic, 4, &[]);
    world.send_all_to("activities", 0, &[one.clone(), one]);
    assert_eq!(world.range(&topic, 0), (0, 2), "the same bytes are at the same offsets");
    assert!(at(1).is_some_and(|found| found != known), "it is another topic");
    world.remove_records(&topic, 0);
    assert_eq!(at(1), None, "retention has removed it");
}

/// The number of failed deliveries.
#[derive(Default)]
struct Failures(std::sync::atomic::AtomicUsize);

impl rdkafka::ClientContext for Failures {}

impl rdkafka::producer::ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::message::DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// The broker compares a batch with the limit of the topic, and the client does not know that limit.
#[test]
fn a_producer_keeps_the_size_limit_if_its_batches_do() {
    let Some(world) = World::new("batches") else { return };
    let topic = world.topic("small");
    world.create_topic(&topic, 1, &[("max.message.bytes", "20000")]);
    let value = vec![b'x'; 1_000];
    let failures = |batch_size: &str| {
        let mut config = world.client();
        config.set("linger.ms", "200").set("batch.size", batch_size);
        let producer: BaseProducer<Failures> = config.create_with_context(Failures::default()).unwrap();
        for _ in 0..100 {
            let record = BaseRecord::<(), [u8]>::to(&topic).payload(value.as_slice());
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(crate::support::TIMEOUT).unwrap();
        producer.context().0.load(std::sync::atomic::Ordering::Relaxed)
    };
    assert_eq!(failures("1000000"), 100, "each is small enough, the batch is not");
    assert_eq!(failures("20000"), 0);
}

#[test]
fn partitions_added_to_the_output_topic_cause_a_warning_while_it_runs_and_at_the_next_start() {
    let Some(world) = World::new("output-grows") else { return };
    let rows = world.topic("rows");
    let warning = |before: usize, now: usize| format!("topic=\"{rows}\" before={before} partitions={now}");
    let start = |log: &str| Instance::start_with(&world.config("a"), &world.folder.path().join(log), &[]);
    let mut instance = start("first.log");
    instance.wait_for_log("joining");
    world.add_partitions(&rows, 5);
    instance.wait_for_log(&warning(3, 5));
    assert_eq!(instance.terminate().0.code(), Some(0));

    world.add_partitions(&rows, 6);
    let mut instance = start("second.log");
    instance.wait_for_log(&warning(5, 6));
    assert!(!instance.log().contains("before=3"), "a change is reported once");
    assert_eq!(instance.terminate().0.code(), Some(0));

    let mut instance = start("third.log");
    instance.wait_for_log("joining");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(!instance.log().contains("number of partitions"), "{}", instance.log());
}

#[test]
fn all_topics_are_created_even_if_nobody_reads_the_output() {
    let Some(world) = World::new("create-closed") else { return };
    let text = std::fs::read_to_string(world.config("a")).unwrap();
    let roles = ["activities", "alerts", "rows", "summaries", "dead"];
    for end in ["closed", "full"] {
        let mut new = text.clone();
        for role in roles {
            new = new.replace(&world.topic(role), &world.topic(&format!("{end}-{role}")));
        }
        let config = world.folder.path().join(format!("{end}.toml"));
        std::fs::write(&config, new).unwrap();
        let (status, stdout): (i32, std::process::Stdio) = match end {
            "closed" => (0, std::io::pipe().unwrap().1.into()),
            _ => (1, std::fs::File::options().write(true).open("/dev/full").unwrap().into()),
        };
        let mut command = std::process::Command::new(crate::support::program());
        command.args(["topics", "create", "--with-inputs", "--config"]).arg(&config);
        let output = command.stdout(stdout).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{end}: {printed}");
        assert_eq!(printed.contains("No space left on device"), end == "full", "{printed}");
        for role in roles {
            assert_eq!(world.partitions(&world.topic(&format!("{end}-{role}"))), 4, "{end}: {role}");
        }
    }
}
