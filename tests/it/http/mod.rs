//! The API over a store that is open in this process, called over a socket.

mod links;

use std::sync::Arc;
use std::time::Duration;

use alerttrail::config::Config;
use alerttrail::emit::Links;
use alerttrail::join::{Joiner, Limit, Outbox};
use alerttrail::metrics::Metrics;
use alerttrail::pipeline::exposed::Exposed;
use alerttrail::record::{Activity, ActivityId, AlertId, Key, Version};
use alerttrail::repartition::{AlertVersion, RepartitionRecord, SourceWatermark, WatermarkUpdate};
use alerttrail::shutdown::Shutdown;
use alerttrail::store::{Backend as _, Shared, State};
use alerttrail::time::{EventTime, Widening, Window};
use serde_json::Value;

/// A server over one partition.
struct Api {
    store: Option<State>,
    offset: i64,
    address: String,
    agent: ureq::Agent,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

fn at(minutes: i64) -> EventTime {
    let midnight = EventTime::from_date(2026, 3, 1, 0).unwrap();
    EventTime::from_ticks(midnight.ticks() + minutes * 600_000_000)
}

fn key(correlation_id: &str) -> Key {
    Key {
        correlation_id: correlation_id.into(),
        ..Key::default()
    }
}

/// Returns a version of an alert with the key `p`.
fn version(id: &str, window: Window, generated: EventTime, row: &'static str) -> RepartitionRecord<'static> {
    let version = AlertVersion {
        id: AlertId {
            tenant: "".into(),
            system_alert_id: id.into(),
        },
        version: Version {
            time_generated: generated,
            hash: [7; 32],
        },
        links: Vec::new(),
        row: row.as_bytes().into(),
    };
    let deadline = window.to.plus(Duration::from_secs(3_600)).to_wall();
    RepartitionRecord::Alert(version.by_query("p".into(), window, deadline))
}

/// Returns an update with this watermark for the one source partition.
fn watermark_update(minutes: i64) -> RepartitionRecord<'static> {
    RepartitionRecord::WatermarkUpdate(WatermarkUpdate {
        wall: at(minutes + 5).to_wall(),
        clock: at(0),
        topics: vec![("a".into(), 1)],
        sources: vec![SourceWatermark {
            topic: "a".into(),
            partition: 0,
            position: 9,
            time: Some(at(minutes)),
            idle: false,
            rejected: 1,
        }],
        settings: [0; 32],
    })
}

impl Api {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = State::open(&folder.path().join("0"), &Shared::new(16 << 20)).unwrap();
        let exposed = Arc::new(Exposed::default());
        exposed.readers.add(0, &store);
        let listener = alerttrail::http::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!("repartition.partitions = 1\nhttp.listen = \"{address}\"\n{settings}");
        let config = Config::from_text("test", &text, std::iter::empty()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let metrics = Arc::new(Metrics::new(Links::new(&config.decode)).unwrap());
        let shutdown = Shutdown::default();
        let serving = alerttrail::http::serve(listener, &config, Arc::clone(&metrics), exposed, shutdown.clone());
        runtime.block_on(serving).unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
        Self {
            store: Some(store),
            offset: 0,
            address: address.to_string(),
            agent: agent.into(),
            metrics,
            shutdown,
            _folder: folder,
            _runtime: runtime,
        }
    }

    fn apply(&mut self, record: RepartitionRecord<'_>) {
        assert!(self.step(Some(record), Limit::default()));
    }

    /// Applies a record, or continues with the previous one, until the outbox is full. Returns whether the record is
    /// finished.
    fn step(&mut self, record: Option<RepartitionRecord<'_>>, limit: Limit) -> bool {
        let store = self.store.as_mut().unwrap();
        let mut joiner = Joiner::open(store, None).unwrap();
        let records = record.map(|record| (self.offset, record));
        self.offset += i64::from(records.is_some());
        let changes = joiner.apply(&*store, records, &mut Outbox::new(limit)).unwrap();
        store.write(changes).unwrap();
        !joiner.has_work()
    }

