//! `topics create`, and the checks of topics and their records before anything runs.

use std::path::Path;
use std::process::{Command, Output};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::{TIMEOUT, World, activity, alert, program};

fn alerttrail(arguments: &[&str], config: &Path) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).arg("--config").arg(config).output().unwrap()
}

fn check(config: &Path) -> (Option<i32>, String) {
    let output = alerttrail(&["check"], config);
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

fn assert_contains(printed: &str, parts: &[&str]) {
    for part in parts {
        assert!(printed.contains(part), "{part:?} is missing:\n{printed}");
    }
}

const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

#[test]
fn created_topics_pass_the_checks() {
    let Some(world) = World::new("made") else { return };
    let path = world.config("a");
    let text = std::fs::read_to_string(&path).unwrap();
    // The configuration names topics that do not exist.
    std::fs::write(&path, text.replace(&world.topic(""), &world.topic("new-"))).unwrap();
    let (status, printed) = check(&path);
    assert_eq!(status, Some(1));
    assert_contains(
        &printed,
        &["(output) does not exist", "topics create --with-inputs", "5 checks failed"],
    );
    let create = |more: &[&str]| {
        let output = alerttrail(&[&["topics", "create"], more].concat(), &path);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_contains(&create(&["--dry-run"]), &["(output) would be created, with 4 partitions"]);
    assert_eq!(world.partitions(&world.topic("new-rows")), 0, "nothing was created");
    assert_contains(
        &create(&["--partitions", "2", "--replication", "1"]),
        &[
            "(output) was created, with 2 partitions",
            "--with-inputs creates it too",
            "(repartition) was created, with 3",
        ],
    );
    assert_contains(
        &create(&["--with-inputs"]),
        &["(input) was created", "(output) exists, with 2 partitions"],
    );
    let (status, printed) = check(&path);
    assert_eq!(status, Some(0), "{printed}");
    assert_contains(
        &printed,
        &["connected to ", "is empty", "may be used; it has no members", "It will work."],
    );
    let refused = alerttrail(&["topics", "create", "--replication", "9"], &path);
    assert!(refused.status.success(), "all of them exist");
}

#[test]
fn a_topic_that_the_broker_refuses_to_create_is_reported() {
    let Some(world) = World::new("refused") else { return };
    let path = world.config("a");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&world.topic("rows"), &world.topic("none"))).unwrap();
    let output = alerttrail(&["topics", "create", "--replication", "9"], &path);
    assert_eq!(output.status.code(), Some(1));
    assert_contains(
        &String::from_utf8_lossy(&output.stderr),
        &[
            "the broker did not create",
            &world.topic("none"),
            "as many brokers as --replication requires",
        ],
    );
}

