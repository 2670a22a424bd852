//! Follows the documents as a reader does: every command on a page runs as written, in order, and prints what the page
//! shows.
//!
//! `PAGE=docs/replay.md cargo test --release --test e2e walkthrough` follows one page. Each page has its own folder;
//! the topics and consumer groups that it names are deleted before and after it, on the tests' broker. The page names
//! 127.0.0.1:9092 and 127.0.0.1:8686; the test replaces them with its broker and a free port.

mod output;
mod page;
mod walk;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use self::page::Page;
use self::walk::Walk;
use crate::support::{TIMEOUT, broker};

/// The folders that contain documents.
const FOLDERS: [&str; 4] = ["", "docs", "benches", "tests"];

fn documents() -> Vec<PathBuf> {
    fn collect(folder: &Path, is_deep: bool, into: &mut Vec<PathBuf>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && is_deep && !path.ends_with("node_modules") {
                collect(&path, true, into);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            !folder.is_empty(),
            &mut found,
        );
    }
    found.sort();
    found
}

fn pages() -> Vec<(Page, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        (
            Page::parse(&path.strip_prefix(root).unwrap().display().to_string(), &text),
            text,
        )
    };
    documents().iter().map(read).collect()
}

#[test]
fn every_block_of_the_documents_is_run_or_has_a_reason_not_to_be() {
    let pages = pages();
    let faults: Vec<&str> = pages.iter().flat_map(|(page, _)| &page.faults).map(String::as_str).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    let followed: Vec<&str> = pages
        .iter()
        .filter(|(page, _)| !page.steps.is_empty())
        .map(|(page, _)| page.name.as_str())
        .collect();
    assert!(followed.contains(&"README.md") && followed.len() > 6, "{followed:?}");
}

#[test]
fn every_page_can_be_followed() {
    let Some(broker) = broker() else { return };
    let only = std::env::var("PAGE").ok();
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        if page.steps.is_empty() || only.as_ref().is_some_and(|only| *only != page.name) {
            continue;
        }
        page.left_out.iter().for_each(|block| println!("not run: {block}"));
        let began = Instant::now();
        delete_mentioned(&broker, &text);
        let followed = Walk::new(&broker).follow(&page);
        delete_mentioned(&broker, &text);
        println!(
            "{}: {} steps, {:.1} s",
            page.name,
            page.steps.len(),
            began.elapsed().as_secs_f64()
        );
        wrong.extend(followed.err());
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n\n"));
}

