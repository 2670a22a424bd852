//! TLS, logins and secrets, over the broker's listener that resembles Event Hubs.
//!
//! The tests need the files that `scripts/broker` writes for a broker, in `ALERTTRAIL_TEST_KAFKA_DIR`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Instance, TIMEOUT, World, activity, alert, program};

const CANARY: &str = "S3CR3T-canary-\"7f3a\\";
const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

/// The broker's files, if there are any.
pub(crate) struct Files {
    folder: PathBuf,
    connection_string: String,
}

impl Files {
    pub(crate) fn find() -> Option<Self> {
        let Ok(folder) = std::env::var("ALERTTRAIL_TEST_KAFKA_DIR") else {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "ALERTTRAIL_TEST_KAFKA_DIR is not set, and under CI=true these tests must run; scripts/test sets it"
            );
            println!("skipped: ALERTTRAIL_TEST_KAFKA_DIR names no folder of scripts/broker");
            return None;
        };
        let folder = PathBuf::from(folder);
        let connection_string = fs::read_to_string(folder.join("connection-string"))
            .unwrap()
            .trim()
            .to_owned();
        Some(Self {
            folder,
            connection_string,
        })
    }

    pub(crate) fn address(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap().trim().to_owned()
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Returns the secret that only the two sides may know.
    fn key(&self) -> &str {
        self.connection_string.rsplit_once("SharedAccessKey=").unwrap().1
    }
}

/// Writes the world's configuration with another `[kafka]`, and with these settings in `[http]`.
pub(crate) fn config(world: &World, name: &str, kafka: &str, http: &str) -> PathBuf {
    let path = world.config(name);
    let text = fs::read_to_string(&path).unwrap();
    let plain = format!("[kafka]\nbootstrap_servers = \"{}\"\n", world.broker);
    assert!(text.contains(&plain) && text.contains("[http]\nlisten = \"\"\n"));
    let text = text
        .replace(&plain, &format!("[kafka]\n{kafka}\n"))
        .replace("[http]\nlisten = \"\"\n", &format!("[http]\n{http}\n"));
    fs::write(&path, text).unwrap();
    path
}

fn event_hubs(address: &str, ca: &Path, more: &str) -> String {
    format!(
        "preset = \"event-hubs\"\nbootstrap_servers = \"{address}\"\nconnection_string = \"${{CONNECTION_STRING}}\"\n[kafka.properties]\n\
         \"ssl.ca.location\" = \"{}\"\n{more}",
        ca.display()
    )
}

