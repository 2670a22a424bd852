//! `alerttrail capacity` on the real broker: its result is exact, with and without kills, and its two files have the
//! required content.

use std::path::Path;
use std::process::Command;
use std::sync::RwLock;
use std::time::Duration;

use serde_json::Value;

use crate::support::{broker, program};

/// Lock for the broker's load: a test that asserts that a load was sustained holds it alone, because another load on
/// the same broker would change the result.
static LOAD: RwLock<()> = RwLock::new(());

/// Runs `capacity` with these options in its own folder. Returns its exit status, its messages and its figures.
fn capacity(folder: &Path, broker: &str, options: &[&str]) -> (Option<i32>, String, Value) {
    capacity_after(folder, broker, "0s", options)
}

/// Does the same after the broker has been warmed up for this long.
fn capacity_after(folder: &Path, broker: &str, warm_up: &str, options: &[&str]) -> (Option<i32>, String, Value) {
    let output = Command::new(program())
        .current_dir(folder)
        .args(["capacity", "--bootstrap-servers", broker, "--partitions", "3"])
        .args([
            "--policies",
            "10",
            "--alerts-per-second",
            "4",
            "--window",
            "1s",
            "--keyed-share",
            "20%",
        ])
        .args(["--warm-up", "2s", "--memory-limit", "4GB"])
        .args(["--broker-warm-up", warm_up])
        .args(options)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let figures = std::fs::read(folder.join("capacity.json")).unwrap_or_default();
    let figures = serde_json::from_slice(&figures).unwrap_or_else(|error| panic!("no figures ({error}):\n{printed}"));
    (output.status.code(), printed, figures)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Returns the names of all topics of capacity tests.
fn topics(broker: &str) -> Vec<String> {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker)
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(20)).unwrap();
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    names.filter(|name| name.starts_with("alerttrail-capacity-")).collect()
}

#[test]
fn a_constant_load_gives_an_exact_result_and_a_report() {
    let Some(broker) = broker() else { return };
    let _alone = LOAD.write();
    let folder = tempfile::tempdir().unwrap();
    let options = ["--shape", "constant", "--rate", "2000", "--hold", "8s", "--p99", "30s"];
    let (status, printed, figures) = capacity(folder.path(), &broker, &options);
    assert_eq!(figures["schema"], "alerttrail.capacity/1");
    let step = &figures["steps"][0];
    assert_eq!((status, &step["failures"]), (Some(0), &Value::Array(vec![])), "{printed}");
    let result = &figures["answer"];
    assert_eq!(result["exact"], true, "{printed}");
    // 2000/s for 10 s, a fifth of them keyed, 10 policies, windows of one second: 40 pairs for each of about 36 alerts.
    assert!(
        number(&result["alerts"]) >= 30.0 && number(&result["pairs"]) > 1_000.0,
        "{result}"
    );
    assert!(
        (number(&step["achieved"]) / 2_000.0 - 1.0).abs() < 0.1,
        "{}",
        step["achieved"]
    );
    for figure in [
        "sent_bytes",
        "log_bytes",
        "output_bytes",
        "state_bytes",
        "memory_peak",
        "cpu_seconds_per_million",
        "rows",
    ] {
        assert!(number(&step[figure]) > 0.0, "{figure} is {}", step[figure]);
    }
    for latency in ["close", "ingest"] {
        let latency = &step[latency];
        let at = |name: &str| number(&latency[name]);
        assert!(
            at("count") > 100.0 && at("p50") > 0.0 && at("p50") <= at("p99") && at("p99") <= at("max"),
            "{latency}"
        );
    }
    assert!(step["samples"].as_array().unwrap().len() > 20);
    let page = std::fs::read_to_string(folder.path().join("capacity.html")).unwrap();
    assert!(page.contains("Output exact") && page.contains("<svg"), "{page}");
}

#[test]
fn kills_under_load_cost_no_row() {
    let Some(broker) = broker() else { return };
    let _beside_others = LOAD.read();
    for (delivery, repeats) in [("at_least_once", true), ("exactly_once", false)] {
        let folder = tempfile::tempdir().unwrap();
        let options = [
            "--shape",
            "constant",
            "--rate",
            "1000",
            "--hold",
            "16s",
            "--kill-every",
            "4s",
            "--delivery",
            delivery,
            "--instances",
            "2",
            "--drain",
            "120s",
        ];
        let (status, printed, figures) = capacity(folder.path(), &broker, &options);
        let (result, step) = (&figures["answer"], &figures["steps"][0]);
        assert!(number(&step["kills"]) >= 2.0, "{delivery}: {step}");
        assert_eq!(
            (status, &result["exact"]),
            (Some(0), &Value::Bool(true)),
            "{delivery}: {result}\n{printed}"
        );
        assert!(repeats || result["repeated"] == 0, "{delivery}: {result}");
        assert!(number(&result["pairs"]) > 500.0, "{delivery}: {result}");
    }
}

#[test]
fn nothing_is_left_on_the_broker() {
    let Some(broker) = broker() else { return };
    let _beside_others = LOAD.read();
    let folder = tempfile::tempdir().unwrap();
    let options = ["--shape", "outage", "--rate", "500", "--hold", "16s", "--outage", "3s"];
    let (status, printed, figures) = capacity(folder.path(), &broker, &options);
    assert_eq!(status, Some(0), "{printed}");
    assert!(number(&figures["steps"][0]["catch_up"]) > 0.0, "{printed}");
    assert_eq!(figures["settings"]["broker"].as_str(), Some(broker.as_str()));
    // Other tests run capacity at the same time: the output names its own topics at the beginning.
    let begin = printed.find("alerttrail-capacity-").unwrap();
    let name: String = printed[begin..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let left: Vec<String> = topics(&broker).into_iter().filter(|topic| topic.starts_with(&name)).collect();
    assert!(
        name.len() > "alerttrail-capacity-".len() && left.is_empty(),
        "{name}: {left:?}"
    );
}

#[test]
fn two_tests_are_compared() {
    let Some(broker) = broker() else { return };
    let _beside_others = LOAD.read();
    let folder = tempfile::tempdir().unwrap();
    let options = ["--shape", "constant", "--rate", "500", "--hold", "5s", "--p99", "30s"];
    let (_, printed, figures) = capacity_after(folder.path(), &broker, "5s", &options);
    assert!(printed.contains("Warming up the broker for 5s"), "{printed}");
    assert_eq!(figures["steps"].as_array().unwrap().len(), 1, "the warm-up is not a step");
    let compare = || {
        let mut command = Command::new(program());
        command
            .current_dir(folder.path())
            .args(["capacity", "compare", "capacity.json", "capacity.json"]);
        command
    };
    let unread = compare().stdout(std::io::pipe().unwrap().1).output().unwrap();
    assert!(unread.status.success() && unread.stderr.is_empty(), "{unread:?}");
    let compared = compare().output().unwrap();
    let table = String::from_utf8_lossy(&compared.stdout).into_owned();
    assert!(compared.status.success(), "{compared:?}");
    assert!(
        table.contains("achieved rate") && table.contains("+0.0 %") && table.contains("within noise"),
        "{table}"
    );
}
