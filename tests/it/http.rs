//! The API over a store that is open in this process, asked over a socket.
#![cfg(all(feature = "http", feature = "rocksdb"))]

use std::sync::Arc;

use alerttrail::config::Config;
use alerttrail::join::{Joiner, Outbox};
use alerttrail::log::{LogRecord, Mark, Marks};
use alerttrail::metrics::Metrics;
use alerttrail::pipeline::exposed::Exposed;
use alerttrail::record::{Activity, ActivityId, Alert, AlertId, Key, Version};
use alerttrail::shutdown::Shutdown;
use alerttrail::store::{Base as _, Rocks, Shared, Txn};
use alerttrail::time::{EventTime, Widening, Window};
use serde_json::Value;

/// A server over one partition.
struct World {
    store: Option<Rocks>,
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
        tenant: "".into(),
        correlation_id: correlation_id.into(),
    }
}

impl World {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Rocks::open(&folder.path().join("0"), &Shared::new(16 << 20)).unwrap();
        let exposed = Arc::new(Exposed::default());
        exposed.readers.add(0, &store);
        let listener = alerttrail::http::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!("repartition.partitions = 1\nhttp.listen = \"{address}\"\n{settings}");
        let config = Config::of_text("test", &text, std::iter::empty()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
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

    fn apply(&mut self, record: LogRecord<'_>) {
        let store = self.store.as_mut().unwrap();
        let mut joiner = Joiner::open(store, None).unwrap();
        let mut txn = Txn::new(&*store);
        joiner.begin(self.offset, record, &mut txn).unwrap();
        self.offset += 1;
        assert!(joiner.step(&mut txn, &mut Outbox::default()).unwrap());
        joiner.save(&mut txn).unwrap();
        let batch = txn.into_batch();
        store.write(batch).unwrap();
    }

    fn fill(&mut self) {
        for (number, minutes) in [(1, 610), (2, 620), (3, 700)] {
            self.apply(LogRecord::Activity(Activity {
                key: key("p"),
                time: at(minutes),
                id: ActivityId([number; 32]),
                row: format!(r#"{{"n":{number},"exact":1.50e1}}"#).into_bytes().into(),
            }));
        }
        for (id, from, to) in [("A /?#é", 600, 660), ("B", 900, 960)] {
            self.apply(LogRecord::Alert {
                alert: Alert {
                    id: AlertId {
                        tenant: "".into(),
                        system_alert_id: id.into(),
                    },
                    version: Version {
                        time_generated: at(to + 5),
                        hash: [7; 32],
                    },
                    key: key("p"),
                    window: Window::of_alert(at(from), at(to), Widening::default()),
                    row: r#"{"AlertName":"Mail","AlertSeverity":"High"}"#.as_bytes().into(),
                },
                deadline: at(to + 60).to_wall(),
            });
        }
        self.apply(LogRecord::Marks(Marks {
            wall: at(670).to_wall(),
            clock: at(0),
            topics: vec![("a".into(), 1)],
            sources: vec![Mark {
                topic: "a".into(),
                partition: 0,
                position: 9,
                time: Some(at(665)),
                idle: false,
                rejected: 1,
            }],
            settings: [0; 32],
        }));
    }

    /// Status and body.
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

    /// The status of a request that has no answer, which says so in a sentence.
    fn refused(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let (status, body) = self.raw(path, headers);
        let problem: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}"));
        assert!(problem["error"].as_str().unwrap().len() > 10, "{body}");
        status
    }
}

#[test]
fn alerts_their_activities_and_why_are_told() {
    let mut world = World::new("");
    world.fill();
    let list = world.get("/api/v1/alerts");
    let ids: Vec<&str> = list["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["system_alert_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["B", "A /?#é"]);
    assert_eq!(list["unanswered_partitions"], serde_json::json!([]));
    assert_eq!(
        world.get("/api/v1/alerts?status=matched&limit=1")["alerts"][0]["activity_count"],
        2
    );
    let id = "A%20%2F%3F%23%C3%A9";
    let alert = world.get(&format!("/api/v1/alerts/{id}"));
    assert_eq!(
        (alert["status"].as_str(), alert["complete"].as_bool()),
        (Some("matched"), Some(true))
    );
    assert_eq!(alert["alert"]["AlertName"], "Mail");
    let (_, activities) = world.raw(&format!("/api/v1/alerts/{id}/activities?limit=1"), &[]);
    assert!(activities.contains(r#""activity":{"n":1,"exact":1.50e1}"#), "{activities}");
    let cursor = serde_json::from_str::<Value>(&activities).unwrap()["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let rest = world.get(&format!("/api/v1/alerts/{id}/activities?cursor={cursor}"));
    assert_eq!(
        (rest["activities"].as_array().unwrap().len(), &rest["next_cursor"]),
        (1, &Value::Null)
    );
    let why = world.get("/api/v1/alerts/B/explain");
    assert_eq!(why["findings"][0]["cause"], "waiting_for_watermark");
    assert_eq!(why["findings"][0]["details"]["topic"], "a");
    assert_eq!(world.get("/api/v1/alerts/none/explain")["status"], "unknown");
    let status = world.get("/api/v1/status");
    assert_eq!(
        (status["alerts"].as_u64(), status["open_alerts"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(status["sources"][0]["rejected"], 1);
    assert_eq!(status["watermark"], "2026-03-01T11:05:00.0000000Z");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let world = World::new("");
    for (path, status) in [
        ("/api/v1/alerts?colour=red", 400),
        ("/api/v1/alerts?limit=0", 400),
        ("/api/v1/alerts?limit=501", 400),
        ("/api/v1/alerts?limit=x", 400),
        ("/api/v1/alerts?status=lost", 400),
        ("/api/v1/alerts?from=yesterday", 400),
        ("/api/v1/alerts?cursor=abc", 400),
        ("/api/v1/alerts?limit=1&limit=2", 400),
        ("/api/v1/status?x=1", 400),
        ("/api/v1/alerts/%ff", 400),
        ("/api/v1/alerts/none", 404),
        ("/api/v1/alerts/none/activities", 404),
        ("/api/v1/nothing", 404),
    ] {
        assert_eq!(world.refused(path, &[]), status, "{path}");
    }
    let posted = world.agent.post(format!("http://{}/api/v1/alerts", world.address)).send("{}");
    assert_eq!(posted.unwrap().status(), 405);
}

#[test]
fn a_token_is_asked_for_and_strangers_are_kept_out() {
    let world = World::new("http.token = \"a-token-of-some-length\"");
    let token = ("authorization", "Bearer a-token-of-some-length");
    assert_eq!(world.refused("/api/v1/alerts", &[]), 401);
    assert_eq!(
        world.refused("/api/v1/openapi.json", &[("authorization", "Bearer other")]),
        401
    );
    assert_eq!(world.raw("/api/v1/alerts", &[token]).0, 200);
    assert_eq!(world.refused("/api/v1/alerts", &[token, ("host", "evil.example")]), 403);
    assert_eq!(
        world.refused("/api/v1/alerts", &[token, ("origin", "http://evil.example")]),
        403
    );
    assert_eq!(world.raw("/livez", &[]).0, 200);
}

#[test]
fn it_is_ready_once_its_partitions_have_caught_up_until_it_stops() {
    let world = World::new("");
    let ready = || world.raw("/readyz", &[]);
    assert_eq!(ready(), (503, "waiting for partitions\n".to_owned()));
    world.metrics.assigned(&[0, 1]);
    world.metrics.replaying(0, 3);
    world.metrics.replaying(1, 4);
    assert_eq!(ready(), (503, "replaying the log: 7 records are left\n".to_owned()));
    world.metrics.replaying(0, 0);
    world.metrics.replaying(1, -1);
    assert_eq!(ready(), (200, "ready\n".to_owned()));
    world.metrics.assigned(&[]);
    assert_eq!(ready().0, 200, "another instance has them now");
    world.shutdown.request();
    assert_eq!(ready(), (503, "stopping\n".to_owned()));
}

#[test]
fn the_document_names_the_paths_that_are_served() {
    let world = World::new("");
    let document = world.get("/api/v1/openapi.json");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths.len(), 6, "{paths:?}");
    for path in paths {
        let (status, body) = world.raw(&path.replace("{id}", "none"), &[]);
        assert!(
            status == 200 || (status == 404 && body.contains("no alert of the id")),
            "{path}: {status} {body}"
        );
    }
}

#[test]
fn a_store_that_is_closed_is_free_although_it_was_read() {
    let mut world = World::new("");
    world.fill();
    assert_eq!(world.get("/api/v1/alerts")["alerts"].as_array().unwrap().len(), 2);
    drop(world.store.take());
    let after = world.get("/api/v1/alerts");
    assert_eq!(after["alerts"], serde_json::json!([]));
    assert_eq!(after["unanswered_partitions"], serde_json::json!([0]));
    let path = world._folder.path().join("0");
    Rocks::open(&path, &Shared::new(16 << 20)).unwrap();
}
