//! Alerts with results by three links and several keys, read over the API and with `alerttrail query`.

use alerttrail::config::Config;
use alerttrail::decode::Decoder;
use alerttrail::route::{Arrival, Routed, Router, Settings};
use serde_json::{Value, json};

use super::{Api, at, query, watermark_update};

/// Two links in addition to the query.
const LINKS: &str = r#"
[[link]]
name = "users"
key = ["Entities[].AadUserId"]
activity_key = ["AccountObjectId"]
ignore_case = true
bounds = "inclusive"
before = "1h"
after = "1h"
[[link]]
name = "objects"
key = ["Entities[Type=file].Name"]
activity_key = ["ObjectName"]
"#;

/// Sends records through the router, as `run` does.
fn send(api: &mut Api, records: &[Value]) {
    let config = Config::from_text("test", LINKS, std::iter::empty()).unwrap();
    let settings = Settings {
        partitions: 1,
        max_wait: config.watermark.max_wait,
        max_future_skew: config.watermark.max_future_skew,
        max_window_ahead: None,
        tenants: false,
    };
    let mut router = Router::new(Decoder::new(config.decode), settings);
    let message = json!({ "records": records }).to_string();
    let arrival = Arrival {
        now: at(900).to_wall(),
        timestamp: None,
    };
    let mut routed = Vec::new();
    router.route(Some(message.as_bytes()), arrival, &mut |record| routed.push(record));
    for record in routed {
        match record {
            Routed::Record { record, .. } => api.apply(record),
            other => panic!("{other:?}"),
        }
    }
}

fn activity(number: u32, time: &str, user: &str, file: &str, cid: &str) -> Value {
    json!({
        "ReportId": number, "AccountObjectId": user, "ObjectName": file, "ActionType": "FileDownloaded",
        "RawEventData": {"CreationTime": format!("2026-03-01T{time}"), "Data": {"cid": cid}},
    })
}

fn alert(id: &str, alert_type: &str, entities: &Value) -> Value {
    json!({
        "SystemAlertId": id, "AlertType": alert_type, "AlertName": "Mail", "Entities": entities.to_string(),
        "StartTime": "2026-03-01T10:00:00Z", "EndTime": "2026-03-01T11:00:00Z", "TimeGenerated": "2026-03-01T11:05:00Z",
    })
}

/// Returns an API over a state in which "A" has a policy, two users and a file, and "B" has only a policy.
fn api() -> Api {
    let mut api = Api::new(LINKS);
    let entities = json!([
        {"Type": "account", "AadUserId": "U1"}, {"Type": "account", "AadUserId": "u2"}, {"Type": "file", "Name": "f1"},
    ]);
    send(
        &mut api,
        &[
            activity(1, "10:10:00", "u1", "f1", "p"),
            activity(2, "09:30:00", "u1", "f2", ""),
            activity(3, "11:45:00", "U2", "f2", ""),
            activity(4, "08:30:00", "u1", "f2", ""),
            activity(5, "12:30:00", "u1", "f2", ""),
            alert("A", "p", &entities),
            alert("B", "q", &json!([])),
        ],
    );
    api.apply(watermark_update(900));
    api
}

/// Returns these members of the entries of a list, each entry as one line.
fn lines(list: &Value, names: &[&str]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = |item: &Value| names.iter().map(|name| text(&item[name])).collect::<Vec<_>>().join(" ");
    list.as_array().unwrap().iter().map(line).collect()
}

const LINK_RESULTS: [&str; 4] = [
    "query p matched 1",
    "users u1 matched 2",
    "users u2 matched 1",
    "objects f1 matched 1",
];

