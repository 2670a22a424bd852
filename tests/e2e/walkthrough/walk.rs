//! Follows a page from top to bottom, in one shell and in a separate folder that looks like a reader's clone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::output;
use super::page::{Act, Expected, Page};
use crate::support::program;

/// Longer than any page takes on a busy machine.
const PAGE_TIMEOUT: Duration = Duration::from_secs(600);

/// The maximum number of characters of an output that a failure shows.
const MAX_SHOWN: usize = 4_000;

/// The addresses of the broker and the API in the documents.
const DOCUMENTED_BROKER: &str = "127.0.0.1:9092";
const DOCUMENTED_HTTP: &str = "127.0.0.1:8686";
/// The API address of a second processor; no page runs one beside the first.
const DOCUMENTED_SECOND_HTTP: &str = "127.0.0.1:8687";

/// A folder like a reader's, and the actual addresses of the broker and the API.
pub(super) struct Walk {
    folder: tempfile::TempDir,
    broker: String,
    http: String,
}

impl Walk {
    pub(super) fn new(broker: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let walk = Self {
            folder: tempfile::tempdir().unwrap(),
            broker: broker.to_owned(),
            http: free.to_string(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in fs::read_dir(root.join("config")).unwrap().map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|ending| ending == "toml") {
                let name = Path::new("config").join(file.file_name().unwrap());
                walk.write(&name, &walk.with_actual_addresses(&fs::read_to_string(&file).unwrap()));
            }
        }
        let clone = root.display();
        walk.script("scripts/broker", &format!("exec {clone}/scripts/broker \"$@\""));
        let link = walk.path("target/release/alerttrail");
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(program(), link).unwrap();
        walk
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("clone").join(name)
    }

    fn write(&self, name: &Path, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn script(&self, name: &str, text: &str) {
        self.write(Path::new(name), &format!("#!/usr/bin/env bash\n{text}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn with_actual_addresses(&self, text: &str) -> String {
        let text = text.replace(DOCUMENTED_BROKER, &self.broker);
        text.replace(DOCUMENTED_HTTP, &self.http)
            .replace(DOCUMENTED_SECOND_HTTP, &self.http)
    }

    fn with_documented_addresses(&self, text: &str) -> String {
        text.replace(&self.broker, DOCUMENTED_BROKER)
            .replace(&self.http, DOCUMENTED_HTTP)
    }

    fn printed(&self, step: usize) -> String {
        let text = fs::read(self.folder.path().join(format!("{step}.out"))).unwrap_or_default();
        self.with_documented_addresses(&String::from_utf8_lossy(&text))
    }

    /// Runs the steps of the page. Returns an error that describes what stops a reader or differs from the page.
    pub(super) fn follow(&self, page: &Page) -> Result<(), String> {
        let script = self.folder.path().join("walk");
        fs::write(&script, self.script_of(page)).unwrap();
        let ended = self.run(&script);
        let reached = fs::read_to_string(self.folder.path().join("at")).unwrap_or_default();
        if let Err(how) = ended {
            let at: usize = reached.trim().parse().unwrap_or_default();
            let line = page.steps.get(at).map_or(0, |step| step.line);
            return Err(format!("{}:{line}: {how}; it printed:\n{}", page.name, self.all_printed(at)));
        }
        let mut wrong = Vec::new();
        let mut last = 0;
        for (at, step) in page.steps.iter().enumerate() {
            match &step.act {
                Act::Run(_) | Act::Background { .. } => last = at,
                Act::Write { .. } => {}
                Act::Compare { expected, command } => {
                    let printed = self.printed(if command.is_some() { at } else { last });
                    if !output::matches_page(&printed, expected) {
                        let printed: String = printed.chars().take(MAX_SHOWN).collect();
                        let (Expected::Text(text) | Expected::Json(text) | Expected::Members(text)) = expected;
                        wrong.push(format!(
                            "{}:{}: expected\n{text}but it printed\n{printed}",
                            page.name, step.line
                        ));
                    }
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    fn all_printed(&self, at: usize) -> String {
        let background = fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let background = background.filter(|path| path.extension().is_some_and(|ending| ending == "background"));
        let background = background.map(|path| fs::read_to_string(path).unwrap());
        let background: String = background.map(|text| format!("\nand in the background:\n{text}")).collect();
        self.printed(at) + &self.with_documented_addresses(&background)
    }

    /// Returns the page as a script: one shell for all steps, as a reader has.
    fn script_of(&self, page: &Page) -> String {
        let folder = self.folder.path().display();
        let mut script = format!(
            "set -e\ncd {folder}/clone\n\
             finish() {{ for pid in $(jobs -p); do kill -TERM $pid; wait $pid; done; }}\n"
        );
        for (at, step) in page.steps.iter().enumerate() {
            let mut source = |name: &str, commands: &str| {
                let file = self.folder.path().join(format!("{at}.{name}"));
                fs::write(&file, self.with_actual_addresses(commands)).unwrap();
                script.push_str(&format!(
                    "echo {at} >{folder}/at\n. {} >{folder}/{at}.out 2>&1\n",
                    file.display()
                ));
            };
            match &step.act {
                Act::Run(commands) => source("sh", commands),
                Act::Background { first, last, ready } => {
                    source("sh", first);
                    let (last, ready) = (self.with_actual_addresses(last), self.with_actual_addresses(ready));
                    script.push_str(&format!("{last} >{folder}/{at}.background 2>&1 &\n"));
                    script.push_str(&format!("until {ready} >/dev/null 2>&1; do kill -0 $!; sleep 0.2; done\n"));
                }
                Act::Write { name, content } => {
                    let file = self.folder.path().join(format!("{at}.file"));
                    fs::write(&file, self.with_actual_addresses(content)).unwrap();
                    script.push_str(&format!("echo {at} >{folder}/at\ncp {} {name}\n", file.display()));
                }
                Act::Compare {
                    command: Some(command), ..
                } => source("sh", command),
                Act::Compare { command: None, .. } => {}
            }
        }
        // Jobs in the background must still run, and end normally when they get a signal.
        script + "finish\n"
    }

    fn run(&self, script: &Path) -> Result<(), String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let log = fs::File::create(self.folder.path().join("walk.out")).unwrap();
        let mut shell = Command::new("bash")
            .arg(script)
            .env("PATH", format!("{}:{path}", self.path("target/release").display()))
            .env("ALERTTRAIL_KAFKA__BOOTSTRAP_SERVERS", &self.broker)
            .env("ALERTTRAIL_HTTP__LISTEN", &self.http)
            .env("ALERTTRAIL_SERVER", format!("http://{}", self.http))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let began = Instant::now();
        let ended = loop {
            match shell.try_wait().unwrap() {
                Some(status) if status.success() => break Ok(()),
                Some(status) => break Err(format!("a reader is stopped here, with {status}")),
                None if began.elapsed() > PAGE_TIMEOUT => break Err("a reader waits here for ever".to_owned()),
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        // No process that the page started may outlive it.
        let group = format!("-{}", shell.id());
        drop(
            Command::new("kill")
                .args(["-KILL", "--", &group])
                .stderr(Stdio::null())
                .status(),
        );
        drop(shell.wait());
        ended.map_err(|how| {
            let printed = fs::read_to_string(self.folder.path().join("walk.out")).unwrap_or_default();
            format!("{how} {printed}")
        })
    }
}
