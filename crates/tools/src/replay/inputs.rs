//! Reads the messages of several files in the order in which they are replayed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::shift::is_a_time;
use crate::decode::{Decoded, Decoder, Settings};
use crate::source::CaptureFormat;
use crate::source::file::{Chunk, Error, FileSource};
use crate::source::folder::{self, Times};
use crate::source::limit::Rest;
use crate::term::{Failure, eprint_line};
use crate::time::EventTime;
use crate::words::counted;

/// The order of the messages of several files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// One file after another, in the order given.
    AsNamed,
    /// By time, and within a file in its own order, so that files that were recorded at the same time are replayed at
    /// the same time. A message without a time comes right after the message before it in its file.
    ByTime,
}

/// The property of a file that is determined before the replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preview {
    /// Nothing: the file is opened when its first message is needed.
    None,
    /// Its first time, if that is in the first megabyte.
    FirstTimes,
}

/// Wraps the reader of a file's raw bytes, to measure progress.
pub type Watch = Box<dyn Fn(Box<dyn Read + Send>) -> Box<dyn Read + Send> + Send>;

/// A message in a file.
#[derive(Debug)]
pub struct InputMessage<'a> {
    /// The file's name.
    pub file: &'a Arc<str>,
    /// The number of the line or document within the file, from 0.
    pub number: i64,
    /// The message.
    pub value: &'a [u8],
    /// The number of its records; 1 if it cannot be decoded.
    pub records: u64,
    /// The latest time of its records.
    pub time: Option<EventTime>,
}

/// Files of messages, read from the beginning as often as needed.
pub struct Inputs {
    files: Vec<InputFile>,
    order: Order,
    meter: Meter,
    watch: Watch,
    /// The files that have more messages. The file with the earliest time is the next one.
    queue: BinaryHeap<Reverse<(EventTime, usize)>>,
    /// The file whose message was returned last.
    current: Option<usize>,
}

/// Counts the records of messages and finds their times.
pub struct Meter {
    decoder: Decoder,
    /// Files that end in the middle of a record that is still being written.
    unfinished: BTreeSet<Arc<str>>,
}

struct InputFile {
    path: PathBuf,
    first: Option<EventTime>,
    open: Option<OpenFile>,
}

/// A file that is being read, at a message.
struct OpenFile {
    source: FileSource,
    chunk: Chunk,
    message_index: usize,
    records: u64,
    time: Option<EventTime>,
    /// The last time found.
    latest: Option<EventTime>,
}

impl Inputs {
    /// Opens these files for reading in this order. `settings` define where times are.
    pub fn open(paths: &[PathBuf], settings: &Settings, order: Order, preview: Preview, watch: Watch) -> Result<Self, Error> {
        let mut inputs = Self {
            files: Vec::with_capacity(paths.len()),
            order,
            meter: Meter::new(settings),
            watch,
            queue: BinaryHeap::new(),
            current: None,
        };
        for path in paths {
            let mut file = InputFile {
                path: path.clone(),
                first: None,
                open: None,
            };
            if preview == Preview::FirstTimes || order == Order::ByTime {
                inputs.read_first_time(&mut file)?;
            }
            inputs.files.push(file);
        }
        inputs.enqueue_files();
        Ok(inputs)
    }

    /// Returns the earliest first time of all files for which it was determined.
    pub fn first_time(&self) -> Option<EventTime> {
        self.files.iter().filter_map(|file| file.first).min()
    }

    /// Returns the files read so far that end in the middle of a record that is still being written. That record is not
    /// replayed.
    pub fn unfinished(&self) -> impl Iterator<Item = &str> {
        self.meter.unfinished.iter().map(AsRef::as_ref)
    }

    /// Returns to the first message. Standard input cannot be read again.
    pub fn rewind(&mut self) {
        self.files.iter_mut().for_each(|file| file.open = None);
        self.enqueue_files();
    }

    fn enqueue_files(&mut self) {
        self.current = None;
        self.queue = (0..self.files.len())
            .map(|index| Reverse((self.sort_time(index), index)))
            .collect();
    }

