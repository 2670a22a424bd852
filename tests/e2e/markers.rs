//! Input that is written in transactions: a partition ends in markers, which are offsets without records.

use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::secure::config;
use crate::support::world::Counted;
use crate::support::{Instance, TIMEOUT, World, activity, alert, program};

/// How a transaction ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Committed,
    Aborted,
}

/// Sends one activity to partition 0 in each of these transactions.
fn transactions(world: &World, all: &[Ends]) {
    let mut client = world.client();
    let producer: BaseProducer = client.set("transactional.id", &world.name).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    let topic = world.topic("activities");
    for (number, ends) in all.iter().enumerate() {
        producer.begin_transaction().unwrap();
        let row = activity("p", "2026-03-01T10:00:00Z", &format!("transaction {number}"));
        let record = BaseRecord::<(), [u8]>::to(&topic).partition(0).payload(&row);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        match ends {
            Ends::Committed => producer.commit_transaction(TIMEOUT).unwrap(),
            Ends::Aborted => {
                producer.flush(TIMEOUT).unwrap();
                producer.abort_transaction(TIMEOUT).unwrap();
            }
        }
    }
}

/// Returns the sources that `query status` reports.
fn sources(instance: &Instance) -> serde_json::Value {
    let log = instance.log();
    let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let server = format!("http://{address}");
    let mut command = Command::new(program());
    let output = command
        .args(["query", "status", "--json", "--server", &server])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["sources"].clone()
}

#[test]
fn a_partition_that_ends_in_markers_is_read_to_its_end() {
    let Some(world) = World::new("markers") else { return };
    let topic = world.topic("activities");
    transactions(&world, &[Ends::Committed, Ends::Aborted, Ends::Committed, Ends::Aborted]);
    assert_eq!(world.range(&topic, 0), (0, 8), "each transaction is a record and a marker");
    // The window stays open while the partition holds the watermark back: one hour, by max_wait.
    let (start, end) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    let row = alert("A1", "p", start, end, "2026-03-01T11:05:00Z");
    world.send_to("alerts", 0, Counted::Yes, [row.as_slice()]);
    let kafka = format!("bootstrap_servers = \"{}\"", world.broker);
    let config = config(&world, "a", &kafka, "listen = \"127.0.0.1:0\"");
    let mut instance = Instance::start_with(&config, &world.folder.path().join("a.log"), &[]);
    let rows = world.wait_for_records("rows", 2, &mut instance);
    let notes: Vec<_> = rows.iter().map(|row| row.json()["activity"]["Note"].clone()).collect();
    assert_eq!(notes, ["transaction 0", "transaction 2"]);

    let began = Instant::now();
    let lags = |sources: &serde_json::Value| -> Vec<_> {
        let all = sources.as_array().unwrap().iter();
        all.map(|source| (source["position"].clone(), source["lag"].clone()))
            .collect()
    };
    let mut seen = sources(&instance);
    while !lags(&seen).contains(&(8.into(), 0.into())) || lags(&seen).iter().any(|(_, lag)| *lag != 0) {
        assert!(began.elapsed() < TIMEOUT, "{seen}");
        std::thread::sleep(Duration::from_millis(200));
        seen = sources(&instance);
    }
    assert_eq!(instance.terminate().0.code(), Some(0));
    assert_eq!(world.committed(&topic, 0), Some(8), "markers are not read again");

    // Starts after all records and before the last markers.
    world.delete_group(&format!("{}-route", world.name));
    world.commit_with_metadata(&topic, 0, &(7, String::new()));
    let mut instance = Instance::start_with(&config, &world.folder.path().join("again.log"), &[]);
    while world.committed(&topic, 0) != Some(8) {
        instance.assert_runs();
        assert!(began.elapsed() < 2 * TIMEOUT, "{}", instance.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}
