//! Reads a page of the documents as the steps of a reader who follows it from top to bottom.
//!
//! Blocks of `sh` are run, and a block without a language after such a block is its expected output. Comments in the
//! page, which a reader does not see, add instructions:
//!
//! - `<!-- walkthrough: not run: REASON -->`: the next block is not run.
//! - `<!-- walkthrough: section not run: REASON -->`: no block of the section whose heading follows is run.
//! - `<!-- walkthrough: page not run: REASON -->`: no block of the page is run.
//! - `<!-- walkthrough: example: REASON -->`: the next output is from another run, and is not compared.
//! - `<!-- walkthrough: file NAME -->`: the next block is a file of this name.
//! - `<!-- walkthrough: output of: COMMAND -->`: the next block is the output of this command.
//! - `<!-- walkthrough: members of: COMMAND -->`: the JSON output of this command has the members of the next block,
//!   with any values.
//! - `<!-- walkthrough: in the background until: COMMAND -->`: the last line of the next block runs until the page
//!   ends. The next step waits until the command succeeds.
//! - `<!-- walkthrough: before, REASON:`, newline, commands, `-->`: these commands are run here. They prepare what the
//!   page assumes. A job that they leave running ends with the page.

/// A parsed page.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    /// The blocks that are not run, each with its reason.
    pub(super) left_out: Vec<String>,
    /// The errors of the page itself.
    pub(super) faults: Vec<String>,
}

/// A step, and its line on the page.
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) act: Act,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    Run(String),
    /// Runs the first commands, then keeps the last one running until the page ends; continues once `ready` succeeds.
    Background {
        first: String,
        last: String,
        ready: String,
    },
    Write {
        name: String,
        content: String,
    },
    /// Compares with the output of the last commands, or of this command.
    Compare {
        expected: Expected,
        command: Option<String>,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Lines exactly as printed.
    Text(String),
    /// JSON, which a page breaks into lines for readers.
    Json(String),
    /// JSON; only its names are compared, not its values.
    Members(String),
}

enum Marker {
    NotRun,
    SectionNotRun,
    PageNotRun,
    Example,
    File(String),
    OutputOf(String),
    MembersOf(String),
    Background(String),
}

/// Makes the marker of a comment from the text after its first words.
type Form = fn(String) -> Marker;

/// The languages that a block may have: a block in an unknown language could hide commands.
const LANGUAGES: [&str; 12] = [
    "",
    "text",
    "sh",
    "json",
    "toml",
    "yaml",
    "ini",
    "properties",
    "kusto",
    "promql",
    "python",
    "mermaid",
];

/// Whether the blocks of a part of the page are skipped, and why.
#[derive(Default)]
struct LeftOut {
    page: Option<String>,
    /// The reason, and the depth of the heading; 0 until the heading has been read.
    section: Option<(String, usize)>,
}

struct Reader {
    page: Page,
    marker: Option<(usize, Marker, String)>,
    left_out: LeftOut,
    /// Whether the previous block was run, so that a plain block is its output.
    has_output: bool,
}

struct Block {
    line: usize,
    language: String,
    text: String,
}

impl Page {
    pub(super) fn parse(name: &str, text: &str) -> Self {
        let mut reader = Reader {
            page: Self {
                name: name.to_owned(),
                steps: Vec::new(),
                left_out: Vec::new(),
                faults: Vec::new(),
            },
            marker: None,
            left_out: LeftOut::default(),
            has_output: false,
        };
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        while let Some((at, line)) = lines.next() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                let indent = line.len() - line.trim_start().len();
                let inside = lines.by_ref().take_while(|(_, line)| line.trim() != "```");
                let text = inside
                    .map(|(_, line)| format!("{}\n", line.get(indent..).unwrap_or_default()))
                    .collect();
                reader.block(Block {
                    line: at,
                    language: language.trim().to_owned(),
                    text,
                });
            } else if let Some(comment) = line.trim_start().strip_prefix("<!-- walkthrough:") {
                let mut whole = comment.to_owned();
                while !whole.contains("-->") {
                    let Some((_, line)) = lines.next() else { break };
                    whole = whole + "\n" + line;
                }
                reader.comment(at, whole.trim_end().trim_end_matches("-->").trim());
            } else if line.starts_with('#') {
                reader.heading(line.bytes().take_while(|byte| *byte == b'#').count());
            } else if !line.trim().is_empty() {
                reader.expect_no_pending_marker();
            }
        }
        reader.expect_no_pending_marker();
        reader.page
    }
}

impl Reader {
    fn fault(&mut self, line: usize, message: &str) {
        self.page.faults.push(format!("{}:{line}: {message}", self.page.name));
    }

    fn step(&mut self, line: usize, act: Act) {
        self.page.steps.push(Step { line, act });
    }