    /// Returns the next message, or `None` at the end.
    pub fn next_message(&mut self) -> Result<Option<InputMessage<'_>>, Error> {
        if let Some(index) = self.current.take() {
            let file = &mut self.files[index];
            if let Some(open) = &mut file.open {
                open.message_index += 1;
                if !open.load_message(&mut self.meter)? {
                    file.open = None;
                }
            }
            if self.files[index].open.is_some() {
                self.queue.push(Reverse((self.sort_time(index), index)));
            }
        }
        while let Some(Reverse((_, index))) = self.queue.pop() {
            let file = &mut self.files[index];
            if file.open.is_none() {
                let source = FileSource::open(&file.path, &self.watch)?;
                file.open = OpenFile::begin(source, &mut self.meter)?;
            }
            if file.open.is_some() {
                self.current = Some(index);
                break;
            }
        }
        let open = self.current.and_then(|index| self.files[index].open.as_ref());
        Ok(open.and_then(OpenFile::message))
    }

    /// Returns the time by which the file is ordered, or [`EventTime::MIN`] if it is not known.
    fn sort_time(&self, index: usize) -> EventTime {
        let file = &self.files[index];
        let time = match (self.order, &file.open) {
            (Order::AsNamed, _) => None,
            (Order::ByTime, None) => file.first,
            (Order::ByTime, Some(open)) => open.time.or(open.latest),
        };
        time.unwrap_or(EventTime::MIN)
    }

    fn read_first_time(&mut self, file: &mut InputFile) -> Result<(), Error> {
        let is_standard_input = file.path == Path::new("-");
        let source = match is_standard_input {
            true => FileSource::open(&file.path, &self.watch)?,
            false => FileSource::open(&file.path, |raw| raw)?,
        };
        let Some(open) = OpenFile::begin(source, &mut self.meter)? else {
            return Ok(());
        };
        let messages = open.chunk.messages();
        let meter = &mut self.meter;
        file.first = messages.map(|(_, value)| meter.measure(value).1).find_map(|time| time);
        // Bytes that were read from standard input cannot be read again.
        if is_standard_input {
            file.open = Some(open);
        }
        Ok(())
    }
}

impl OpenFile {
    /// Moves to the first message. Returns `None` for an empty file.
    fn begin(mut source: FileSource, meter: &mut Meter) -> Result<Option<Self>, Error> {
        let Some(chunk) = source.next_chunk()? else {
            return Ok(None);
        };
        let mut open = Self {
            source,
            chunk,
            message_index: 0,
            records: 0,
            time: None,
            latest: None,
        };
        Ok(open.load_message(meter)?.then_some(open))
    }

    /// Measures the message at the current index, after it has read the next chunk if necessary. Returns whether there
    /// is a message.
    fn load_message(&mut self, meter: &mut Meter) -> Result<bool, Error> {
        loop {
            if let Some((_, value)) = self.chunk.message(self.message_index) {
                (self.records, self.time) = meter.measure(value);
                self.latest = self.time.or(self.latest);
                return Ok(true);
            }
            match self.chunk.rest() {
                None => {}
                Some((_, Rest::Unfinished)) => drop(meter.unfinished.insert(self.chunk.file.clone())),
                Some((number, Rest::TooLong(long))) => {
                    let cause = format!("message {} cannot be sent: {}", number + 1, long.sentence());
                    return Err(Error::new(Path::new(&*self.chunk.file), cause));
                }
            }
            match self.source.next_chunk()? {
                Some(chunk) => (self.chunk, self.message_index) = (chunk, 0),
                None => return Ok(false),
            }
        }
    }

    fn message(&self) -> Option<InputMessage<'_>> {
        let (number, value) = self.chunk.message(self.message_index)?;
        Some(InputMessage {
            file: &self.chunk.file,
            number,
            value,
            records: self.records,
            time: self.time,
        })
    }
}

impl Meter {
    /// Creates a meter that looks for times where `settings` define them.
    pub fn new(settings: &Settings) -> Self {
        // Without keys, the content of activities is not read.
        let settings = Settings {
            activity_key: Vec::new(),
            tenants: None,
            ..settings.clone()
        };
        Self {
            decoder: Decoder::new(settings),
            unfinished: BTreeSet::new(),
        }
    }

