//! Traces and logs as an OpenTelemetry collector receives them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::secure::config;
use crate::support::{Instance, TIMEOUT, World, activity, alert};

const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

/// The paths and bodies of the received requests.
type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Starts a server that accepts and keeps every request.
fn collector() -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let received = Received::default();
    let shared = Arc::clone(&received);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            shared.lock().unwrap().extend(request(client.unwrap()));
        }
    });
    (address, received)
}

fn request(client: TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let path = head.first()?.split(' ').nth(1)?.to_owned();
    let length = head
        .iter()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let response = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(response.as_bytes()).ok()?;
    Some((path, body))
}

fn was_received(received: &Received, path: &str, text: &str) -> bool {
    let received = received.lock().unwrap();
    received
        .iter()
        .any(|(to, body)| to == path && body.windows(text.len()).any(|part| part == text.as_bytes()))
}

fn wait_for(received: &Received, path: &str, text: &str) {
    let began = Instant::now();
    while !was_received(received, path, text) {
        assert!(began.elapsed() < TIMEOUT, "{text:?} never arrived at {path}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn send_a_match(world: &mut World) {
    world.send("activities", 1, [activity("k", "2026-03-01T10:00:00Z", "one").as_slice()]);
    world.send("alerts", 1, [alert("A", "k", WINDOW.0, WINDOW.1, WINDOW.1).as_slice()]);
}

#[test]
fn a_collector_receives_traces_and_logs_without_secrets() {
    let Some(mut world) = World::new("otlp") else { return };
    send_a_match(&mut world);
    let (address, received) = collector();
    // The secret is the name of the application, which occurs in most messages.
    let application = world.topic("").trim_end_matches('-').to_owned();
    let kafka = format!("bootstrap_servers = \"{}\"", world.broker);
    let http = format!("listen = \"127.0.0.1:0\"\ntoken = \"{application}\"");
    let config = config(&world, "a", &kafka, &http);
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=somewhere"),
    ];
    let mut instance = Instance::start_with(&config, &world.folder.path().join("a.log"), &environment);
    assert_eq!(world.wait_for_expected_rows(&mut [&mut instance]).len(), 1);
    for text in ["join.batch", "join.deliver", "route.turn", "somewhere", "service.version"] {
        wait_for(&received, "/v1/traces", text);
    }
    wait_for(&received, "/v1/logs", "API, metrics and health");
    let (status, _) = instance.terminate();
    assert!(status.success());
    // The collector also receives the last log records.
    wait_for(&received, "/v1/logs", "stopped");
    for path in ["/v1/traces", "/v1/logs"] {
        assert!(!was_received(&received, path, &application), "a secret went to {path}");
    }
    assert!(was_received(&received, "/v1/logs", &"*".repeat(application.len())));
}

#[test]
fn an_unreachable_collector_delays_nothing() {
    let Some(mut world) = World::new("otlp-away") else { return };
    send_a_match(&mut world);
    let config = world.config("a");
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let log = world.folder.path().join("a.log");
    let mut instance = Instance::start_with(&config, &log, &environment);
    assert_eq!(world.wait_for_expected_rows(&mut [&mut instance]).len(), 1);
    let (status, took) = instance.terminate();
    assert!(status.success());
    assert!(took.as_secs() < 15, "{took:?}");
    let printed = std::fs::read_to_string(&log).unwrap();
    assert!(printed.contains("BatchSpanProcessor"), "{printed}");
}

#[test]
fn an_unsupported_protocol_is_reported() {
    let Some(world) = World::new("otlp-grpc") else { return };
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let log = world.folder.path().join("a.log");
    let instance = Instance::start_with(&world.config("a"), &log, &environment);
    let (status, printed) = instance.wait_for_end();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains("http/protobuf"), "{printed}");
}