    fn expect_no_pending_marker(&mut self) {
        if let Some((line, ..)) = self.marker.take() {
            self.fault(line, "this comment belongs to no block");
        }
    }

    fn heading(&mut self, depth: usize) {
        match (&mut self.left_out.section, self.marker.take()) {
            (section, Some((_, Marker::SectionNotRun, reason))) => *section = Some((reason, depth)),
            (section, pending) => {
                if section.as_ref().is_some_and(|(_, begun)| depth <= *begun) {
                    *section = None;
                }
                self.marker = pending;
                self.expect_no_pending_marker();
            }
        }
    }

    fn comment(&mut self, line: usize, text: &str) {
        self.expect_no_pending_marker();
        let with = |prefix: &str| text.strip_prefix(prefix).map(|rest| rest.trim().to_owned());
        if let Some(rest) = with("before,") {
            match rest.split_once(":\n") {
                Some((reason, commands)) if !reason.is_empty() => self.step(line, Act::Run(format!("{commands}\n"))),
                _ => self.fault(line, "`before, REASON:` and the commands on lines of their own are expected"),
            }
            self.has_output = false;
            return;
        }
        let forms: [(&str, Form); 8] = [
            ("not run:", |_| Marker::NotRun),
            ("section not run:", |_| Marker::SectionNotRun),
            ("page not run:", |_| Marker::PageNotRun),
            ("example:", |_| Marker::Example),
            ("file ", Marker::File),
            ("output of:", Marker::OutputOf),
            ("members of:", Marker::MembersOf),
            ("in the background until:", Marker::Background),
        ];
        let found = forms.iter().find_map(|(prefix, marker)| Some((with(prefix)?, marker)));
        match found {
            Some((rest, marker)) if !rest.is_empty() => match marker(rest.clone()) {
                Marker::PageNotRun => self.left_out.page = Some(rest),
                marker => self.marker = Some((line, marker, rest)),
            },
            Some(_) => self.fault(line, "the comment must contain a reason, a name or a command"),
            None => self.fault(line, "the comment is none of those that tests/e2e/walkthrough/page.rs knows"),
        }
    }

    fn block(&mut self, block: Block) {
        let marker = self.marker.take();
        let line = block.line;
        if !LANGUAGES.contains(&block.language.as_str()) {
            self.fault(
                line,
                &format!("blocks of {} are not known: commands are `sh`", block.language),
            );
            return;
        }
        let is_sh = block.language == "sh";
        let expected = || match block.language.as_str() {
            "json" => Expected::Json(block.text.clone()),
            _ => Expected::Text(block.text.clone()),
        };
        match marker {
            Some((_, Marker::NotRun, reason)) if is_sh => self.leave_out(line, &reason),
            Some((_, Marker::Background(ready), _)) if is_sh => {
                let (first, last) = last_command(&block.text);
                self.step(line, Act::Background { first, last, ready });
                self.has_output = true;
            }
            Some((_, Marker::Example, reason)) if !is_sh => self.leave_out(line, &reason),
            Some((_, Marker::File(name), _)) if !is_sh => {
                let content = block.text;
                self.step(line, Act::Write { name, content });
            }
            Some((_, Marker::OutputOf(command), _)) if !is_sh => {
                let command = Some(command);
                self.step(
                    line,
                    Act::Compare {
                        expected: expected(),
                        command,
                    },
                );
            }
            Some((_, Marker::MembersOf(command), _)) if block.language == "json" => {
                let (expected, command) = (Expected::Members(block.text), Some(command));
                self.step(line, Act::Compare { expected, command });
            }
            Some(_) => self.fault(line, "the comment above does not belong to such a block"),
            None if is_sh => match self.why_left_out() {
                Some(reason) => self.leave_out(line, &reason),
                None => {
                    self.step(line, Act::Run(block.text));
                    self.has_output = true;
                }
            },
            None if matches!(block.language.as_str(), "" | "text") && self.has_output => {
                self.step(
                    line,
                    Act::Compare {
                        expected: expected(),
                        command: None,
                    },
                );
            }
            None => {}
        }
    }

    fn why_left_out(&self) -> Option<String> {
        let section = self.left_out.section.as_ref().map(|(reason, _)| reason);
        self.left_out.page.as_ref().or(section).cloned()
    }

    fn leave_out(&mut self, line: usize, reason: &str) {
        self.has_output = false;
        self.page.left_out.push(format!("{}:{line}: {reason}", self.page.name));
    }
}

/// Returns the commands before the last line that is not empty, and that line without its trailing remark.
fn last_command(text: &str) -> (String, String) {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let (last, first) = lines.split_last().unwrap_or((&"", &[]));
    let first = first.iter().map(|line| format!("{line}\n")).collect();
    (first, last.split(" #").next().unwrap_or_default().trim().to_owned())
}
