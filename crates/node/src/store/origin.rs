//! Records which log the state of a partition was built from. A position in one log means nothing in another one, so a
//! folder that was copied or renamed would silently skip records and give wrong results.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::folder::write_durably;

/// The file in a partition's folder that names the log.
const ORIGIN_FILE: &str = "ORIGIN";

/// The log that state is built from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogOrigin {
    /// The id of the application whose log it is.
    pub application: String,
    /// The topic.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
}

impl fmt::Display for LogOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            application,
            topic,
            partition,
        } = self;
        write!(f, "partition {partition} of topic {topic} for application.id {application}")
    }
}

impl LogOrigin {
    /// Fails if the state in the folder `path` was built from another log. If the folder does not name a log yet, it
    /// belongs to this one from now on.
    pub fn claim(&self, path: &Path) -> Result<(), Error> {
        let io = |cause| Error::io(path, &cause);
        let file = path.join(ORIGIN_FILE);
        let found = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(io)?;
                let text = serde_json::to_string(self).map_err(|cause| io(cause.into()))?;
                return write_durably(&file, format!("{text}\n").as_bytes()).map_err(io);
            }
            Err(cause) => return Err(io(cause)),
        };
        match serde_json::from_slice::<Self>(&found) {
            Ok(found) if found == *self => Ok(()),
            Ok(found) => Err(Error::Foreign {
                path: path.display().to_string(),
                found: found.to_string(),
                expected: self.to_string(),
            }),
            Err(_) => Err(Error::Corrupt {
                path: path.display().to_string(),
                cause: format!("the file {ORIGIN_FILE} is not what was written"),
            }),
        }
    }
}
