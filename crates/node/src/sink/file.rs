//! Output files of commands. A command never overwrites a file that it reads, and never writes two outputs to one file.
//!
//! Files are compared by device and inode, so a hard link, a symbolic link, `-` and `/dev/fd/3` count as the file that
//! they refer to. A regular file is written to a hidden file in the same folder and renamed at the end, so a command
//! that fails leaves the old file unchanged. Terminals, pipes and devices are written directly.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Seek as _, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The reason why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command also reads the file.
    #[error("{} is {what}; name another file for the output", output.display())]
    Input {
        /// The output, as given by the user.
        output: PathBuf,
        /// The input that it is, in words.
        what: String,
    },
    /// Another output goes to the same file.
    #[error("{} and {other} are the same file; use a different file for each output", output.display())]
    Twice {
        /// The output, as given by the user.
        output: PathBuf,
        /// The name of the other output.
        other: String,
    },
    /// The operating system reported an error.
    #[error("cannot write {}: {cause}", file.display())]
    Write {
        /// The file, as given by the user.
        file: PathBuf,
        /// The operating system's error.
        cause: io::Error,
    },
}

/// The device and the inode of a file.
type FileId = (u64, u64);

/// The files that a command reads and writes.
#[derive(Default)]
pub struct Guard {
    /// The name of each file that is read, and its role.
    read: BTreeMap<FileId, (PathBuf, &'static str)>,
    written: BTreeMap<OutputKey, PathBuf>,
}

/// A key that is equal for outputs that go to the same file.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum OutputKey {
    Existing(FileId),
    /// A file that does not exist yet: its folder, and its name in that folder.
    New(FileId, OsString),
}

/// An output that has been checked. Nothing has been created or changed yet.
pub struct Target {
    name: PathBuf,
    location: Location,
}

enum Location {
    Standard,
    /// A pipe, a device, or a file that the shell has opened.
    Open(PathBuf),
    /// A regular file, with the metadata of the file that it replaces.
    File(PathBuf, Option<Metadata>),
}

/// An output that is being written. A regular file is replaced only by [`Output::finish`].
pub struct Output {
    name: PathBuf,
    writer: BufWriter<Writer>,
}

enum Writer {
    Standard(io::Stdout),
    Open(File),
    /// A temporary file in the folder of the output, which replaces the file at this path at the end.
    Replacing(NamedTempFile, PathBuf),
    /// A temporary file in another folder, which is copied over the existing file at this path at the end.
    Overwriting(File, PathBuf),
}

impl Guard {
    /// Records that the command reads `path`. `what` is its role, such as `an input`. Ignores a path that does not
    /// exist.
    pub fn reads(&mut self, path: &Path, what: &'static str) {
        let found = match is_standard(path) {
            true => metadata_of(io::stdin()),
            false => fs::metadata(path),
        };
        if let Some(file_id) = found.ok().and_then(|found| file_id(&found)) {
            self.read.entry(file_id).or_insert((path.to_owned(), what));
        }
    }

    /// Checks that the command may write to `path`. `-` is standard output, which several outputs may share. Fails if
    /// the command also reads the file, if another output goes to it, or if it cannot be written.
    pub fn writes(&mut self, path: &Path) -> Result<Target, Error> {
        let failed = |cause| Error::Write {
            file: path.to_owned(),
            cause,
        };
        let mut location = match is_standard(path) {
            true => Location::Standard,
            false => location(path).map_err(failed)?,
        };
        let mut key = key(&location).map_err(failed)?;
        let standard = metadata_of(io::stdout()).ok().and_then(|found| file_id(&found));
        if let (Some(OutputKey::Existing(existing)), Location::File(..)) = (&key, &location)
            && Some(*existing) == standard
        {
            // A rename would replace the name, but the shell's standard output would still be the old file.
            location = Location::Standard;
        }
        if let Some(OutputKey::Existing(existing)) = &key {
            if let Some((other, what)) = self.read.get(existing) {
                let what = match (other == path, is_standard(other)) {
                    (true, _) => (*what).to_owned(),
                    (false, true) => "the file that standard input is read from".to_owned(),
                    (false, false) => format!("the same file as {}, which is {what}", other.display()),
                };
                let output = path.to_owned();
                return Err(Error::Input { output, what });
            }
            let error = metadata_of(io::stderr()).ok().and_then(|found| file_id(&found));
            if Some(*existing) == error && Some(*existing) != standard {
                return Err(Error::Twice {
                    output: path.to_owned(),
                    other: "standard error".to_owned(),
                });
            }
        }
        if let Some(key) = key.take()
            && let Some(other) = self.written.insert(key, path.to_owned())
            && !(is_standard(&other) && is_standard(path))
        {
            return Err(Error::Twice {
                output: path.to_owned(),
                other: other.display().to_string(),
            });
        }
        Ok(Target {
            name: path.to_owned(),
            location,
        })
    }
}