#[test]
fn an_alert_has_results_by_every_link_and_key() {
    let api = api();
    let names = ["link", "correlation_id", "status", "activity_count"];
    let detail = api.get("/api/v1/alerts/A");
    assert_eq!(lines(&detail["links"], &names), LINK_RESULTS);
    assert_eq!((&detail["link"], &detail["activity_count"]), (&json!("query"), &json!(1)));
    let by_users = api.get("/api/v1/alerts/A?link=users&correlation_id=u2");
    assert_eq!(lines(&by_users["links"], &names), LINK_RESULTS, "for every requested link");
    assert_eq!(
        (&by_users["link"], &by_users["correlation_id"], &by_users["activity_count"]),
        (&json!("users"), &json!("u2"), &json!(1))
    );
    assert_eq!(by_users["window"]["start"], "2026-03-01T09:00:00.0000000Z");
    let only = |parameters: &str| lines(&api.get(&format!("/api/v1/alerts/A/links{parameters}"))["links"], &names);
    assert_eq!(only(""), LINK_RESULTS);
    assert_eq!(only("?link=users"), LINK_RESULTS[1..3]);
    assert_eq!(only("?link=users&correlation_id=u2"), LINK_RESULTS[2..3]);
    assert_eq!(only("?link=objects&correlation_id=u2"), [""; 0]);
    assert_eq!(lines(&api.get("/api/v1/alerts/B")["links"], &names), ["query q unmatched 0"]);
}