/// Allows only the named principal to perform this operation on a topic.
fn allow(world: &World, role: &str, principal: &str, operation: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/broker");
    let acls = ["tool", "AclCommand", "--bootstrap-server", &world.broker, "--add"];
    let principal = format!("User:{principal}");
    let allowed = ["--allow-principal", &principal, "--operation", operation];
    let topic = world.topic(role);
    let output = Command::new(script)
        .args(acls)
        .args(allowed)
        .args(["--topic", &topic])
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn missing_permissions_are_found_and_the_check_leaves_no_records() {
    let Some(mut world) = World::new("rights") else { return };
    world.set("output", "delivery = \"exactly_once\"");
    let config = world.config("a");
    let (status, printed) = check(&config);
    assert_eq!(status, Some(0), "{printed}");
    let all = ["dead", "summaries", "rows"].map(|role| world.topic(role)).join(", ");
    assert_contains(&printed, &[&format!("{all} may be written to"), "transactions may be used"]);
    for role in ["dead", "summaries", "rows"] {
        assert_eq!(world.read(role).len(), 0, "{role}");
    }
    allow(&world, "rows", "ANONYMOUS", "Describe");
    allow(&world, "summaries", "somebody-else", "Write");
    let hidden = format!("does not let this principal describe the topic {}", world.topic("summaries"));
    let (status, printed) = check(&config);
    assert_eq!(status, Some(1), "{printed}");
    assert_contains(
        &printed,
        &[
            &format!("no permission to write to {}; grant Write", world.topic("rows")),
            &hidden,
            "2 checks failed",
        ],
    );
    let output = alerttrail(&["run"], &config);
    assert_eq!(output.status.code(), Some(1));
    assert_contains(&String::from_utf8_lossy(&output.stderr), &[&hidden, "docs/operations.md"]);
}

#[test]
fn unsuitable_topics_are_found() {
    let Some(world) = World::new("unfit") else { return };
    let path = world.config("a");
    let text = std::fs::read_to_string(&path).unwrap();
    let compacted = world.topic("compacted");
    world.create_topic(&compacted, 1, &[("cleanup.policy", "compact")]);
    world.create_topic(&world.repartition_topic(), 5, &[("retention.ms", "60000")]);
    std::fs::write(&path, text.replace(&world.topic("rows"), &compacted)).unwrap();
    let (status, printed) = check(&path);
    assert_eq!(status, Some(1));
    assert_contains(
        &printed,
        &[
            "has cleanup.policy=compact",
            "has 5 partitions and repartition.partitions is 3",
            "keeps its records for 1m",
            "2 checks failed",
        ],
    );
}

#[test]
fn records_that_do_not_fit_the_settings_are_found() {
    let Some(mut world) = World::new("unfit-records") else {
        return;
    };
    let activities: Vec<_> = (0..40).map(|_| activity("ab-cd", "2026-03-01T10:00:00Z", "one")).collect();
    world.send("activities", 4, activities.iter().map(Vec::as_slice));
    world.send("activities", 4, [b"{broken".as_slice()]);
    let alerts: Vec<_> = (0..20)
        .map(|number| alert(&format!("A{number}"), "AB-CD", WINDOW.0, WINDOW.0, WINDOW.1))
        .collect();
    world.send("alerts", 1, alerts.iter().map(Vec::as_slice));
    let (status, printed) = check(&world.config("a"));
    assert_eq!(status, Some(0), "{printed}");
    assert_contains(
        &printed,
        &[
            "40 activities",
            "invalid_json 1",
            "100 % of 40 activities have a correlation id at RawEventData.Data.cid",
            "correlation.ignore_case = true",
            "20 of 20 alert versions have EndTime <= StartTime",
            "It will work, with 3 warnings.",
        ],
    );
    let output = alerttrail(&["check", "--json", "--sample", "8"], &world.config("a"));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["ok"], &document["broker_asked"]), (&true.into(), &true.into()));
    let findings = document["findings"].as_array().unwrap();
    let is_about_sample = |finding: &&serde_json::Value| finding["text"].as_str().unwrap().contains("the newest 8 messages");
    assert!(findings.iter().any(|finding| is_about_sample(&finding)), "{document:#}");
}

#[test]
fn an_unreachable_broker_is_one_error() {
    let Some(world) = World::new("nowhere") else { return };
    let path = world.config("a");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&world.served, "127.0.0.1:1")).unwrap();
    let (status, printed) = check(&path);
    assert_eq!(status, Some(1));
    assert_contains(&printed, &[" from 127.0.0.1:1: ", "one check failed"]);
}

