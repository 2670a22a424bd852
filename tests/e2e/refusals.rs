//! Refusals at the start, with the way out.

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
    let said = refusal(&config);
    assert!(
        said.contains("no-such-topic (output.topic); create what is missing"),
        "{said}"
    );
    let command = format!("`alerttrail topics create --config {}`", config.display());
    assert!(said.contains(&command), "{said}");
}

#[test]
fn all_missing_topics_are_named_with_the_command_that_makes_them() {
    let Some(world) = World::new("missing-all") else { return };
    let path = world.config("a");
    let text = std::fs::read_to_string(&path).unwrap();
    let nowhere = format!("nowhere-{}", world.name);
    let text = text
        .replace(&format!("[\"{}", world.name), &format!("[\"{nowhere}"))
        .replace(&world.topic("rows"), &format!("{nowhere}-rows"))
        .replace(&world.topic("dead"), &format!("{nowhere}-dead"));
    std::fs::write(&path, text).unwrap();
    let said = refusal(&path);
    for part in [
        format!("{nowhere}-activities (input.topics)"),
        format!("{nowhere}-rows (output.topic)"),
        format!("{nowhere}-dead (output.dead_letter_topic)"),
        format!("`alerttrail topics create --config {} --with-inputs`", path.display()),
    ] {
        assert!(said.contains(&part), "{part} is missing in {said}");
    }
    assert!(!said.contains("-summaries ("), "{said}");
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
    let said = refusal(&config);
    assert!(said.contains("cleanup.policy"), "{said}");
}

#[test]
fn other_settings_for_the_same_application_are_refused() {
    let Some(mut world) = World::new("settings") else { return };
    world.send("activities", 4, [activity("p", "2026-03-01T10:00:00Z", "one").as_slice()]);
    let mut instance = world.start("a");
    let began = std::time::Instant::now();
    while !instance.log().contains("joining") {
        instance.assert_runs();
        assert!(began.elapsed() < crate::support::PATIENCE, "{}", instance.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Long enough for the first watermark updates to be in the repartition topic.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(instance.terminate().0.code(), Some(0));

    world.more.insert("correlation", "bounds = \"inclusive\"".to_owned());
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("bounds") && said.contains("application.id"), "{said}");

    // The store does not exist, but the repartition topic does.
    std::fs::remove_dir_all(world.folder.path().join("a")).unwrap();
    let output = world.run_to_end("a");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("application.id"), "{}", stderr(&output));
}

#[test]
fn a_broker_that_is_not_there_is_said() {
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
