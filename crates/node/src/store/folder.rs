//! The folder of one instance. It contains a lock that shows which process uses it, the instance's id, and a folder for
//! each partition.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::Error;

/// The file that the process keeps locked until it ends. Its content, the process id, is for people only.
const LOCK_FILE: &str = "LOCK";
/// The file that contains the instance's id.
const ID_FILE: &str = "instance-id";
/// The file that records how many partitions each output topic had, one topic on each line.
const OUTPUTS_FILE: &str = "outputs";
/// The number of bytes of an id, which is written as twice as many hexadecimal digits.
const ID_BYTES: usize = 16;
/// The maximum number of damaged copies of one partition that are kept. More copies would fill a disk that is probably
/// failing.
const MAX_DAMAGED: usize = 3;

/// The folder that contains all state of one instance, locked for this process. The operating system releases the lock
/// when the process ends, however it ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    instance_id: String,
    _lock: File,
}

impl StateDir {
    /// Opens or creates the folder `path`. Fails if it cannot be written to, or if another process has it open.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let unusable = |cause: io::Error| unusable(&path, &cause);
        fs::create_dir_all(&path).map_err(unusable)?;
        let lock = lock(&path)?;
        let instance_id = instance_id(&path).map_err(unusable)?;
        Ok(Self {
            path,
            instance_id,
            _lock: lock,
        })
    }

    /// Returns the instance id: 32 random hexadecimal digits that were generated when the folder was created. The id is
    /// the same after every restart and unique to this instance.
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the recorded number of partitions of each output topic. A topic whose number cannot be read is left out.
    pub fn outputs(&self) -> BTreeMap<String, u32> {
        let text = fs::read_to_string(self.path.join(OUTPUTS_FILE)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter_map(|(topic, count)| Some((topic.to_owned(), count.parse().ok()?)))
            .collect()
    }

    /// Records how many partitions each output topic has, in place of the previous record.
    pub fn note_outputs<'t>(&self, topics: impl IntoIterator<Item = (&'t str, u32)>) -> Result<(), Error> {
        let lines: String = topics
            .into_iter()
            .map(|(topic, count)| format!("{topic} {count}\n"))
            .collect();
        let file = self.path.join(OUTPUTS_FILE);
        write_durably(&file, lines.as_bytes()).map_err(|cause| Error::io(&file, &cause))
    }

    /// Returns the folder for the state of a partition. It may not exist.
    pub fn partition(&self, partition: i32) -> PathBuf {
        self.path.join(partition.to_string())
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let unusable = |cause: io::Error| unusable(dir, &cause);
    let path = dir.join(LOCK_FILE);
    let mut options = File::options();
    // The content is read before it is replaced, because it names the process that holds the lock.
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let by = match (read, holder.trim().parse::<u32>()) {
                (Ok(_), Ok(id)) => format!("process {id}"),
                _ => "another process".to_owned(),
            };
            let path = dir.display().to_string();
            return Err(Error::InUse { path, by });
        }
        Err(TryLockError::Error(cause)) => {
            return Err(Error::Dir {
                path: dir.display().to_string(),
                problem: format!("it cannot be locked ({cause}); name a directory on a local disk"),
            });
        }
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(unusable)?;
    Ok(file)
}

/// Returns the id in the folder. An invalid id, which a power failure may leave there, is replaced.
fn instance_id(dir: &Path) -> io::Result<String> {
    let file = dir.join(ID_FILE);
    match fs::read(&file) {
        Ok(bytes) => {
            if let Some(id) = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|id| is_id(id)) {
                return Ok(id.to_owned());
            }
            tracing::warn!(file = %file.display(), "the instance id is damaged; this instance goes on under a new one");
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Err(cause) => return Err(cause),
    }
    let mut id = [0; ID_BYTES];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let id = hex::encode(id);
    write_durably(&file, format!("{id}\n").as_bytes())?;
    Ok(id)
}

fn is_id(text: &str) -> bool {
    text.len() == 2 * ID_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Writes a small file so that after a power failure it is either complete or unchanged.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Moves the folder of a partition aside, so that its state is rebuilt in a new one, and returns the path of the copy.
/// This program never deletes the damaged copy, because it may show what happened. Call this only while the store is
/// closed.
pub fn set_aside(partition: &Path) -> Result<PathBuf, Error> {
    let copy = |number: usize| {
        let mut name = partition.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    };
    let free = (1..=MAX_DAMAGED).map(copy).find(|copy| copy.symlink_metadata().is_err());
    let Some(to) = free else {
        return Err(Error::DamagedAgain {
            path: partition.display().to_string(),
            kept: MAX_DAMAGED,
        });
    };
    fs::rename(partition, &to).map_err(|cause| Error::io(partition, &cause))?;
    tracing::warn!(
        damaged = %to.display(),
        "the state of a partition was damaged and is rebuilt from the repartition topic; the damaged copy may be removed"
    );
    Ok(to)
}

/// Returns the error that explains why `dir` cannot be used as `state.dir`.
fn unusable(dir: &Path, cause: &io::Error) -> Error {
    let problem = match cause.kind() {
        // Something exists there already, but it is not a directory.
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "it, or a part of its path, is not a directory; name one that may be written to".to_owned()
        }
        ErrorKind::ReadOnlyFilesystem => {
            "its file system is mounted read-only; name a directory that may be written to".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "permission denied; let the user that runs this program write there, or name another directory".to_owned()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "no space is left; free some there and start again".to_owned(),
        _ => format!("{cause}; name a directory that may be written to"),
    };
    Error::Dir {
        path: dir.display().to_string(),
        problem,
    }
}