impl Target {
    /// Returns the name that the user gave.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Opens the output. `spare` is the folder for the temporary file if it cannot be created in the output's own
    /// folder.
    pub fn create(self, spare: &Path) -> Result<Output, Error> {
        const BUFFER: usize = 1 << 18;
        let writer = match self.location {
            Location::Standard => Ok(Writer::Standard(io::stdout())),
            // A file that the shell has opened may already contain data.
            Location::Open(path) => OpenOptions::new().append(true).open(path).map(Writer::Open),
            Location::File(path, existing) => match (create_temporary(&path, existing.as_ref()), existing) {
                (Ok(file), _) => Ok(Writer::Replacing(file, path)),
                (Err(_), Some(_)) => tempfile::tempfile_in(spare).map(|file| Writer::Overwriting(file, path)),
                (Err(cause), None) => Err(cause),
            },
        };
        match writer {
            Ok(writer) => Ok(Output {
                name: self.name,
                writer: BufWriter::with_capacity(BUFFER, writer),
            }),
            Err(cause) => Err(Error::Write { file: self.name, cause }),
        }
    }
}

impl Output {
    /// Returns whether it is a regular file, which is replaced at the end.
    pub fn is_file(&self) -> bool {
        matches!(self.writer.get_ref(), Writer::Replacing(..) | Writer::Overwriting(..))
    }

    /// Returns the name that the user gave.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Writes the rest of the buffer, and replaces a regular file.
    pub fn finish(self) -> Result<(), Error> {
        let Self { name, writer } = self;
        let writer = writer.into_inner().map_err(io::IntoInnerError::into_error);
        let placed = writer.and_then(|writer| match writer {
            Writer::Standard(mut file) => file.flush(),
            Writer::Open(mut file) => file.flush(),
            Writer::Replacing(file, path) => match file.persist(&path) {
                Ok(_) => Ok(()),
                // A rename fails for a mounted file, and for another user's file in a folder with the sticky bit.
                Err(error) if path.exists() => overwrite(&path, error.file.into_file()),
                Err(error) => Err(error.error),
            },
            Writer::Overwriting(file, path) => overwrite(&path, file),
        });
        placed.map_err(|cause| Error::Write { file: name, cause })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(file) => file.write(bytes),
            Self::Open(file) | Self::Overwriting(file, _) => file.write(bytes),
            // An error of the temporary file's wrapper would name the temporary path.
            Self::Replacing(file, _) => file.as_file_mut().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(file) => file.flush(),
            Self::Open(_) | Self::Overwriting(..) | Self::Replacing(..) => Ok(()),
        }
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns the metadata of an open file.
fn metadata_of(file: impl AsFd) -> io::Result<Metadata> {
    File::from(file.as_fd().try_clone_to_owned()?).metadata()
}

/// Returns the device and inode of a file whose content an output would destroy; `None` for terminals, pipes and
/// character devices.
fn file_id(found: &Metadata) -> Option<FileId> {
    (found.is_file() || found.file_type().is_block_device()).then(|| (found.dev(), found.ino()))
}

/// Finds the file that `path` names, through any symbolic links.
fn location(path: &Path) -> io::Result<Location> {
    /// The number of links that Linux follows.
    const MAX_LINKS: usize = 40;
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let folder = folder_of(&path).canonicalize()?;
        let here = folder.join(name);
        if contains_descriptors(&folder) {
            return Ok(match name == "1" {
                true => Location::Standard,
                false => Location::Open(here),
            });
        }
        match here.symlink_metadata() {
            Ok(found) if found.is_symlink() => path = folder.join(here.read_link()?),
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => {
                // A rename would also replace a read-only file, so this checks that the file may be written.
                OpenOptions::new().write(true).open(&here)?;
                return Ok(Location::File(here, Some(found)));
            }
            Ok(_) => return Ok(Location::Open(here)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Location::File(here, None)),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != "" => folder,
        _ => Path::new("."),
    }
}

/// Returns whether the names in this folder are those of open file descriptors.
fn contains_descriptors(folder: &Path) -> bool {
    folder == "/dev/fd" || (folder.starts_with("/proc") && folder.ends_with("fd"))
}

/// Returns the key of an output; `None` if several outputs may share it.
fn key(location: &Location) -> io::Result<Option<OutputKey>> {
    let found = match location {
        Location::Standard => metadata_of(io::stdout()).ok(),
        Location::Open(path) => Some(fs::metadata(path)?),
        Location::File(_, Some(found)) => Some(found.clone()),
        Location::File(path, None) => {
            let folder = fs::metadata(folder_of(path))?;
            let name = path.file_name().unwrap_or_default().to_owned();
            return Ok(Some(OutputKey::New((folder.dev(), folder.ino()), name)));
        }
    };
    Ok(found.and_then(|found| file_id(&found)).map(OutputKey::Existing))
}

/// Creates a temporary file in the folder of `path`. It gets the permissions and the owner of `existing`, the
/// file that it will replace.
fn create_temporary(path: &Path, existing: Option<&Metadata>) -> io::Result<NamedTempFile> {
    /// The mode of a new file, before the umask.
    const NEW: u32 = 0o666;
    let mut builder = tempfile::Builder::new();
    // Searches for input files skip hidden files and this extension.
    builder
        .prefix(".alerttrail-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(NEW));
    let file = builder.tempfile_in(folder_of(path))?;
    if let Some(existing) = existing {
        let found = file.as_file().metadata()?;
        if (found.uid(), found.gid()) != (existing.uid(), existing.gid()) {
            fchown(file.as_file(), Some(existing.uid()), Some(existing.gid()))?;
        }
        file.as_file().set_permissions(existing.permissions())?;
    }
    Ok(file)
}

fn overwrite(path: &Path, mut file: File) -> io::Result<()> {
    file.rewind()?;
    let mut target = OpenOptions::new().write(true).truncate(true).open(path)?;
    io::copy(&mut file, &mut target).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Creates a folder that contains a file `old`.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old"), "before").unwrap();
        folder
    }

    fn create(path: &Path) -> Output {
        Guard::default().writes(path).unwrap().create(&std::env::temp_dir()).unwrap()
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_only_when_it_is_complete() {
        let folder = folder();
        for name in ["old", "new"] {
            let path = folder.path().join(name);
            let before = fs::read(&path).ok();
            let mut output = create(&path);
            output.write_all(&[b'x'; 1 << 20]).unwrap();
            assert_eq!(fs::read(&path).ok(), before);
            drop(output);
            assert_eq!(fs::read(&path).ok(), before, "an unfinished output leaves nothing behind");
            assert_eq!(names(&folder).len(), 1);
            let mut output = create(&path);
            output.write_all(b"after").unwrap();
            output.finish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"after");
            fs::remove_file(folder.path().join("new")).ok();
        }
    }

    #[test]
    fn permissions_are_kept_and_links_are_followed() {
        let folder = folder();
        let old = folder.path().join("old");
        fs::set_permissions(&old, Permissions::from_mode(0o640)).unwrap();
        symlink("old", folder.path().join("link")).unwrap();
        symlink("link", folder.path().join("link-of-link")).unwrap();
        symlink("made", folder.path().join("nowhere-yet")).unwrap();
        let mut output = create(&folder.path().join("link-of-link"));
        output.write_all(b"after").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"after");
        assert_eq!(fs::metadata(&old).unwrap().mode() & 0o777, 0o640);
        create(&folder.path().join("nowhere-yet")).finish().unwrap();
        assert_eq!(names(&folder), ["link", "link-of-link", "made", "nowhere-yet", "old"]);
        symlink("round", folder.path().join("round")).unwrap();
        assert!(Guard::default().writes(&folder.path().join("round")).is_err());
    }

