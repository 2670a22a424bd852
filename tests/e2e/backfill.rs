//! History from files, then live traffic: one result, without gaps and without repeats.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Instance, World, activity, alert, program};

/// Returns synthetic messages of both tables.
fn traffic(world: &World) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let folder = world.folder.path().join("traffic");
    let generated = Command::new(program())
        .args([
            "generate",
            "--activities",
            "4000",
            "--alerts",
            "60",
            "--seed",
            "11",
            "--duplicates",
            "0.05",
            "--output",
        ])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let lines = |name: &str| {
        let text = fs::read(folder.join(name)).unwrap();
        text.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    (lines("cloudappevents.jsonl"), lines("securityalert.jsonl"))
}

/// Stores messages as an export to storage does: a file for each hour, in folders by date.
fn export(folder: &Path, table: &str, messages: &[Vec<u8>]) -> PathBuf {
    let container = folder.join(table);
    for (hour, lines) in messages.chunks(messages.len().div_ceil(30)).enumerate() {
        let path = container.join(format!("y=2026/m=03/d={:02}/h={:02}/m=00", 1 + hour / 24, hour % 24));
        fs::create_dir_all(&path).unwrap();
        let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
        fs::write(path.join("PT1H.json"), text).unwrap();
        fs::write(path.join("PT1H.json.crc"), "x").unwrap();
    }
    container
}

struct Backfill {
    world: World,
    config: PathBuf,
    containers: [PathBuf; 2],
    live: [Vec<Vec<u8>>; 2],
}

impl Backfill {
    fn new(name: &str) -> Option<Self> {
        let world = World::new(name)?;
        world.create_topic(&world.topic("history"), 2, &[]);
        let config = world.config("a");
        let text = fs::read_to_string(&config).unwrap();
        let alerts = format!("\"{}\"]", world.topic("alerts"));
        let text = text.replace(
            &alerts,
            &format!("\"{}\", \"{}\"]", world.topic("alerts"), world.topic("history")),
        );
        fs::write(&config, text).unwrap();
        let (activities, alerts) = traffic(&world);
        // Everything counts, and only once, although a part is in the history and also arrives live.
        let mut sent = fs::OpenOptions::new().create(true).append(true).open(world.sent()).unwrap();
        let split = |messages: &[Vec<u8>]| {
            let (until, from) = (messages.len() * 6 / 10, messages.len() * 5 / 10);
            (messages[..until].to_vec(), messages[from..].to_vec())
        };
        let (old_activities, new_activities) = split(&activities);
        let (old_alerts, new_alerts) = split(&alerts);
        for line in old_activities.iter().chain(&old_alerts) {
            sent.write_all(&[line.as_slice(), b"\n"].concat()).unwrap();
        }
        let storage = world.folder.path().join("storage");
        let containers = [
            export(&storage, "insights-logs-advancedhunting-cloudappevents", &old_activities),
            export(&storage, "am-securityalert", &old_alerts),
        ];
        Some(Self {
            world,
            config,
            containers,
            live: [new_activities, new_alerts],
        })
    }

    fn replay(&self, more: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(["replay", "--topic", &self.world.topic("history"), "--config"])
            .arg(&self.config);
        command.arg("--input").args(&self.containers).args(more);
        command
    }

    /// Replays the history, and is killed halfway the first time.
    fn history(&self) {
        let mut killed = self.replay(&["--rate", "500/s"]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(2));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let whole = self.replay(&[]).output().unwrap();
        let printed = String::from_utf8_lossy(&whole.stderr).into_owned();
        assert!(whole.status.success(), "{printed}");
        assert!(printed.contains("in the folders: their file name"), "{printed}");
    }

    fn send_live(&mut self) {
        let [activities, alerts] = self.live.clone();
        self.world.send("activities", 4, activities.iter().map(Vec::as_slice));
        self.world.send("alerts", 1, alerts.iter().map(Vec::as_slice));
    }

    fn start(&self) -> Instance {
        Instance::start_with(&self.config, &self.world.folder.path().join("a.log"), &[])
    }
}

#[test]
fn history_before_the_first_start_and_live_traffic_give_one_result() {
    let Some(mut backfill) = Backfill::new("backfill") else {
        return;
    };
    backfill.send_live();
    backfill.history();
    let mut instance = backfill.start();
    let fold = backfill.world.wait_for_expected_rows(&mut [&mut instance]);
    assert!(fold.len() > 20, "{}", fold.len());
    drop(instance);
    // The history has been read: its topic may be removed from the settings, and then from the broker.
    let text = fs::read_to_string(&backfill.config).unwrap();
    let history = format!(", \"{}\"", backfill.world.topic("history"));
    fs::write(&backfill.config, text.replace(&history, "")).unwrap();
    let mut instance = backfill.start();
    let window = ("2026-10-01T09:00:00Z", "2026-10-01T11:00:00Z");
    backfill
        .world
        .send("activities", 4, [activity("later", "2026-10-01T10:00:00Z", "one").as_slice()]);
    backfill.world.send(
        "alerts",
        1,
        [alert("Later", "later", window.0, window.1, window.1).as_slice()],
    );
    let more = backfill.world.wait_for_expected_rows(&mut [&mut instance]);
    assert_eq!(more.len(), fold.len() + 1);
}

#[test]
fn history_that_arrives_while_it_runs_gives_the_same_result() {
    let Some(mut backfill) = Backfill::new("backfill-late") else {
        return;
    };
    let mut instance = backfill.start();
    backfill.send_live();
    let world = &backfill.world;
    world.wait_for_records("rows", 10, &mut instance);
    backfill.history();
    backfill.world.wait_for_expected_rows(&mut [&mut instance]);
}
