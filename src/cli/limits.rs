//! The limits that the operating system sets for `alerttrail run`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows as many open files as the hard limit does, because RocksDB needs more than the usual 1,024, and prevents core
/// dumps, because secrets are in memory. The hard limits stay as they are.
pub(super) fn set() {
    let files = getrlimit(Resource::Nofile);
    let cores = getrlimit(Resource::Core);
    let limits = [
        (
            Resource::Nofile,
            Rlimit {
                current: files.maximum,
                ..files
            },
        ),
        (
            Resource::Core,
            Rlimit {
                current: Some(0),
                ..cores
            },
        ),
    ];
    for (resource, limit) in limits {
        // The program also runs with a lower limit. RocksDB reports an error if it needs more.
        if let Err(error) = setrlimit(resource, limit) {
            tracing::debug!(?resource, %error, "cannot change a limit of the process");
        }
    }
}