    #[test]
    fn an_input_file_is_not_overwritten_under_any_name() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::hard_link(at("old"), at("hard")).unwrap();
        symlink("old", at("soft")).unwrap();
        let mut guard = Guard::default();
        guard.reads(&at("old"), "an input");
        let error_for = |name: &str| {
            let mut guard = Guard::default();
            guard.reads(&at("old"), "an input");
            guard
                .writes(&at(name))
                .err()
                .unwrap()
                .to_string()
                .replace(&format!("{}/", folder.path().display()), "")
        };
        assert_eq!(error_for("old"), "old is an input; name another file for the output");
        for name in ["hard", "soft"] {
            let expected = format!("{name} is the same file as old, which is an input; name another file for the output");
            assert_eq!(error_for(name), expected);
        }
        assert!(guard.writes(&at("new")).is_ok());
        assert_eq!(fs::read(at("old")).unwrap(), b"before");
    }

    #[test]
    fn two_outputs_must_be_two_files() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::hard_link(at("old"), at("hard")).unwrap();
        symlink("old", at("soft")).unwrap();
        symlink("new", at("ahead")).unwrap();
        for (one, other) in [
            ("old", "old"),
            ("old", "hard"),
            ("soft", "hard"),
            ("new", "new"),
            ("new", "./new"),
            ("ahead", "new"),
        ] {
            let mut guard = Guard::default();
            guard.writes(&at(one)).unwrap();
            let error = guard.writes(&at(other)).err().unwrap().to_string();
            assert!(
                error.ends_with("are the same file; use a different file for each output"),
                "{error}"
            );
        }
        let mut guard = Guard::default();
        for path in [
            at("old"),
            at("new"),
            "-".into(),
            "-".into(),
            "/dev/null".into(),
            "/dev/null".into(),
        ] {
            guard.writes(&path).unwrap();
        }
    }

    #[test]
    fn files_that_cannot_be_replaced_are_overwritten_at_the_end() {
        let folder = folder();
        let old = folder.path().join("old");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"after").unwrap();
        overwrite(&old, file).unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"after");
    }
}
