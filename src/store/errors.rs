use std::io;
use std::path::Path;

/// Why state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder that is to hold all state cannot be used.
    #[error("cannot use {path} as state.dir: {problem}")]
    Dir {
        /// The folder.
        path: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The disk or RocksDB said no.
    #[error("the store at {path} failed: {cause}")]
    Storage {
        /// Where the store is.
        path: String,
        /// What was said.
        cause: String,
    },
    /// The disk is full.
    #[error("no space is left for the store at {path}; free some there and start again, nothing was lost")]
    Full {
        /// Where the store is.
        path: String,
    },
    /// The process may not open any more files.
    #[error(
        "the store at {path} cannot open another file, as the process has too many open; raise the limit (`ulimit -n`, or LimitNOFILE in the service's unit) to 1,024 and 80 more for each partition"
    )]
    TooManyFiles {
        /// Where the store is.
        path: String,
    },
    /// Files of the store are missing, cut off or changed.
    #[error("the store at {path} is damaged: {cause}; it must be rebuilt from the repartition topic")]
    Corrupt {
        /// Where the store is.
        path: String,
        /// What is damaged.
        cause: String,
    },
    /// Bytes that this program does not write.
    #[error("the store holds a damaged {what}; it must be rebuilt from the repartition topic")]
    Damaged {
        /// What was damaged.
        what: &'static str,
    },
    /// Damaged so often that the disk, or the memory, is to blame.
    #[error(
        "the store at {path} is damaged, and {kept} damaged copies stand beside it already: look for a failing disk or memory, then remove the copies and start again"
    )]
    DamagedAgain {
        /// Where the store is.
        path: String,
        /// How many copies there are.
        kept: usize,
    },
    /// Made from another log.
    #[error(
        "the store at {path} was made from {found}, and this is {expected}; put back the folder that belongs here, or remove it: it is rebuilt from the repartition topic"
    )]
    Foreign {
        /// Where the store is.
        path: String,
        /// What it was made from.
        found: String,
        /// What it is opened for.
        expected: String,
    },
    /// Written by another version of the program.
    #[error(
        "the store at {path} has format version {found}, this program reads version {expected}; run the version that wrote it or remove the folder, it is rebuilt from the repartition topic"
    )]
    Version {
        /// Where the store is.
        path: String,
        /// The version there.
        found: String,
        /// The version here.
        expected: u32,
    },
    /// Somebody else has it open.
    #[error("{path} is in use by {by}; give each instance on one machine a state.dir of its own")]
    InUse {
        /// The store, or the folder with all of them.
        path: String,
        /// Who has it open, as far as is known.
        by: String,
    },
}

impl Error {
    /// Whether the state itself is damaged, so that it must be rebuilt from the log: to try again, or another disk, does not help.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Damaged { .. })
    }

    /// What the operating system said about a file of the store at `path`.
    pub(super) fn io(path: &Path, cause: &io::Error) -> Self {
        /// POSIX's ENFILE and EMFILE, the same on Linux, the BSDs and macOS; `io::ErrorKind` has no word for them.
        const TOO_MANY_FILES: [Option<i32>; 2] = [Some(23), Some(24)];
        let path = path.display().to_string();
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ if cfg!(unix) && TOO_MANY_FILES.contains(&cause.raw_os_error()) => Self::TooManyFiles { path },
            _ => Self::Storage {
                path,
                cause: cause.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_limit_of_open_files_is_named_whoever_meets_it() {
        let refused = |code| Error::io(Path::new("p"), &io::Error::from_raw_os_error(code));
        for code in [23, 24] {
            assert!(matches!(refused(code), Error::TooManyFiles { .. }), "{code}");
        }
        assert!(matches!(refused(5), Error::Storage { .. }));
    }
}
