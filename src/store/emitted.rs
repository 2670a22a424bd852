//! How far the output of a partition has gone out, as far as this instance has sent it. State is on disk as it was flushed last, up to minutes
//! ago; this note is written behind every delivery, so that a process that was killed makes again what is lost of its state, but sends
//! nothing twice that it knew to be out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::seal::{seal, unseal};

/// The file in a partition's folder.
const EMITTED_FILE: &str = "EMITTED";
/// Three numbers and a digest, of 8 bytes each.
const LENGTH: usize = 4 * 8;

/// The file that says it. Not synced: it is the operating system's once written, and survives the process. Behind a power cut it may be
/// older, or unreadable and so of no use: what it would have told is sent again, under the same ids.
pub struct Emitted {
    file: File,
    path: PathBuf,
}

/// What the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Noted {
    /// The offset of the first log record whose outputs are not all out.
    pub offset: i64,
    /// How many of its outputs are.
    pub outputs: u64,
    /// The offset of the last log record that was applied.
    pub last: i64,
    /// Its digest: the note is worth nothing for a log in which another record stands there.
    pub digest: [u8; 8],
}

impl Emitted {
    /// Opens the file in the folder `path`, or makes it, and says what is in it. `None` when there is nothing, or nothing that was written
    /// as a whole.
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

    /// Writes the note in the place of the one before.
    pub fn note(&self, noted: &Noted) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&noted.offset.to_be_bytes());
        bytes.extend_from_slice(&noted.outputs.to_be_bytes());
        bytes.extend_from_slice(&noted.last.to_be_bytes());
        bytes.extend_from_slice(&noted.digest);
        let sealed = seal(EMITTED_FILE.as_bytes(), &bytes);
        self.file
            .write_all_at(&sealed, 0)
            .map_err(|cause| Error::io(&self.path, &cause))
    }
}

fn read(file: &File) -> io::Result<Option<Noted>> {
    let mut sealed = [0; LENGTH + 8];
    match file.read_exact_at(&mut sealed, 0) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(cause) => return Err(cause),
    }
    Ok(unseal(EMITTED_FILE.as_bytes(), &sealed).ok().and_then(parse))
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
    fn the_last_note_is_found_again() {
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
    fn a_note_that_is_cut_off_or_changed_is_none() {
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