#[test]
fn activities_are_listed_by_link_and_key() {
    let api = api();
    let reports = |parameters: &str| -> Vec<u64> {
        let list = api.get(&format!("/api/v1/alerts/A/activities{parameters}"));
        let items = list["activities"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["activity"]["ReportId"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(reports(""), [1]);
    assert_eq!(reports("?link=query"), [1]);
    assert_eq!(reports("?link=users"), [2, 1], "the first key");
    assert_eq!(reports("?link=users&correlation_id=u2"), [3]);
    assert_eq!(reports("?link=objects"), [1]);
    assert_eq!(reports("?link=users&limit=1"), [2]);
    let page = api.get("/api/v1/alerts/A/activities?link=users&limit=1");
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(reports(&format!("?link=users&cursor={cursor}")), [1]);
    // One activity by three links: one dedup key, three rows.
    let first = |link: &str| {
        let list = api.get(&format!("/api/v1/alerts/A/activities?link={link}"));
        let items = list["activities"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["activity"]["ReportId"] == 1).unwrap()
    };
    let rows = ["query", "users", "objects"].map(first);
    assert!(
        rows.iter().all(|row| row["activity_id"] == rows[0]["activity_id"]),
        "{rows:?}"
    );
    assert!(rows[0]["id"] != rows[1]["id"] && rows[1]["id"] != rows[2]["id"], "{rows:?}");
}

#[test]
fn explain_by_a_link_names_the_settings_of_the_link() {
    let api = api();
    let why = api.get("/api/v1/alerts/A/explain?link=users");
    assert_eq!((&why["link"], &why["correlation_id"]), (&json!("users"), &json!("u1")));
    let findings = why["findings"].as_array().unwrap();
    let miss = findings.iter().find(|finding| finding["cause"] == "near_miss").unwrap();
    let sentence = miss["sentence"].as_str().unwrap();
    for setting in ["link.users.before = \"1h 30m\"", "link.users.after = \"1h 30m\""] {
        assert!(sentence.contains(setting), "{sentence}");
    }
    assert!(!why.to_string().contains("correlation.before"), "{why}");
    let other = api.get("/api/v1/alerts/A/explain?link=users&correlation_id=u2");
    assert_eq!(
        (&other["correlation_id"], &other["status"]),
        (&json!("u2"), &json!("matched"))
    );
    assert_eq!(api.get("/api/v1/alerts/A/explain")["link"], "query");
}

#[test]
fn an_alert_without_a_key_by_a_link_is_not_called_unknown() {
    let api = api();
    let why = api.get("/api/v1/alerts/B/explain?link=users");
    assert_eq!((&why["status"], &why["link"]), (&json!("unmatched"), &json!("users")));
    assert_eq!(why["findings"][0]["cause"], "no_correlation_id");
    assert_eq!(why["findings"][0]["details"]["alert_key"], json!(["Entities[].AadUserId"]));
    let verdict = why["verdict"].as_str().unwrap();
    assert!(
        verdict.contains("no key by the link users") && !verdict.contains("held"),
        "{verdict}"
    );
    let why = api.get("/api/v1/alerts/A/explain?link=users&correlation_id=u9");
    assert!(
        why["verdict"].as_str().unwrap().contains("does not have the key \"u9\""),
        "{why}"
    );
    assert_eq!(api.get("/api/v1/alerts/none/explain?link=users")["status"], "unknown");
    let (status, body) = api.raw("/api/v1/alerts/B/activities?link=users", &[]);
    assert_eq!(status, 404);
    assert!(
        body.contains("by the link \\\"users\\\"") && body.contains("/links"),
        "{body}"
    );
}

#[test]
fn the_list_contains_the_alerts_of_one_link() {
    let api = api();
    let names = ["system_alert_id", "link", "status", "activity_count"];
    let listed = |parameters: &str| lines(&api.get(&format!("/api/v1/alerts{parameters}"))["alerts"], &names);
    assert_eq!(listed(""), ["B query unmatched 0", "A query matched 1"]);
    assert_eq!(listed("?link=query"), listed(""));
    assert_eq!(listed("?link=users"), ["A users matched 3"], "of all keys together");
    assert_eq!(listed("?link=objects&status=unmatched"), [""; 0]);
    assert_eq!(
        api.get("/api/v1/status")["settings"]["links"],
        json!(["query", "users", "objects"])
    );
}

#[test]
fn an_unknown_link_or_key_is_refused() {
    let api = api();
    for path in [
        "alerts",
        "alerts/A",
        "alerts/A/links",
        "alerts/A/activities",
        "alerts/A/explain",
    ] {
        let path = format!("/api/v1/{path}?link=colour");
        assert_eq!(api.refused(&path, &[]), 400, "{path}");
        let (_, body) = api.raw(&path, &[]);
        assert!(
            body.contains("\\\"colour\\\"") && body.contains("query, users, objects"),
            "{body}"
        );
    }
    for path in ["alerts/A?link=users&correlation_id=u9", "alerts/B/activities?link=objects"] {
        assert_eq!(api.refused(&format!("/api/v1/{path}"), &[]), 404, "{path}");
    }
    assert_eq!(api.refused("/api/v1/alerts/A/links?tenant_id=t", &[]), 400);
}

#[test]
fn the_openapi_document_has_the_parameters_of_links() {
    let api = api();
    let document = api.get("/api/v1/openapi.json");
    for (path, expected) in [
        ("/api/v1/alerts", vec!["link"]),
        ("/api/v1/alerts/{id}", vec!["link", "correlation_id"]),
        ("/api/v1/alerts/{id}/links", vec!["link", "correlation_id"]),
        ("/api/v1/alerts/{id}/activities", vec!["link", "correlation_id"]),
        ("/api/v1/alerts/{id}/explain", vec!["link", "correlation_id"]),
    ] {
        let parameters = lines(&document["paths"][path]["get"]["parameters"], &["name"]);
        assert!(
            expected.iter().all(|name| parameters.iter().any(|known| known == name)),
            "{path}: {parameters:?}"
        );
    }
}

#[test]
fn query_shows_links_and_keys() {
    let api = api();
    let url = format!("http://{}", api.address);
    let run = |arguments: &[&str]| {
        let (status, out, stderr) = query(&[&["--server", &url], arguments].concat(), &[]);
        assert_eq!(status, 0, "{stderr}");
        out
    };
    let collapsed = |text: &str| -> Vec<String> {
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(line).collect()
    };
    let shown = collapsed(&run(&["alert", "A"]));
    for result in LINK_RESULTS {
        assert!(shown.iter().any(|line| line.starts_with(result)), "{result} in {shown:#?}");
    }
    assert!(!run(&["alert", "B"]).contains("LINK"), "the query alone needs no table");
    let shown = run(&["activities", "A", "--link", "users", "--correlation-id", "u2"]);
    assert!(
        shown.contains("users") && shown.contains("u2") && shown.contains("11:45:00"),
        "{shown}"
    );
    let shown = run(&["explain", "A", "--link", "users"]);
    assert!(
        shown.contains("link.users.after = \"1h 30m\"") && shown.contains("u1"),
        "{shown}"
    );
    let shown = collapsed(&run(&["alerts", "--link", "users"]));
    assert!(
        shown[0].contains("LINK") && shown[1].contains("users") && shown.len() == 2,
        "{shown:#?}"
    );
    assert!(!run(&["alerts"]).contains("LINK"));
    let json: Value = serde_json::from_str(&run(&["activities", "A", "--link", "users", "--json"])).unwrap();
    assert_eq!(json["activities"].as_array().unwrap().len(), 2);
    let (status, _, stderr) = query(&["--server", &url, "activities", "A", "--link", "colour"], &[]);
    assert!(status == 2 && stderr.contains("colour"), "{status} {stderr}");
}