pub(crate) fn send_a_match(world: &mut World, note: &str) {
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", note).as_slice()]);
    world.send(
        "alerts",
        1,
        [alert("A1", "p", WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z").as_slice()],
    );
}

/// Runs the program to its end. Returns its output, its messages and how long it took.
pub(crate) fn run(config: &Path, environment: &[(&str, &str)]) -> (Output, String, Duration) {
    let began = Instant::now();
    let mut command = Command::new(program());
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, printed, began.elapsed())
}

fn get(port: u16, path: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn g5_an_event_hubs_login_gives_the_result_and_no_secret_is_printed() {
    let (Some(files), Some(mut world)) = (Files::find(), World::new("tls")) else {
        return;
    };
    send_a_match(&mut world, "over TLS");
    let port = free_port();
    // librdkafka prints its properties with `debug`. It hides its own secrets, but does not know that this property
    // holds one.
    let more = "debug = \"all\"\n\"client.rack\" = \"${CANARY}\"";
    let http = format!("listen = \"127.0.0.1:{port}\"\ntoken = \"${{CANARY}}\"");
    let config = config(
        &world,
        "a",
        &event_hubs(&files.address("address-tls"), &files.ca(), more),
        &http,
    );
    let environment = [
        ("CONNECTION_STRING", files.connection_string.as_str()),
        ("CANARY", CANARY),
        ("ALERTTRAIL_LOG", "debug"),
    ];
    let mut instance = Instance::start_with(&config, &world.folder.path().join("a.log"), &environment);
    let fold = world.wait_for_expected_rows(&mut [&mut instance]);
    assert_eq!(fold.len(), 1);
    let metrics = get(port, "/metrics", CANARY);
    assert!(metrics.contains("alerttrail_messages_received_total 2"), "{metrics}");
    let refused = get(port, "/metrics", "wrong");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let others = ["/", "/livez", "/readyz", "/no-such-page"]
        .map(|path| get(port, path, CANARY))
        .concat();
    let log = instance.log();
    assert!(
        log.contains("sasl.password = [redacted]"),
        "librdkafka does not print its settings"
    );
    assert!(
        log.contains("client.rack = ***"),
        "the processor redacts what librdkafka does not"
    );
    let mut check = Command::new(program());
    check.arg("check").arg("--config").arg(&config).envs(environment);
    let check = check.output().unwrap();
    assert!(check.status.success());
    let json = as_json(&config, &environment);
    assert!(
        json.contains("\"facility\":\"CONF\"") && json.contains("client.rack = ***"),
        "{json}"
    );
    let key = files.key();
    let escaped = format!("{CANARY:?}");
    for (place, text) in [
        ("log", log),
        ("JSON log", json),
        (
            "check",
            String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned(),
        ),
        ("metrics", metrics),
        ("refusal", refused),
        ("other pages", others),
    ] {
        for secret in [key, CANARY, escaped.trim_matches('"')] {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
    }
}

/// Returns the JSON log of a run that ends at once because a topic is missing.
fn as_json(config: &Path, environment: &[(&str, &str)]) -> String {
    let path = config.with_extension("json.toml");
    let text = fs::read_to_string(config).unwrap();
    let text = text
        .replace("-rows\"", "-no-such-topic\"")
        .replace("listen = \"127", "listen = \"\" # \"127");
    fs::write(&path, text).unwrap();
    // The running instance has its own state folder.
    let state = path.with_extension("state");
    let more = [
        ("ALERTTRAIL_LOG_FORMAT", "json"),
        ("ALERTTRAIL_STATE__DIR", state.to_str().unwrap()),
    ];
    let environment: Vec<_> = environment.iter().copied().chain(more).collect();
    let (output, printed, _) = run(&path, &environment);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    printed
}

/// A relay that records what the client sends.
struct Relay {
    address: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    fn new(ip: &str, to: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (sink, to) = (Arc::clone(&received), to.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (mut client, mut broker) = (client.unwrap(), TcpStream::connect(&to).unwrap());
                let (mut responses, mut back) = (broker.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut responses, &mut back));
                    drop(back.shutdown(Shutdown::Both));
                });
                let sink = Arc::clone(&sink);
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = client.read(&mut buffer) {
                        sink.lock().unwrap().extend_from_slice(&buffer[..length]);
                        if broker.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, received }
    }

    /// Asserts that the client sent something, but never this secret.
    fn assert_never_received(&self, secret: &str) {
        let received = self.received.lock().unwrap();
        assert!(!received.is_empty(), "the client sent nothing");
        let found = received.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the secret was sent");
    }
}

#[test]
fn an_untrusted_connection_is_refused_soon_with_the_cause_and_without_the_secret() {
    let (Some(files), Some(world)) = (Files::find(), World::new("refused")) else {
        return;
    };
    let other_ca = world.folder.path().join("other-ca.pem");
    let key = world.folder.path().join("other-key.pem");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=other", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(&other_ca)
        .output()
        .unwrap();
    assert!(made.status.success());
    let (tls, plain) = (files.address("address-tls"), files.address("address"));
    // A name that is not in the certificate, and a port that speaks plaintext.
    let other_host = Relay::new("127.0.0.2", &tls);
    let plaintext = Relay::new("127.0.0.1", &plain);
    let wrong = files.connection_string.replace(files.key(), CANARY);
    let right = files.connection_string.as_str();
    let cases: [(&str, String, &Path, &str, &str); 4] = [
        ("password", tls.clone(), &files.ca(), &wrong, "refuses the login"),
        ("ca", tls, &other_ca, right, "certificate verify failed"),
        (
            "host",
            other_host.address.clone(),
            &files.ca(),
            right,
            "certificate verify failed",
        ),
        (
            "plaintext",
            plaintext.address.clone(),
            &files.ca(),
            right,
            "connecting to a PLAINTEXT broker listener?",
        ),
    ];
    std::thread::scope(|scope| {
        for (name, address, ca, string, cause) in &cases {
            let config = config(&world, name, &event_hubs(address, ca, ""), "listen = \"\"");
            let key = files.key();
            scope.spawn(move || {
                let (output, printed, took) = run(&config, &[("CONNECTION_STRING", string)]);
                assert_eq!(output.status.code(), Some(1), "{name}: {printed}");
                assert!(took < Duration::from_secs(30), "{name}: {took:?}");
                let error = printed.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
                assert!(error.contains(cause) && error.contains("; check "), "{name}: {printed}");
                assert!(error.contains(address.as_str()), "{name}: {printed}");
                assert!(!printed.contains(key) && !printed.contains(CANARY), "{name}");
            });
        }
    });
    other_host.assert_never_received(files.key());
    plaintext.assert_never_received(files.key());
}

/// Writes the world's configuration for a broker at another address, with more properties in `[kafka]`.
fn config_for_broker_at(world: &World, name: &str, address: &str, properties: &str) -> PathBuf {
    let kafka = format!("bootstrap_servers = \"{address}\"\n[kafka.properties]\n{properties}");
    config(world, name, &kafka, "listen = \"\"")
}

/// Returns the text after `error: `, and how long the program took to print it.
fn refused(config: &Path) -> (String, Duration) {
    let (output, printed, took) = run(config, &[]);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let error = printed.lines().find_map(|line| line.strip_prefix("error: "));
    (error.unwrap_or(&printed).to_owned(), took)
}

#[test]
fn plaintext_to_a_port_for_tls_is_reported_and_the_processor_can_be_stopped_meanwhile() {
    let (Some(files), Some(world)) = (Files::find(), World::new("plain-on-tls")) else {
        return;
    };
    let config = config_for_broker_at(&world, "a", &files.address("address-tls"), "");
    let (printed, took) = refused(&config);
    assert!(
        printed.contains("expects TLS") && printed.contains("\"security.protocol\""),
        "{printed}"
    );
    assert!(took < Duration::from_secs(15), "{took:?}");
    let instance = Instance::start_with(&config, &world.folder.path().join("a.log"), &[]);
    std::thread::sleep(Duration::from_secs(3));
    let (status, took) = instance.terminate();
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
}

#[test]
fn tls_to_a_port_for_plaintext_is_reported_soon() {
    let Some(world) = World::new("tls-on-plain") else { return };
    let config = config_for_broker_at(&world, "a", &world.broker, "\"security.protocol\" = \"SSL\"");
    let (printed, took) = refused(&config);
    assert!(printed.contains("connecting to a PLAINTEXT broker listener?"), "{printed}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

/// Starts a broker that accepts every login and closes the connection at the next request, as Event Hubs does for a
/// principal with a role on only one hub. Returns its address.
fn broker_that_closes_after_the_login() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            std::thread::spawn(move || while respond_to_login(&mut client).is_some() {});
        }
    });
    address
}