/// Deletes the topics and groups that a page names, because another page, or an earlier run of this one, may have left
/// them. Kafka's own topics stay.
fn delete_mentioned(broker: &str, text: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mentioned: BTreeSet<&str> = text.split(|c| !is_name(c)).chain(TOPICS).collect();
    let existing_topics = || -> Vec<String> {
        let metadata = admin.inner().fetch_metadata(None, TIMEOUT).unwrap();
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        names
            .filter(|name| mentioned.contains(name.as_str()) && !name.starts_with("__"))
            .collect()
    };
    let topics = existing_topics();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = AdminOptions::new();
    if !topics.is_empty() {
        runtime.block_on(admin.delete_topics(&topics, &options)).unwrap();
    }
    drop(runtime.block_on(admin.delete_groups(&GROUPS, &options)));
    let began = Instant::now();
    while !existing_topics().is_empty() {
        assert!(began.elapsed() < TIMEOUT, "{topics:?} are still there");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The topics that config/local.toml names, and the internal topic that the processor creates.
const TOPICS: [&str; 6] = [
    "cloudappevents",
    "securityalert",
    "alert-activities",
    "alert-summaries",
    "alerttrail-dead-letters",
    "alerttrail-correlation-repartition",
];
const GROUPS: [&str; 3] = ["alerttrail-route", "alerttrail-join", "alerttrail-redrive"];

/// Follows a page that needs no broker.
fn follow(text: &str) -> Result<(), String> {
    let page = Page::parse("page.md", text);
    assert!(page.faults.is_empty(), "{:?}", page.faults);
    Walk::new("127.0.0.1:1").follow(&page)
}

fn faults(text: &str) -> usize {
    Page::parse("page.md", text).faults.len()
}

#[test]
fn a_correct_page_can_be_followed() {
    let text = "
A sentence.
```sh
export GREETING=hello
say() { echo \"$1 $GREETING\"; }
```
Behind it:
<!-- walkthrough: file input.json -->
```json
{\"a\": 1}
```
```sh
say so; echo 'in 17 ms'; echo; echo the end
```
```
so hello
in … ms
…
the end
```
   <!-- walkthrough: output of: cat input.json -->
   ```json
   {\"a\":
     …}
   ```
<!-- walkthrough: in the background until: test -e started -->
```sh
echo first
bash -c 'trap \"exit 0\" TERM; touch started; while sleep 0.1; do :; done'   # until it is ended
```
<!-- walkthrough: before, so that there is a file:
echo 127.0.0.1:9092 >address
-->
```sh
cat address && alerttrail --version
```
```text
127.0.0.1:9092
```
";
    follow(text).unwrap();
}

#[test]
fn a_page_that_shows_a_wrong_output_is_found() {
    let wrong = follow("```sh\necho one\n```\n```\ntwo\n```\n").unwrap_err();
    assert!(wrong.starts_with("page.md:4: expected\ntwo\nbut it printed\none"), "{wrong}");
    let wrong = follow("```sh\necho one; echo two; echo three\n```\n```\none\nthree\n```\n");
    assert!(wrong.is_err(), "a line is left out");
    let wrong = follow("<!-- walkthrough: output of: echo '{\"a\":1}' -->\n```json\n{\"a\":2}\n```\n");
    assert!(wrong.is_err(), "another value");
    let members = |json: &str| {
        follow(&format!(
            "<!-- walkthrough: members of: echo '{{\"a\":[{{\"b\":1}}]}}' -->\n```json\n{json}\n```\n"
        ))
    };
    members("{\"a\":[{\"b\":2}]}").unwrap();
    members("{\"…\":0}").unwrap();
    for wrong in ["{}", "{\"a\":[{\"c\":1}]}", "{\"a\":[{\"b\":\"1\"}]}", "{\"a\":[],\"c\":1}"] {
        assert!(members(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_page_that_stops_a_reader_is_found() {
    let stopped = follow("```sh\ntrue\n```\n```sh\nalerttrail nonsense\necho on\n```\n").unwrap_err();
    assert!(
        stopped.starts_with("page.md:4: a reader is stopped here") && stopped.contains("nonsense"),
        "{stopped}"
    );
    let ended = follow("<!-- walkthrough: in the background until: true -->\n```sh\nfalse\n```\n```sh\nsleep 1\n```\n");
    assert!(ended.is_err(), "a command that must keep running has ended");
}

#[test]
fn a_page_hides_no_commands() {
    assert_eq!(faults("```bash\nrm -r /\n```\n"), 1);
    assert_eq!(faults("<!-- walkthrough: not run: -->\n```sh\ntrue\n```\n"), 1);
    assert_eq!(faults("<!-- walkthrough: somehow: why -->\n```sh\ntrue\n```\n"), 1);
    assert_eq!(
        faults("<!-- walkthrough: not run: why -->\nA sentence.\n```sh\ntrue\n```\n"),
        1
    );
    assert_eq!(faults("<!-- walkthrough: example: why -->\n```sh\ntrue\n```\n"), 1);
    let page = Page::parse(
        "page.md",
        "<!-- walkthrough: section not run: why -->\n## One\n```sh\ntrue\n```\n### Below\n```sh\ntrue\n```\n## Two\n```sh\ntrue\n```\n",
    );
    assert_eq!((page.faults.len(), page.left_out.len(), page.steps.len()), (0, 2, 1));
}
