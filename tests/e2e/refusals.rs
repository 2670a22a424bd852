//! Refusals at the start, with what to do about them.

use crate::support::{World, activity, program};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the error of a processor that refuses to start.
fn refusal(config: &std::path::Path) -> String {
    let mut command = std::process::Command::new(program());
    let output = command.args(["run", "--config"]).arg(config).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    stderr(&output)
}

#[test]
fn a_missing_topic_is_named() {
    let Some(mut world) = World::new("missing") else { return };
    world.more.insert("output", format!("unmatched = \"emit\"\n# {}", world.name));
    let config = world.config("a");
    let text = std::fs::read_to_string(&config)
        .unwrap()
        .replace(&world.topic("rows"), "no-such-topic");
    std::fs::write(&config, text).unwrap();
    let printed = refusal(&config);
    assert!(
        printed.contains("no-such-topic (output.topic); create what is missing"),
        "{printed}"
    );
    let command = format!("`alerttrail topics create --config {}`", config.display());
    assert!(printed.contains(&command), "{printed}");
}

#[test]
fn all_missing_topics_are_named_with_the_command_that_creates_them() {
    let Some(world) = World::new("missing-all") else { return };
    let path = world.config("a");
    let text = std::fs::read_to_string(&path).unwrap();
    let missing = format!("nowhere-{}", world.name);
    let text = text
        .replace(&format!("[\"{}", world.name), &format!("[\"{missing}"))
        .replace(&world.topic("rows"), &format!("{missing}-rows"))
        .replace(&world.topic("dead"), &format!("{missing}-dead"));
    std::fs::write(&path, text).unwrap();
    let printed = refusal(&path);
    for part in [
        format!("{missing}-activities (input.topics)"),
        format!("{missing}-rows (output.topic)"),
        format!("{missing}-dead (output.dead_letter_topic)"),
        format!("`alerttrail topics create --config {} --with-inputs`", path.display()),
    ] {
        assert!(printed.contains(&part), "{part} is missing in {printed}");
    }
    assert!(!printed.contains("-summaries ("), "{printed}");
}

#[test]
fn a_compacted_output_topic_is_refused() {
    let Some(world) = World::new("compacted") else { return };
    world.create_topic(&world.topic("compact"), 1, &[("cleanup.policy", "compact")]);
    let config = world.config("a");
    let text = std::fs::read_to_string(&config)
        .unwrap()
        .replace(&world.topic("rows"), &world.topic("compact"));
    std::fs::write(&config, text).unwrap();
    let printed = refusal(&config);
    assert!(printed.contains("cleanup.policy"), "{printed}");
}

#[test]
fn other_settings_for_the_same_application_are_refused() {
    let Some(mut world) = World::new("settings") else { return };
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "one").as_slice()]);
    let mut instance = world.start("a");
    let began = std::time::Instant::now();
    while !instance.log().contains("joining") {
        instance.assert_runs();
        assert!(began.elapsed() < crate::support::TIMEOUT, "{}", instance.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Long enough for the first watermark updates to be in the repartition topic.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(instance.terminate().0.code(), Some(0));

    world.more.insert("correlation", "bounds = \"inclusive\"".to_owned());
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let printed = stderr(&output);
    assert!(printed.contains("bounds") && printed.contains("application.id"), "{printed}");

    // The store does not exist, but the repartition topic does.
    std::fs::remove_dir_all(world.folder.path().join("a")).unwrap();
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("application.id"), "{}", stderr(&output));
}

#[test]
fn an_unreachable_broker_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(
        &config,
        "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n[http]\nlisten = \"\"\n",
    )
    .unwrap();
    let output = std::process::Command::new(program())
        .arg("run")
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("kafka.bootstrap_servers"), "{}", stderr(&output));
}