    fn fill(&mut self) {
        for (number, minutes) in [(1, 610), (2, 620), (3, 700)] {
            self.apply(RepartitionRecord::Activity(Activity {
                keys: vec![key("p")],
                time: at(minutes),
                id: ActivityId([number; 32]),
                row: format!(r#"{{"n":{number},"exact":1.50e1}}"#).into_bytes().into(),
            }));
        }
        for (id, from, to) in [("A /?#é", 600, 660), ("B", 900, 960)] {
            let window = Window::for_alert(at(from), at(to), Widening::default());
            let row = r#"{"AlertName":"Mail","AlertSeverity":"High"}"#;
            self.apply(version(id, window, at(to + 5), row));
        }
        self.apply(watermark_update(665));
    }

    /// Returns status and body.
    fn raw(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = self.agent.get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.raw(path, &[]);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Returns the status of a request that is refused, and asserts that the body explains why.
    fn refused(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let (status, body) = self.raw(path, headers);
        let problem: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}"));
        assert!(problem["error"].as_str().unwrap().len() > 10, "{body}");
        status
    }
}

#[test]
fn alerts_activities_and_explanations_are_returned() {
    let mut api = Api::new("");
    api.fill();
    let list = api.get("/api/v1/alerts");
    let ids: Vec<&str> = list["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["system_alert_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["B", "A /?#é"]);
    assert_eq!(list["unanswered_partitions"], serde_json::json!([]));
    assert_eq!(
        api.get("/api/v1/alerts?status=matched&limit=1")["alerts"][0]["activity_count"],
        2
    );
    let id = "A%20%2F%3F%23%C3%A9";
    let alert = api.get(&format!("/api/v1/alerts/{id}"));
    assert_eq!(
        (alert["status"].as_str(), alert["complete"].as_bool()),
        (Some("matched"), Some(true))
    );
    assert_eq!(alert["alert"]["AlertName"], "Mail");
    let (_, activities) = api.raw(&format!("/api/v1/alerts/{id}/activities?limit=1"), &[]);
    assert!(activities.contains(r#""activity":{"n":1,"exact":1.50e1}"#), "{activities}");
    let cursor = serde_json::from_str::<Value>(&activities).unwrap()["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let rest = api.get(&format!("/api/v1/alerts/{id}/activities?cursor={cursor}"));
    assert_eq!(
        (rest["activities"].as_array().unwrap().len(), &rest["next_cursor"]),
        (1, &Value::Null)
    );
    let why = api.get("/api/v1/alerts/B/explain");
    assert_eq!(why["findings"][0]["cause"], "waiting_for_watermark");
    assert_eq!(why["findings"][0]["details"]["topic"], "a");
    assert_eq!(api.get("/api/v1/alerts/none/explain")["status"], "unknown");
    let status = api.get("/api/v1/status");
    assert_eq!(
        (status["alerts"].as_u64(), status["open_alerts"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(status["sources"][0]["rejected"], 1);
    assert_eq!(status["watermark"], "2026-03-01T11:05:00.0000000Z");
    assert!(
        status["state_bytes"].as_u64() > Some(0),
        "state that is not on disk yet counts too: {status}"
    );
}

#[test]
fn an_alert_is_open_while_its_rows_are_emitted() {
    let mut api = Api::new("");
    for (number, minutes) in [(1, 910), (2, 920)] {
        api.apply(RepartitionRecord::Activity(Activity {
            keys: vec![key("p")],
            time: at(minutes),
            id: ActivityId([number; 32]),
            row: b"{}".as_slice().into(),
        }));
    }
    api.fill();
    let one = Limit { outputs: 1, bytes: 1 };
    let mut is_done = api.step(Some(watermark_update(960)), one);
    let mut seen = Vec::new();
    while !is_done {
        let alert = api.get("/api/v1/alerts/B");
        let (status, count) = (
            alert["status"].as_str().unwrap().to_owned(),
            alert["activity_count"].as_u64().unwrap(),
        );
        let listed = api.get(&format!("/api/v1/alerts?status={status}"));
        assert_eq!(listed["alerts"][0]["system_alert_id"], "B");
        let why = api.get("/api/v1/alerts/B/explain");
        let cause = why["findings"][0]["cause"].as_str().unwrap().to_owned();
        seen.push(format!("{status} {count} {cause}"));
        is_done = api.step(None, one);
    }
    seen.dedup();
    assert_eq!(seen, ["open 0 being_answered", "matched 2 answered"]);
}

#[test]
fn the_error_of_a_wrong_request_is_explained() {
    let api = Api::new("");
    for (path, status) in [
        ("/api/v1/alerts?colour=red", 400),
        ("/api/v1/alerts?limit=0", 400),
        ("/api/v1/alerts?limit=501", 400),
        ("/api/v1/alerts?limit=x", 400),
        ("/api/v1/alerts?limit=-1", 400),
        ("/api/v1/alerts?limit=99999999999999999999", 400),
        ("/api/v1/alerts?tenant_id=t", 400),
        ("/api/v1/alerts/none?tenant_id=t", 400),
        ("/api/v1/alerts/none/activities?tenant_id=t", 400),
        ("/api/v1/alerts/none/explain?tenant_id=t", 400),
        ("/api/v1/alerts?status=lost", 400),
        ("/api/v1/alerts?from=yesterday", 400),
        ("/api/v1/alerts?cursor=abc", 400),
        ("/api/v1/alerts?limit=1&limit=2", 400),
        ("/api/v1/status?x=1", 400),
        ("/api/v1/alerts/%ff", 400),
        ("/api/v1/alerts/none", 404),
        ("/api/v1/alerts/none/activities", 404),
        ("/api/v1/nothing", 404),
        ("/api/v1/", 404),
        ("/api/v2/alerts", 404),
        ("/nope", 404),
        ("/page/nope.js", 404),
    ] {
        assert_eq!(api.refused(path, &[]), status, "{path}");
    }
    let (_, body) = api.raw("/api/v1/alerts?limit=-1", &[]);
    assert!(body.contains("it must be a whole number from 1 to 500"), "{body}");
    let (_, body) = api.raw("/api/v1/alerts?colour=red", &[]);
    assert!(body.contains("colour") && !body.contains("deserialize"), "{body}");
    for path in ["/api/v1/alerts", "/metrics", "/", "/page/app.js"] {
        let mut posted = api
            .agent
            .post(format!("http://{}{path}", api.address))
            // The server closes a connection on which it has not read a body, which the next request would meet.
            .send_empty()
            .unwrap();
        let body = posted.body_mut().read_to_string().unwrap();
        let problem: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body:?}"));
        assert_eq!(
            (posted.status().as_u16(), problem["error"].is_string()),
            (405, true),
            "{path}"
        );
    }
    let (status, body) = api.raw(&format!("/api/v1/alerts/{}", "x".repeat(50_000)), &[]);
    assert!(status == 404 && body.len() < 300, "{status} {} bytes", body.len());
}

#[test]
fn a_token_is_required_and_foreign_hosts_and_origins_are_refused() {
    let api = Api::new("http.token = \"a-token-of-some-length\"");
    let token = ("authorization", "Bearer a-token-of-some-length");
    assert_eq!(api.refused("/api/v1/alerts", &[]), 401);
    assert_eq!(api.refused("/api/v1/openapi.json", &[("authorization", "Bearer other")]), 401);
    assert_eq!(api.raw("/api/v1/alerts", &[token]).0, 200);
    assert_eq!(api.refused("/api/v1/alerts", &[token, ("host", "evil.example")]), 403);
    assert_eq!(
        api.refused("/api/v1/alerts", &[token, ("origin", "http://evil.example")]),
        403
    );
    assert_eq!(api.raw("/livez", &[]).0, 200);
}

#[test]
fn it_is_ready_once_its_partitions_have_caught_up_until_it_stops() {
    let api = Api::new("");
    let ready = || api.raw("/readyz", &[]);
    assert_eq!(ready(), (503, "waiting for partitions\n".to_owned()));
    api.metrics.assigned(&[0, 1]);
    api.metrics.replaying(0, 3);
    api.metrics.replaying(1, 4);
    assert_eq!(ready(), (503, "replaying the repartition topic: 7 records left\n".to_owned()));
    api.metrics.replaying(0, 0);
    api.metrics.replaying(1, -1);
    assert_eq!(ready(), (200, "ready\n".to_owned()));
    api.metrics.assigned(&[]);
    assert_eq!(ready().0, 200, "another instance has them now");
    api.shutdown.request();
    assert_eq!(ready(), (503, "stopping\n".to_owned()));
}

#[test]
fn the_openapi_document_names_the_paths_that_are_served() {
    let api = Api::new("");
    let document = api.get("/api/v1/openapi.json");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths.len(), 7, "{paths:?}");
    for path in paths {
        let (status, body) = api.raw(&path.replace("{id}", "none"), &[]);
        assert!(
            status == 200 || (status == 404 && body.contains("no alert with the id")),
            "{path}: {status} {body}"
        );
    }
}

#[test]
fn a_store_that_was_read_can_be_opened_again_once_it_is_closed() {
    let mut api = Api::new("");
    api.fill();
    assert_eq!(api.get("/api/v1/alerts")["alerts"].as_array().unwrap().len(), 2);
    drop(api.store.take());
    let after = api.get("/api/v1/alerts");
    assert_eq!(after["alerts"], serde_json::json!([]));
    assert_eq!(after["unanswered_partitions"], serde_json::json!([0]));
    let path = api._folder.path().join("0");
    State::open(&path, &Shared::new(16 << 20)).unwrap();
}

/// Runs `alerttrail query` with these variables and no others of the project. Returns status, standard output and
/// standard error.
fn query(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_alerttrail"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ALERTTRAIL_")) {
        command.env_remove(name);
    }
    let output = command
        .arg("query")
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn query_finds_the_processor_by_option_file_and_variable() {
    const TOKEN: &str = "a-token-of-some-length";
    let api = Api::new(&format!("http.token = \"{TOKEN}\""));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, listen: &str| {
        let path = folder.path().join(name);
        // Settings that only the processor can read do not matter here.
        let text =
            format!("http.listen = \"{listen}\"\nhttp.token = \"{TOKEN}\"\nkafka.connection_string = \"${{NOT_SET_HERE}}\"\n");
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let (right, wrong) = (file("right.toml", &api.address), file("wrong.toml", "127.0.0.1:1"));
    let url = format!("http://{}", api.address);
    let nowhere = "http://127.0.0.1:1";
    let status = |options: &[&str], variables: &[(&str, &str)]| {
        let (status, _, stderr) = query(&[&["status", "--json"], options].concat(), variables);
        assert!(
            status == 0 || stderr.contains("127.0.0.1:1:") || stderr.contains("requires a token"),
            "{stderr}"
        );
        status
    };
    let (server, token) = ("ALERTTRAIL_SERVER", ("ALERTTRAIL_TOKEN", TOKEN));
    assert_eq!(status(&["--config", &right], &[(server, nowhere)]), 0);
    assert_eq!(status(&["--config", &wrong, "--server", &url], &[]), 0);
    assert_eq!(status(&["--config", &right, "--server", nowhere], &[]), 1);
    assert_eq!(status(&[], &[(server, &url), token]), 0);
    assert_eq!(status(&[], &[(server, &url)]), 1, "without the token");
    assert_eq!(status(&["--server", &url], &[(server, nowhere), token]), 0);
    assert_eq!(status(&[], &[("ALERTTRAIL_HTTP__LISTEN", &api.address), token]), 0);
    assert_eq!(status(&["--config", &wrong], &[("ALERTTRAIL_HTTP__LISTEN", &api.address)]), 0);
    let (status, _, stderr) = query(&["status", "--config", "no-such-file.toml"], &[]);
    assert!(status == 2 && stderr.contains("no-such-file.toml"), "{status} {stderr}");
}

#[test]
fn query_reports_wrong_arguments() {
    let mut api = Api::new("");
    api.fill();
    let url = format!("http://{}", api.address);
    let long = "x".repeat(100_000);
    for (arguments, part) in [
        (&["alerts", "--tenant", "t"] as &[&str], "no [tenants]"),
        (&["alert", "B", "--tenant", "t"], "no [tenants]"),
        (&["explain", "B", "--tenant", "t"], "no [tenants]"),
        (
            &["alerts", "--from", "2026-03-01"],
            "from is \"2026-03-01\"; it must be a time",
        ),
        (&["alerts", "--limit", "0"], "--limit"),
        (&["explain", &long], "too long for a request"),
    ] {
        let (status, out, stderr) = query(&[&["--server", &url], arguments].concat(), &[]);
        assert_eq!((status, out.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(part) && stderr.len() < 500, "{stderr:.500}");
    }
}

#[test]
fn query_cuts_long_texts_in_tables_and_not_in_json() {
    let mut api = Api::new("");
    let id = "x".repeat(100_000);
    let window = Window::for_alert(at(600), at(660), Widening::default());
    api.apply(version(&id, window, at(665), "{}"));
    let url = format!("http://{}", api.address);
    let (_, table, _) = query(&["alerts", "--server", &url], &[]);
    assert!(table.contains(&format!("{}…", "x".repeat(64))), "{table:.500}");
    assert!(table.lines().all(|line| line.len() < 250), "{table:.500}");
    let (_, json, _) = query(&["alerts", "--server", &url, "--json"], &[]);
    assert!(json.contains(&id));
}
