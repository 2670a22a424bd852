//! The folder of one instance: a lock that says whose it is, the instance's id, and a folder for each partition.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::Error;

/// The file whose lock the process holds as long as it lives. Its content, the process id, is for people only.
const LOCK_FILE: &str = "LOCK";
/// The file with the instance's id.
const ID_FILE: &str = "instance-id";
/// The file that notes how many partitions the topics of the output had: a line each.
const OUTPUTS_FILE: &str = "outputs";
/// Bytes of an id; it is written as twice as many hexadecimal digits.
const ID_BYTES: usize = 16;
/// Damaged copies of one partition that are kept. More of them say that the disk is failing, and would fill it.
const MOST_DAMAGED: usize = 3;

/// The folder that holds all state of one instance, locked for this process. The operating system gives the lock back when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    instance_id: String,
    _lock: File,
}

impl StateDir {
    /// Opens the folder `path`, or makes it. Fails when it cannot be written to, or when another process has it open.
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

    /// 32 hexadecimal digits, drawn when the folder was made: the same after every restart, and no other instance's.
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many partitions each topic of the output had, as far as that was noted. What cannot be read was not.
    pub fn outputs(&self) -> BTreeMap<String, u32> {
        let text = fs::read_to_string(self.path.join(OUTPUTS_FILE)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter_map(|(topic, count)| Some((topic.to_owned(), count.parse().ok()?)))
            .collect()
    }

    /// Notes how many partitions each topic of the output has, in place of what was noted before.
    pub fn note_outputs<'t>(&self, topics: impl IntoIterator<Item = (&'t str, u32)>) -> Result<(), Error> {
        let lines: String = topics
            .into_iter()
            .map(|(topic, count)| format!("{topic} {count}\n"))
            .collect();
        let file = self.path.join(OUTPUTS_FILE);
        write_durably(&file, lines.as_bytes()).map_err(|cause| Error::io(&file, &cause))
    }

    /// The folder for the state of a partition. It need not exist.
    pub fn partition(&self, partition: i32) -> PathBuf {
        self.path.join(partition.to_string())
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let unusable = |cause: io::Error| unusable(dir, &cause);
    let path = dir.join(LOCK_FILE);
    let mut options = File::options();
    // The content is looked at before it is replaced: it names the process that has the lock.
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

/// The id in the folder. One that is no id, as a power cut may leave it, is replaced.
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

/// Writes a small file so that after a power cut it is there as a whole, or as it was before.
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

/// Moves the folder of a partition aside, so that its state is rebuilt in a new one. The damaged copy is never deleted by this program:
/// it may tell what happened. It is to be called while nobody has the store open. Says where the copy is.
pub fn set_aside(partition: &Path) -> Result<PathBuf, Error> {
    let copy = |number: usize| {
        let mut name = partition.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    };
    let free = (1..=MOST_DAMAGED).map(copy).find(|copy| copy.symlink_metadata().is_err());
    let Some(to) = free else {
        return Err(Error::DamagedAgain {
            path: partition.display().to_string(),
            kept: MOST_DAMAGED,
        });
    };
    fs::rename(partition, &to).map_err(|cause| Error::io(partition, &cause))?;
    tracing::warn!(
        damaged = %to.display(),
        "the state of a partition was damaged and is rebuilt from the repartition topic; the damaged copy may be removed"
    );
    Ok(to)
}

/// What stands in the way of using `dir` as `state.dir`.
fn unusable(dir: &Path, cause: &io::Error) -> Error {
    let problem = match cause.kind() {
        // What says that something is there already, is there and no directory.
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
