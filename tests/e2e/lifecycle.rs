//! Start and stop.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;

use crate::support::{World, activity, alert};

#[test]
fn it_creates_its_internal_topic_and_resumes_at_its_position() {
    let Some(mut world) = World::new("goes-on") else { return };
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "one").as_slice()]);
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    world.send(
        "alerts",
        1,
        [alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z").as_slice()],
    );
    let mut instance = world.start("a");
    world.wait_for_expected_rows(&mut [&mut instance]);
    assert!(instance.log().contains("created the repartition topic"), "{}", instance.log());
    let (status, took) = instance.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let before = world.read("rows").len();

    let mut instance = world.start("a");
    world.send("activities", 4, [activity("p", "2026-03-01T10:30:00Z", "two").as_slice()]);
    world.wait_for_expected_rows(&mut [&mut instance]);
    assert_eq!(world.read("rows").len(), before + 1, "emitted rows are not emitted again");
    let alerts = format!("{} partition=0 position=1", world.topic("alerts"));
    let log = instance.log().replace('"', "").replace("topic=", "");
    assert!(log.contains(&alerts), "the alerts' position was committed:\n{log}");
}

#[test]
fn an_application_that_starts_at_the_end_leaves_out_older_records() {
    let Some(mut world) = World::new("latest") else { return };
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "before").as_slice()]);
    let config = world.config("a");
    let text = std::fs::read_to_string(&config)
        .unwrap()
        .replace("[input]", "[input]\nstart = \"latest\"");
    std::fs::write(&config, text).unwrap();
    // `World::start` rewrites the file, so this test starts the process itself.
    let mut child = std::process::Command::new(crate::support::program())
        .arg("run")
        .arg("--config")
        .arg(&config)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(6));
    world.send("activities", 4, [activity("p", "2026-03-01T10:10:00Z", "after").as_slice()]);
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    world.send(
        "alerts",
        1,
        [alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z").as_slice()],
    );
    let began = std::time::Instant::now();
    let fold = loop {
        let fold = world.fold();
        if !fold.is_empty() || began.elapsed() > crate::support::TIMEOUT {
            break fold;
        }
        std::thread::sleep(Duration::from_millis(300));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let notes: Vec<&str> = fold.values().filter_map(|row| row["activity"]["Note"].as_str()).collect();
    assert_eq!(notes, ["after"]);
}

#[test]
fn systemd_is_notified_of_the_start_of_progress_and_of_the_stop() {
    let Some(world) = World::new("notify") else { return };
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(crate::support::TIMEOUT)).unwrap();
    let mut child = std::process::Command::new(crate::support::program())
        .arg("run")
        .arg("--config")
        .arg(world.config("a"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000000")
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let receive = || {
        let mut buffer = [0; 1024];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap().trim().to_owned()
    };
    let wait_for = |expected: &str| while receive() != expected {};
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
    let pid = rustix::process::Pid::from_child(&child);
    // `timeout` sends the signal to the process and then to its group.
    for _ in 0..2 {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_for("STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Without curl, librdkafka silently lacks sign-in with Entra ID.
#[test]
fn the_client_library_can_sign_in_with_oidc() {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", "127.0.0.1:1")
        .set("group.id", "none")
        .set("security.protocol", "SASL_SSL")
        .set("sasl.mechanism", "OAUTHBEARER")
        .set("sasl.oauthbearer.method", "oidc")
        .set("sasl.oauthbearer.client.id", "id")
        .set("sasl.oauthbearer.client.secret", "none")
        .set("sasl.oauthbearer.token.endpoint.url", "https://127.0.0.1:1/token");
    let consumer: Result<BaseConsumer, _> = config.create();
    assert!(consumer.is_ok(), "{:?}", consumer.err());
}

/// A process may open as many files as the hard limit allows, and leaves no core dump, whatever it was started with.
#[test]
fn it_sets_its_own_limits() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(world) = World::new("limits") else { return };
    let script = world.folder.path().join("with-low-limits");
    let text = format!(
        "#!/bin/sh\nulimit -S -n 700 && ulimit -S -c unlimited\nexec {} \"$@\"\n",
        crate::support::program()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut instance = world.start_as(&script, "a");
    instance.wait_for_log("joining");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", instance.pid())).unwrap();
    let limit = |name: &str| -> Vec<String> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect()
    };
    let files = limit("Max open files");
    assert!(files[0] == files[1] && files[0] != "700", "{limits}");
    assert_eq!(limit("Max core file size")[0], "0", "{limits}");
}
