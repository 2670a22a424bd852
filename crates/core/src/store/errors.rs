use std::io;
use std::path::Path;

/// The reason why state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder for all state cannot be used.
    #[error("cannot use {path} as state.dir: {problem}")]
    Dir {
        /// The folder.
        path: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The disk or RocksDB reported an error.
    #[error("the store at {path} failed: {cause}")]
    Storage {
        /// The path of the store.
        path: String,
        /// The reported error.
        cause: String,
    },
    /// The disk is full.
    #[error("no space is left for the store at {path}; free some there and start again, nothing was lost")]
    Full {
        /// The path of the store.
        path: String,
    },
    /// The process may not open any more files.
    #[error(
        "the store at {path} cannot open another file, as the process has too many open; raise the limit (`ulimit -n`, or LimitNOFILE in the service's unit) to 1,024 and 80 more for each partition"
    )]
    TooManyFiles {
        /// The path of the store.
        path: String,
    },
    /// Files of the store are missing, truncated or changed.
    #[error("the store at {path} is damaged: {cause}; it must be rebuilt from the repartition topic")]
    Corrupt {
        /// The path of the store.
        path: String,
        /// What is damaged.
        cause: String,
    },
    /// The store contains bytes that this program does not write.
    #[error("the store holds a damaged {what}; it must be rebuilt from the repartition topic")]
    Damaged {
        /// What is damaged.
        what: &'static str,
    },
    /// The store was damaged so often that the disk or the memory is probably to blame.
    #[error(
        "the store at {path} is damaged, and {kept} damaged copies stand beside it already: look for a failing disk or memory, then remove the copies and start again"
    )]
    DamagedAgain {
        /// The path of the store.
        path: String,
        /// The number of damaged copies.
        kept: usize,
    },
    /// The state was built from another log.
    #[error(
        "the store at {path} was made from {found}, and this is {expected}; put back the folder that belongs here, or remove it: it is rebuilt from the repartition topic"
    )]
    Foreign {
        /// The path of the store.
        path: String,
        /// The log that it was built from.
        found: String,
        /// The log that it is opened for.
        expected: String,
    },
    /// Another version of the program wrote the store.
    #[error(
        "the store at {path} has format version {found}, this program reads version {expected}; run the version that wrote it or remove the folder, it is rebuilt from the repartition topic"
    )]
    Version {
        /// The path of the store.
        path: String,
        /// The version of the store.
        found: String,
        /// The version that this program reads.
        expected: u32,
    },
    /// Another process has it open.
    #[error("{path} is in use by {by}; give each instance on one machine a state.dir of its own")]
    InUse {
        /// The path of the store, or of the folder that contains all stores.
        path: String,
        /// Who has it open, as far as it is known.
        by: String,
    },
}

impl Error {
    /// Returns whether the state itself is damaged, so that it must be rebuilt from the log. Another attempt or another
    /// disk does not help.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Damaged { .. })
    }

    /// Converts an error of the operating system about a file of the store at `path`.
    pub fn io(path: &Path, cause: &io::Error) -> Self {
        /// POSIX's ENFILE and EMFILE, which have the same numbers on Linux, the BSDs and macOS; `io::ErrorKind` has no
        /// kind for them.
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
