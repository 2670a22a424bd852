use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::Error;
use crate::source::file::FilePosition;

/// The maximum number of input files that are kept open to be read again. Rows of further files are copied.
const MAX_OPEN_FILES: usize = 128;

/// The position of a row. The state contains it in place of the row, so that no rows are in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RowPosition {
    offset: u64,
    file: u32,
    length: u32,
    /// The CRC-32 of the row, which detects that the row has changed when it is read again.
    checksum: u32,
}

impl RowPosition {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            &self.offset.to_be_bytes(),
            &self.file.to_be_bytes(),
            &self.length.to_be_bytes(),
            &self.checksum.to_be_bytes(),
        ];
        parts.concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (file, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        Some(Self {
            offset: u64::from_be_bytes(*offset),
            file: u32::from_be_bytes(*file),
            length: u32::from_be_bytes(*length),
            checksum: u32::from_be_bytes(*rest.first_chunk()?),
        })
    }

    pub(super) fn length(self) -> usize {
        self.length as usize
    }

    /// Returns the position of `row`, which is at `offset` of a file. A row is never longer than 4 GiB.
    fn new(row: &[u8], file: u32, offset: u64) -> Self {
        Self {
            offset,
            file,
            length: u32::try_from(row.len()).unwrap_or(u32::MAX),
            checksum: crc32fast::hash(row),
        }
    }
}

/// The files in which rows are read again, by any thread.
#[derive(Default)]
pub(super) struct RowFiles(RwLock<Vec<RowFile>>);

#[derive(Clone)]
struct RowFile {
    name: Arc<str>,
    file: Arc<File>,
}

impl RowFiles {
    /// Reads the row at `position` into `row`, and replaces its previous content.
    pub(super) fn read(&self, position: RowPosition, row: &mut Vec<u8>) -> Result<(), Error> {
        let files = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let file = files.get(position.file as usize).ok_or(Error::Thread)?;
        row.resize(position.length(), 0);
        file.file.read_exact_at(row, position.offset).map_err(|cause| Error::Again {
            file: file.name.to_string(),
            cause,
        })?;
        match crc32fast::hash(row) == position.checksum {
            true => Ok(()),
            false => Err(Error::Changed(file.name.to_string())),
        }
    }

    fn add(&self, file: RowFile) -> u32 {
        let mut files = self.0.write().unwrap_or_else(PoisonError::into_inner);
        files.push(file);
        u32::try_from(files.len() - 1).unwrap_or(u32::MAX)
    }
}

/// Determines the positions of rows, and copies rows that can be read only once to a temporary file.
pub(super) struct RowLocator {
    pub(super) rows: Arc<RowFiles>,
    folder: PathBuf,
    /// The input file that was used last, and its number.
    last: Option<(Arc<File>, u32)>,
    inputs: usize,
    copies: Option<Copies>,
}

struct Copies {
    file: BufWriter<File>,
    number: u32,
    length: u64,
}

impl RowLocator {
    /// Returns a locator that creates its temporary file in `folder` if it needs one.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            rows: Arc::default(),
            folder,
            last: None,
            inputs: 0,
            copies: None,
        }
    }

    /// Returns the position of `row`, which is `within` bytes after `file_position` in the file of this name; `None` if
    /// the row must be copied.
    pub(super) fn locate(
        &mut self,
        name: &Arc<str>,
        file_position: &FilePosition,
        within: usize,
        row: &[u8],
    ) -> Option<RowPosition> {
        let number = match &self.last {
            Some((file, number)) if Arc::ptr_eq(file, &file_position.file) => *number,
            _ if self.inputs == MAX_OPEN_FILES => return None,
            _ => {
                let number = self.rows.add(RowFile {
                    name: name.clone(),
                    file: file_position.file.clone(),
                });
                self.inputs += 1;
                self.last = Some((file_position.file.clone(), number));
                number
            }
        };
        Some(RowPosition::new(row, number, file_position.offset + within as u64))
    }

    /// Copies a row to the temporary file, and returns its position there.
    pub(super) fn copy(&mut self, row: &[u8]) -> Result<RowPosition, Error> {
        self.append(row).map_err(Error::Copies)
    }

    fn append(&mut self, row: &[u8]) -> io::Result<RowPosition> {
        let copies = match &mut self.copies {
            Some(copies) => copies,
            none => {
                let file = tempfile::tempfile_in(&self.folder)?;
                let number = self.rows.add(RowFile {
                    name: "the copies of rows".into(),
                    file: Arc::new(file.try_clone()?),
                });
                none.insert(Copies {
                    file: BufWriter::with_capacity(1 << 18, file),
                    number,
                    length: 0,
                })
            }
        };
        copies.file.write_all(row)?;
        let position = RowPosition::new(row, copies.number, copies.length);
        copies.length += row.len() as u64;
        Ok(position)
    }

    /// Writes buffered copies to the temporary file. Call this before rows are read again.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        match &mut self.copies {
            Some(copies) => copies.file.flush().map_err(Error::Copies),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_at_its_position() {
        let input = tempfile::NamedTempFile::new().unwrap();
        input.as_file().write_all(b"0123456789").unwrap();
        let file_position = FilePosition {
            file: Arc::new(input.reopen().unwrap()),
            offset: 3,
        };
        let folder = tempfile::tempdir().unwrap();
        let mut locator = RowLocator::new(folder.path().to_owned());
        let name: Arc<str> = "in".into();
        let positions = [
            locator.locate(&name, &file_position, 1, b"456").unwrap(),
            locator.copy(b"abc").unwrap(),
            locator.copy(b"").unwrap(),
            locator.locate(&name, &file_position, 0, b"34").unwrap(),
            locator.copy(b"de").unwrap(),
        ];
        locator.flush().unwrap();
        let mut row = vec![1; 100];
        for (position, expected) in positions.into_iter().zip(["456", "abc", "", "34", "de"]) {
            let stored = RowPosition::from_bytes(&position.to_bytes()).unwrap();
            locator.rows.read(stored, &mut row).unwrap();
            assert_eq!(row, expected.as_bytes());
        }
        assert_eq!(RowPosition::from_bytes(&[0; 19]), None);
        let after_end = locator.locate(&name, &file_position, 6, b"9_").unwrap();
        let error = locator.rows.read(after_end, &mut row).unwrap_err().to_string();
        assert!(error.starts_with("cannot read in again: "), "{error}");
        let other = locator.locate(&name, &file_position, 2, b"57").unwrap();
        let error = locator.rows.read(other, &mut row).unwrap_err().to_string();
        assert!(error.starts_with("in was changed while it was read"), "{error}");
    }

    #[test]
    fn the_number_of_open_files_is_limited() {
        let input = tempfile::NamedTempFile::new().unwrap();
        let mut locator = RowLocator::new(std::env::temp_dir());
        let mut locate = || {
            let file = Arc::new(input.reopen().unwrap());
            locator.locate(&"in".into(), &FilePosition { file, offset: 0 }, 0, b"")
        };
        let located = (0..MAX_OPEN_FILES + 3).filter_map(|_| locate()).count();
        assert_eq!(located, MAX_OPEN_FILES);
    }
}