/// Responds to one request of <https://kafka.apache.org/protocol>; returns `None` if the connection is to be closed.
fn respond_to_login(client: &mut TcpStream) -> Option<()> {
    let mut size = [0; 4];
    client.read_exact(&mut size).ok()?;
    let mut request = vec![0; u32::from_be_bytes(size) as usize];
    client.read_exact(&mut request).ok()?;
    let (key, version) = (request[1], request[3]);
    let mut response = request[4..8].to_vec();
    match key {
        // ApiVersions: only the first version of the response, which every client knows.
        18 => {
            let (error, versions) = (if version == 0 { 0 } else { 35_u16 }, [(3, 1), (17, 1), (18, 0), (36, 0)]);
            response.extend(error.to_be_bytes());
            response.extend(4_u32.to_be_bytes());
            for (key, max_version) in versions {
                response.extend([key, 0, max_version].map(u16::to_be_bytes).concat());
            }
        }
        // SaslHandshake: no error, and the mechanism PLAIN.
        17 => response.extend(b"\0\0\0\0\0\x01\0\x05PLAIN"),
        // SaslAuthenticate: no error, no message, no bytes.
        36 => response.extend(b"\0\0\xff\xff\0\0\0\0"),
        _ => return None,
    }
    client.write_all(&u32::try_from(response.len()).unwrap().to_be_bytes()).ok()?;
    client.write_all(&response).ok()
}