    /// Returns the number of records of a message, and the latest of their times.
    pub fn measure(&mut self, value: &[u8]) -> (u64, Option<EventTime>) {
        let (mut records, mut latest) = (0, None);
        self.decoder.decode(Some(value), &mut |item| {
            records += 1;
            let time = match item.what {
                Decoded::Activity(activity) => Some(activity.time),
                Decoded::Unkeyed { time } | Decoded::Unreadable { time } => time,
                Decoded::Alert(alert) => Some(alert.version.time_generated),
                Decoded::OtherTable(_) | Decoded::Ignored | Decoded::Tombstone | Decoded::Rejected(_) => None,
            };
            latest = latest.max(time.filter(|time| is_a_time(*time)));
        });
        (records, latest)
    }
}

/// Returns the given files, and those in the given folders. `settings` define where the times of records are.
pub fn input_files(named: &[PathBuf], format: Option<&CaptureFormat>, settings: &Settings) -> Result<Vec<PathBuf>, Failure> {
    let mut meter = Meter::new(settings);
    let message_time = &mut |message: &[u8]| Some(meter.measure(message).1?.to_string());
    let found = folder::find_files(named, Times { format, message_time }).map_err(Failure::failed)?;
    if found.skipped > 0 {
        eprint_line(&format!(
            "skipped {} in the folders: {} of messages",
            counted(found.skipped, "file"),
            match found.skipped {
                1 => "its file name extension is not one",
                _ => "their file name extensions are not those",
            }
        ));
    }
    found
        .warnings
        .iter()
        .for_each(|warning| eprint_line(&format!("warning: {warning}")));
    Ok(found.paths)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &[u8])]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, content) in files {
                std::fs::write(folder.path().join(name), content).unwrap();
            }
            Self(folder)
        }

        fn inputs(&self, names: &[&str], order: Order, preview: Preview) -> Inputs {
            let paths: Vec<PathBuf> = names.iter().map(|name| self.0.path().join(name)).collect();
            Inputs::open(&paths, &Settings::default(), order, preview, Box::new(|raw| raw)).unwrap()
        }
    }

    fn activity(minute: u32, note: &str) -> String {
        format!(
            "{{\"n\":\"{note}\",\"RawEventData\":{{\"CreationTime\":\"2026-03-01T10:{minute:02}:00\",\"Data\":{{\"cid\":\"x\"}}}}}}\n"
        )
    }

    /// Returns the notes of all messages, `-` for those without one.
    fn notes(inputs: &mut Inputs) -> String {
        let mut notes = String::new();
        while let Some(found) = inputs.next_message().unwrap() {
            let value: serde_json::Value = serde_json::from_slice(found.value).unwrap_or_default();
            write!(notes, "{}", value["n"].as_str().unwrap_or("-")).unwrap();
        }
        notes
    }

    #[test]
    fn files_are_read_in_sequence_or_merged() {
        let one = [
            activity(0, "a"),
            "{\"n\":\"b\"}\n".to_owned(),
            activity(2, "c"),
            activity(1, "d"),
        ]
        .concat();
        let two = [activity(1, "A"), "broken\n\n".to_owned(), activity(3, "B")].concat();
        let folder = Folder::new(&[("one", one.as_bytes()), ("two", two.as_bytes()), ("none", b"")]);
        let mut named = folder.inputs(&["two", "none", "one"], Order::AsNamed, Preview::None);
        assert_eq!(named.first_time(), None);
        assert_eq!(notes(&mut named), "A-Babcd");
        named.rewind();
        assert_eq!(notes(&mut named), "A-Babcd", "again");
        let mut timed = folder.inputs(&["two", "none", "one"], Order::ByTime, Preview::None);
        assert_eq!(timed.first_time().unwrap().to_string(), "2026-03-01T10:00:00.0000000Z");
        assert_eq!(notes(&mut timed), "abA-cdB");
        timed.rewind();
        assert_eq!(notes(&mut timed), "abA-cdB", "again");
    }

    #[test]
    fn a_rewind_in_the_middle_starts_over() {
        let text: String = (0..50).map(|minute| activity(minute, "x")).collect();
        let folder = Folder::new(&[("one", text.as_bytes())]);
        let mut inputs = folder.inputs(&["one"], Order::AsNamed, Preview::FirstTimes);
        for _ in 0..7 {
            assert!(inputs.next_message().unwrap().is_some());
        }
        inputs.rewind();
        assert_eq!(notes(&mut inputs).len(), 50);
        assert!(inputs.next_message().unwrap().is_none());
    }

    #[test]
    fn a_message_is_measured() {
        let alert = r#"{"SystemAlertId":"i","TimeGenerated":"2026-03-01T12:00:00Z","StartTime":"2026-03-01T10:00:00Z","EndTime":"2026-03-01T11:00:00Z"}"#;
        let none = r#"{"RawEventData":{"CreationTime":"0001-01-01T00:00:00"}}"#;
        let batch = format!("[{},{alert},7,{none}]", activity(1, "x").trim());
        let folder = Folder::new(&[("one", format!("{alert}\n{batch}\n[]\nno\n{none}\n").as_bytes())]);
        let mut inputs = folder.inputs(&["one"], Order::AsNamed, Preview::None);
        let mut found = Vec::new();
        while let Some(message) = inputs.next_message().unwrap() {
            let time = message.time.map(|time| time.to_string()[11..16].to_owned());
            found.push((message.number, message.records, time));
        }
        let noon = Some("12:00".to_owned());
        assert_eq!(
            found,
            [(0, 1, noon.clone()), (1, 4, noon), (2, 0, None), (3, 1, None), (4, 1, None)]
        );
    }

    #[test]
    fn files_longer_than_a_chunk_are_replayed_completely() {
        let text: String = (0..60_000).map(|number| activity(number / 1_000, "x")).collect();
        assert!(text.len() > 3 << 20);
        let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let folder = Folder::new(&[("plain", text.as_bytes()), ("packed", &packed)]);
        let mut inputs = folder.inputs(&["plain", "packed"], Order::ByTime, Preview::None);
        let mut latest = EventTime::MIN;
        let mut count = 0;
        while let Some(found) = inputs.next_message().unwrap() {
            assert!(found.time.unwrap() >= latest);
            latest = found.time.unwrap();
            count += 1;
        }
        assert_eq!(count, 120_000);
    }

    #[test]
    fn a_missing_file_is_named() {
        let open = |preview| {
            let paths = [PathBuf::from("/no/such")];
            Inputs::open(&paths, &Settings::default(), Order::AsNamed, preview, Box::new(|raw| raw))
        };
        let text = open(Preview::FirstTimes).err().unwrap().to_string();
        assert!(text.starts_with("cannot read /no/such: "), "{text}");
        assert!(open(Preview::None).unwrap().next_message().is_err());
    }

    #[test]
    fn an_incomplete_last_record_is_not_replayed() {
        let whole = activity(1, "a");
        let folder = Folder::new(&[
            ("PT1H.json", (whole.clone() + &whole[..60]).as_bytes()),
            ("one", activity(2, "b").as_bytes()),
        ]);
        let mut inputs = folder.inputs(&["PT1H.json", "one"], Order::AsNamed, Preview::FirstTimes);
        assert_eq!(notes(&mut inputs), "ab");
        let unfinished: Vec<&str> = inputs.unfinished().collect();
        assert_eq!(unfinished, [folder.0.path().join("PT1H.json").to_str().unwrap()]);
    }

    #[test]
    fn a_record_over_the_limit_ends_the_replay_after_the_records_before_it() {
        let long = [
            activity(1, "a").into_bytes(),
            vec![b'x'; crate::source::limit::MAX_RECORD_BYTES + 1],
        ]
        .concat();
        let folder = Folder::new(&[("one", &long)]);
        let mut inputs = folder.inputs(&["one"], Order::AsNamed, Preview::None);
        assert_eq!(inputs.next_message().unwrap().unwrap().number, 0);
        let error = inputs.next_message().unwrap_err().to_string();
        assert!(
            error.contains("message 2 cannot be sent: the record has 67108865 bytes"),
            "{error}"
        );
    }
}
