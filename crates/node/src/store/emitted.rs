//! Records how far this instance has sent the output of a partition.
//!
//! The state on disk is that of the last flush, which may be minutes old. This file is written after every delivery.
//! So after a kill, the process recomputes what is missing in its state, but does not resend an output that it knew to
//! be sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::checksum::{append_checksum, verify_checksum};

/// The file in a partition's folder.
const EMITTED_FILE: &str = "EMITTED";
/// The length of the content without its checksum: three numbers and a digest, each of 8 bytes.
const LENGTH: usize = 4 * 8;

/// The file with the position of the output. It is not synced: once written, the operating system keeps it, so it
/// survives the process. After a power failure it may be older, or unreadable and ignored. Then the outputs that it
/// would have covered are sent again, with the same ids.
pub struct Emitted {
    file: File,
    path: PathBuf,
}

/// The content of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Noted {
    /// The offset of the first repartition record whose outputs have not all been sent.
    pub offset: i64,
    /// The number of outputs of this record that have been sent.
    pub outputs: u64,
    /// The offset of the last repartition record that was applied.
    pub last: i64,
    /// The digest of that record: the content is ignored for a log that has another record at this offset.
    pub digest: [u8; 8],
}

impl Emitted {
    /// Opens or creates the file in the folder `path`, and returns it with its content. The content is `None` if the
    /// file is incomplete or damaged.
    pub fn open(path: &Path) -> Result<(Self, Option<Noted>), Error> {
        let path = path.join(EMITTED_FILE);
        let io = |cause| Error::io(&path, &cause);
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        let noted = read(&file).map_err(io)?;
        Ok((Self { file, path }, noted))
    }

    /// Replaces the content.
    pub fn note(&self, noted: &Noted) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&noted.offset.to_be_bytes());
        bytes.extend_from_slice(&noted.outputs.to_be_bytes());
        bytes.extend_from_slice(&noted.last.to_be_bytes());
        bytes.extend_from_slice(&noted.digest);
        let stored = append_checksum(EMITTED_FILE.as_bytes(), &bytes);
        self.file
            .write_all_at(&stored, 0)
            .map_err(|cause| Error::io(&self.path, &cause))
    }
}

fn read(file: &File) -> io::Result<Option<Noted>> {
    let mut stored = [0; LENGTH + 8];
    match file.read_exact_at(&mut stored, 0) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(cause) => return Err(cause),
    }
    Ok(verify_checksum(EMITTED_FILE.as_bytes(), &stored).ok().and_then(parse))
}

fn parse(bytes: &[u8]) -> Option<Noted> {
    let (offset, bytes) = bytes.split_first_chunk()?;
    let (outputs, bytes) = bytes.split_first_chunk()?;
    let (last, digest) = bytes.split_first_chunk()?;
    Some(Noted {
        offset: i64::from_be_bytes(*offset),
        outputs: u64::from_be_bytes(*outputs),
        last: i64::from_be_bytes(*last),
        digest: digest.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTED: Noted = Noted {
        offset: 7,
        outputs: 8,
        last: 6,
        digest: [9; 8],
    };

    #[test]
    fn the_last_position_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (emitted, nothing) = Emitted::open(folder.path()).unwrap();
        assert_eq!(nothing, None);
        emitted
            .note(&Noted {
                offset: 1 << 40,
                ..NOTED
            })
            .unwrap();
        emitted.note(&NOTED).unwrap();
        assert_eq!(Emitted::open(folder.path()).unwrap().1, Some(NOTED));
    }

    #[test]
    fn a_position_that_is_cut_off_or_changed_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        Emitted::open(folder.path()).unwrap().0.note(&NOTED).unwrap();
        let file = folder.path().join(EMITTED_FILE);
        let whole = std::fs::read(&file).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert_eq!(Emitted::open(folder.path()).unwrap().1, None, "{length} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&file, flipped).unwrap();
            assert_eq!(Emitted::open(folder.path()).unwrap().1, None, "bit {bit}");
        }
    }
}