#[test]
fn everything_that_prevents_creating_clients_is_reported_without_a_broker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let offline = |text: &str, command: &str| {
        std::fs::write(&path, format!("[http]\nlisten = \"\"\n{text}")).unwrap();
        let arguments: &[&str] = if command == "check" {
            &["check", "--offline"]
        } else {
            &["run"]
        };
        let output = alerttrail(arguments, &path);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for command in ["check", "run"] {
        let wrong = "[kafka.properties]\n\"foo.bar\" = 1\n\"session.timeout\" = 1\n\"session.timeout.ms\" = \"abc\"\n\"check.crcs\" = \"maybe\"";
        let (status, printed) = offline(wrong, command);
        assert_eq!(status, Some(2), "{command}: {printed}");
        assert_contains(
            &printed,
            &[
                "the configuration has 4 errors:",
                "kafka.properties.foo.bar: is not a property of librdkafka; leave it out",
                "kafka.properties.session.timeout: is not a property of librdkafka; the nearest is session.timeout.ms",
                "kafka.properties.session.timeout.ms: \"abc\" is not a valid value",
                "kafka.properties.check.crcs: \"maybe\" is neither true nor false; use true or false",
            ],
        );
        let together = "[kafka.properties]\n\"fetch.max.bytes\" = 1000\n\"retries\" = 0";
        let (status, printed) = offline(together, command);
        assert_eq!(status, Some(2), "{command}: {printed}");
        assert_contains(
            &printed,
            &["kafka.properties.fetch.max.bytes: ", "kafka.properties.retries: "],
        );
        let without_login = "[kafka]\npreset = \"event-hubs\"\nbootstrap_servers = \"127.0.0.1:1\"";
        let (status, printed) = offline(without_login, command);
        assert_eq!(status, Some(2), "{command}: {printed}");
        assert_contains(&printed, &["kafka.connection_string: is missing", "\"sasl.mechanism\""]);
        assert!(!printed.contains("compile"), "{printed}");
    }
    for size in [17_000_000, 33_000_000] {
        let (status, printed) = offline(&format!("[kafka.properties]\n\"message.max.bytes\" = {size}"), "check");
        assert_eq!(status, Some(0), "{printed}");
    }
}

#[test]
fn messages_larger_than_a_fetch_can_be_configured() {
    let Some(mut world) = World::new("large-messages") else {
        return;
    };
    world.set("kafka.properties", "\"message.max.bytes\" = 17000000");
    let config = world.config("a");
    let (status, printed) = check(&config);
    assert_eq!(status, Some(0), "{printed}");
    let mut instance = world.start("a");
    instance.wait_for_log("joining");
    assert_eq!(instance.terminate().0.code(), Some(0));
}

/// Sends activities whose Kafka records have this timestamp.
fn send_stamped(world: &World, timestamp: i64, messages: &[Vec<u8>]) {
    let producer: BaseProducer = world.client().create().unwrap();
    let topic = world.topic("activities");
    for message in messages {
        let record = BaseRecord::<(), [u8]>::to(&topic).payload(message).timestamp(timestamp);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

#[test]
fn harmful_timestamps_ends_and_keys_are_found() {
    let Some(mut world) = World::new("harm") else { return };
    let activity_at_minute = |number: u32| activity("None", &format!("2026-03-01T10:{number:02}:00Z"), "one");
    let activities: Vec<_> = (0..20).map(activity_at_minute).collect();
    // The timestamp is the start of the previous hour.
    send_stamped(&world, 1_772_355_600_000, &activities);
    let end = "2099-03-01T11:00:00Z";
    world.send("alerts", 1, [alert("A1", "None", WINDOW.0, end, WINDOW.1).as_slice()]);
    let harm = [
        "20 of 20 activities of ",
        "message.timestamp.type=LogAppendTime",
        "1 alert version has an EndTime more than a day",
    ];
    let (status, printed) = check(&world.config("a"));
    assert_eq!(status, Some(0), "{printed}");
    assert_contains(&printed, &harm);
    assert_contains(&printed, &["a placeholder word as key"]);
    let mut instance = world.start("a");
    for part in harm {
        instance.wait_for_log(part);
    }
    instance.wait_for_log("a placeholder such as None");
    assert_eq!(
        instance.log().matches("a placeholder such as None").count(),
        1,
        "it is reported once"
    );
    assert_eq!(instance.terminate().0.code(), Some(0));
}