#[test]
fn a_connection_that_closes_after_the_login_is_reported_as_missing_roles() {
    let Some(world) = World::new("roles") else { return };
    let login = "\"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"\n\"sasl.password\" = \"p\"";
    let config = config_for_broker_at(&world, "a", &broker_that_closes_after_the_login(), login);
    let (printed, took) = refused(&config);
    assert!(
        printed.contains("accepts the login and then closes the connection")
            && printed.contains("assign the roles on the namespace"),
        "{printed}"
    );
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn f19_record_contents_are_neither_in_the_log_nor_in_the_metrics() {
    let Some(mut world) = World::new("injection") else { return };
    let port = free_port();
    let kafka = format!("bootstrap_servers = \"{}\"", world.broker);
    let config = config(&world, "a", &kafka, &format!("listen = \"127.0.0.1:{port}\""));
    let hostile = r"HOSTILE\n2026-03-01T00:00:00Z ERROR forged\r\u001b[31m\u0000\u009b{}%s";
    let long = "HOSTILE".repeat(100_000);
    let mut messages = vec![
        activity(r"HOSTILE\\n\\u001b[31m", "2026-03-01T10:00:00Z", hostile),
        activity(r"HOSTILE\\n\\u001b[31m", "2026-03-01T10:00:01Z", &long),
        activity("HOSTILE", "HOSTILE\\n\\u001b[2J", "x"),
        format!(r#"{{"Type":"{hostile}","a":1}}"#).into_bytes(),
        format!(r#"{{"{hostile}":1}}"#).into_bytes(),
        b"HOSTILE\n\x1b[31m not JSON".to_vec(),
        format!(r#"{{"category":"AdvancedHunting-CloudAppEvents","tenantId":"{hostile}","properties":{{"RawEventData":{{"Data":{{"cid":"HOSTILE"}}}}}}}}"#)
            .into_bytes(),
        br#"{"category":"AdvancedHunting-CloudAppEvents","tenantId":"HOSTILE-2","properties":{"RawEventData":{"CreationTime":"2026-03-01T10:00:02Z"}}}"#.to_vec(),
    ];
    for number in 0..200 {
        messages.push(format!(r#"{{"category":"AdvancedHunting-HOSTILE {number}","properties":{{}}}}"#).into_bytes());
    }
    world.send("activities", 4, messages.iter().map(Vec::as_slice));
    let id = alert(
        r"A1\u001b[31m\nHOSTILE",
        r"HOSTILE\n\u001b[31m",
        WINDOW.0,
        WINDOW.1,
        "2026-03-01T11:05:00Z",
    );
    world.send(
        "alerts",
        1,
        [
            id.as_slice(),
            alert("A2", "p", "HOSTILE", WINDOW.1, "2026-03-01T11:05:00Z").as_slice(),
        ],
    );
    let log = world.folder.path().join("a.log");
    let mut instance = Instance::start_with(&config, &log, &[("ALERTTRAIL_LOG", "debug")]);
    let fold = world.wait_for_expected_rows(&mut [&mut instance]);
    assert_eq!(fold.len(), 2, "the hostile rows join as any other");
    assert!(
        fold.values()
            .all(|row| row["system_alert_id"].as_str().unwrap().contains('\u{1b}'))
    );
    world.wait_for_records("dead", 5, &mut instance);
    let began = Instant::now();
    let metrics = loop {
        let metrics = get(port, "/metrics", "");
        if metrics.contains("alerttrail_records_skipped_total{table=\"other\"} 201") {
            break metrics;
        }
        assert!(began.elapsed() < TIMEOUT, "{metrics}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(!metrics.contains("HOSTILE") && metrics.len() < 100_000, "{metrics}");
    let log = instance.log();
    assert!(log.contains("second tenant"), "{log}");
    assert!(!log.contains("HOSTILE") && !log.contains("forged"), "{log}");
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log}");
}
