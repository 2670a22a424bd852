use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::Error;
use crate::source::file::FilePosition;

/// The greatest number of input files that are kept open to be read again. Rows of further files are copied.
const MOST_FILES: usize = 128;

/// The position of a row. The state contains it in place of the row, so that no rows are in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spot {
    offset: u64,
    file: u32,
    length: u32,
    /// The CRC-32 of the row, which detects that the row has changed when it is read again.
    check: u32,
}

impl Spot {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            &self.offset.to_be_bytes(),
            &self.file.to_be_bytes(),
            &self.length.to_be_bytes(),
            &self.check.to_be_bytes(),
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
            check: u32::from_be_bytes(*rest.first_chunk()?),
        })
    }

    pub(super) fn length(self) -> usize {
        self.length as usize
    }

    /// Returns the position of `row`, which is at `offset` of a file. A row is never longer than 4 GiB.
    fn of(row: &[u8], file: u32, offset: u64) -> Self {
        Self {
            offset,
            file,
            length: u32::try_from(row.len()).unwrap_or(u32::MAX),
            check: crc32fast::hash(row),
        }
    }
}

/// The files in which rows are read again, by any thread.
#[derive(Default)]
pub(super) struct Rows(RwLock<Vec<Kept>>);

#[derive(Clone)]
struct Kept {
    name: Arc<str>,
    file: Arc<File>,
}

impl Rows {
    /// Reads the row at `spot` into `row`, and replaces its previous content.
    pub(super) fn read(&self, spot: Spot, row: &mut Vec<u8>) -> Result<(), Error> {
        let files = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let kept = files.get(spot.file as usize).ok_or(Error::Thread)?;
        row.resize(spot.length(), 0);
        kept.file.read_exact_at(row, spot.offset).map_err(|cause| Error::Again {
            file: kept.name.to_string(),
            cause,
        })?;
        match crc32fast::hash(row) == spot.check {
            true => Ok(()),
            false => Err(Error::Changed(kept.name.to_string())),
        }
    }

    fn add(&self, kept: Kept) -> u32 {
        let mut files = self.0.write().unwrap_or_else(PoisonError::into_inner);
        files.push(kept);
        u32::try_from(files.len() - 1).unwrap_or(u32::MAX)
    }
}

/// Determines the positions of rows, and copies rows that can be read only once to a temporary file.
pub(super) struct Keeper {
    pub(super) rows: Arc<Rows>,
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

impl Keeper {
    /// Returns a keeper that creates its temporary file in `folder` if it needs one.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            rows: Arc::default(),
            folder,
            last: None,
            inputs: 0,
            copies: None,
        }
    }

    /// Returns the position of `row`, which is `within` bytes after `place` in the file of this name; `None` if the row
    /// must be copied.
    pub(super) fn spot(&mut self, name: &Arc<str>, place: &FilePosition, within: usize, row: &[u8]) -> Option<Spot> {
        let number = match &self.last {
            Some((file, number)) if Arc::ptr_eq(file, &place.file) => *number,
            _ if self.inputs == MOST_FILES => return None,
            _ => {
                let number = self.rows.add(Kept {
                    name: name.clone(),
                    file: place.file.clone(),
                });
                self.inputs += 1;
                self.last = Some((place.file.clone(), number));
                number
            }
        };
        Some(Spot::of(row, number, place.offset + within as u64))
    }

    /// Copies a row to the temporary file, and returns its position there.
    pub(super) fn copy(&mut self, row: &[u8]) -> Result<Spot, Error> {
        self.append(row).map_err(Error::Copies)
    }

    fn append(&mut self, row: &[u8]) -> io::Result<Spot> {
        let copies = match &mut self.copies {
            Some(copies) => copies,
            none => {
                let file = tempfile::tempfile_in(&self.folder)?;
                let number = self.rows.add(Kept {
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
        let spot = Spot::of(row, copies.number, copies.length);
        copies.length += row.len() as u64;
        Ok(spot)
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
    fn a_row_is_read_where_it_stands() {
        let input = tempfile::NamedTempFile::new().unwrap();
        input.as_file().write_all(b"0123456789").unwrap();
        let place = FilePosition {
            file: Arc::new(input.reopen().unwrap()),
            offset: 3,
        };
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(folder.path().to_owned());
        let name: Arc<str> = "in".into();
        let spots = [
            keeper.spot(&name, &place, 1, b"456").unwrap(),
            keeper.copy(b"abc").unwrap(),
            keeper.copy(b"").unwrap(),
            keeper.spot(&name, &place, 0, b"34").unwrap(),
            keeper.copy(b"de").unwrap(),
        ];
        keeper.flush().unwrap();
        let mut row = vec![1; 100];
        for (spot, expected) in spots.into_iter().zip(["456", "abc", "", "34", "de"]) {
            let stored = Spot::from_bytes(&spot.to_bytes()).unwrap();
            keeper.rows.read(stored, &mut row).unwrap();
            assert_eq!(row, expected.as_bytes());
        }
        assert_eq!(Spot::from_bytes(&[0; 19]), None);
        let behind = keeper.spot(&name, &place, 6, b"9_").unwrap();
        let error = keeper.rows.read(behind, &mut row).unwrap_err().to_string();
        assert!(error.starts_with("cannot read in again: "), "{error}");
        let other = keeper.spot(&name, &place, 2, b"57").unwrap();
        let error = keeper.rows.read(other, &mut row).unwrap_err().to_string();
        assert!(error.starts_with("in was changed while it was read"), "{error}");
    }

    #[test]
    fn only_so_many_files_stay_open() {
        let input = tempfile::NamedTempFile::new().unwrap();
        let mut keeper = Keeper::new(std::env::temp_dir());
        let mut spot = || {
            let file = Arc::new(input.reopen().unwrap());
            keeper.spot(&"in".into(), &FilePosition { file, offset: 0 }, 0, b"")
        };
        let kept = (0..MOST_FILES + 3).filter_map(|_| spot()).count();
        assert_eq!(kept, MOST_FILES);
    }
}
