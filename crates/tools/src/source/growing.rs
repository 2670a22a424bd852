//! Files that are still being written.

use std::path::Path;

use serde::de::IgnoredAny;

/// The way in which a file is written, judging by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Growth {
    /// Unknown; the file counts as complete.
    Unknown,
    /// An export to storage appends to the file for an hour, or for the time in its name.
    ByAppending,
}

impl Growth {
    /// Recognises `PT1H.json` and other ISO 8601 durations.
    pub(super) fn from_file_name(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
        let time = name.strip_prefix("PT").and_then(|name| name.strip_suffix(".JSON"));
        let number = time.and_then(|time| time.strip_suffix(['H', 'M']));
        match number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())) {
            true => Self::ByAppending,
            false => Self::Unknown,
        }
    }
}

/// Returns whether a line without a line end stops in the middle of a record.
pub(super) fn is_unfinished(line: &[u8]) -> bool {
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        // The line may stop in the middle of a character.
        Err(error) if error.error_len().is_none() => {
            let whole = line.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.trim_ascii().is_empty() && serde_json::from_str::<IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::FileSource;
    use crate::source::limit::Rest;

    #[test]
    fn a_growing_file_is_recognized_by_its_name() {
        for name in ["PT1H.json", "h=08/m=00/PT1H.json", "pt15m.json"] {
            assert_eq!(Growth::from_file_name(Path::new(name)), Growth::ByAppending, "{name}");
        }
        for name in ["PT1H.json.gz", "a.json", "PT1H.jsonl", "PTH.json", "PT1H/a.json", "-"] {
            assert_eq!(Growth::from_file_name(Path::new(name)), Growth::Unknown, "{name}");
        }
    }

    #[test]
    fn only_a_truncated_record_is_unfinished() {
        let with_accent = "{\"a\":\"\u{e9}".as_bytes();
        for line in [
            b"{".as_slice(),
            b"{\"a\":",
            b" {\"a\":[1,",
            with_accent,
            &with_accent[..with_accent.len() - 1],
        ] {
            assert!(is_unfinished(line), "{line:?}");
        }
        for line in [b"{}".as_slice(), b"", b" \r", b"{\"a\":x", b"broken", b"\xff", b"{} {", b"1"] {
            assert!(!is_unfinished(line), "{line:?}");
        }
    }

    #[test]
    fn the_unfinished_last_line_of_the_current_hour_is_not_a_message() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let mut source = FileSource::open(&path, |raw| raw).unwrap();
            let (mut messages, mut rest) = (0, None);
            while let Some(chunk) = source.next_chunk().unwrap() {
                messages += chunk.messages().count();
                rest = chunk.rest().map(|(number, rest)| (number, rest.clone()));
            }
            (messages, rest)
        };
        let unfinished = |number| Some((number, Rest::Unfinished));
        assert_eq!(read("PT1H.json", "{}\r\n{}\r\n{\"a\":"), (2, unfinished(2)));
        assert_eq!(read("PT1H.json", "{\"a\":"), (0, unfinished(0)));
        assert_eq!(
            read("PT1H.json", "{}\n{}"),
            (2, None),
            "a record without a line end is complete"
        );
        assert_eq!(
            read("PT1H.json", "{}\n{\"a\":\n"),
            (2, None),
            "a line that was ended is complete"
        );
        assert_eq!(read("other.json", "{}\n{\"a\":"), (2, None));
    }
}
