//! Files that a command writes: never over what it reads, two never in one, and each in its place when it is whole.
//!
//! Files are told apart by device and inode, so a link, `-` and `/dev/fd/3` are the files that they lead to. A regular file is written
//! beside its place, as a hidden file, and moved there at the end: what ends before leaves what was there. Terminals, pipes and devices are
//! written as they are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Seek as _, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is read, too.
    #[error("{} is {what}; name another file for the output", output.display())]
    Input {
        /// As it was named.
        output: PathBuf,
        /// What it is besides.
        what: String,
    },
    /// Something else goes there.
    #[error("{} and {other} are one file; give each output a file of its own", output.display())]
    Twice {
        /// As it was named.
        output: PathBuf,
        /// What the other output was named.
        other: String,
    },
    /// The operating system says so.
    #[error("cannot write {}: {cause}", file.display())]
    Write {
        /// As it was named.
        file: PathBuf,
        /// What it said.
        cause: io::Error,
    },
}

/// Device and inode.
type Identity = (u64, u64);

/// What a command reads and writes.
#[derive(Default)]
pub struct Guard {
    /// How it was named, and what it is.
    read: BTreeMap<Identity, (PathBuf, &'static str)>,
    written: BTreeMap<Key, PathBuf>,
}

/// What makes two outputs one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    There(Identity),
    /// The folder, and the name in it.
    New(Identity, OsString),
}

/// Where an output goes, before anything was made or changed.
pub struct Target {
    name: PathBuf,
    place: Place,
}

enum Place {
    Standard,
    /// A pipe, a device, or a file that somebody else has opened.
    Open(PathBuf),
    /// A regular file, and what stands there already.
    File(PathBuf, Option<Metadata>),
}

/// An output that is being written. Without [`Output::finish`] a regular file stays what it was.
pub struct Output {
    name: PathBuf,
    writer: BufWriter<Writer>,
}

enum Writer {
    Standard(io::Stdout),
    Open(File),
    /// Beside the place where it goes.
    Beside(NamedTempFile, PathBuf),
    /// Where there is room; what is at its place is overwritten at the end.
    Elsewhere(File, PathBuf),
}

impl Guard {
    /// Notes that a command reads `path`, which is `what`, such as `an input`. What cannot be found is nobody's to overwrite.
    pub fn reads(&mut self, path: &Path, what: &'static str) {
        let found = match is_standard(path) {
            true => metadata_of(io::stdin()),
            false => fs::metadata(path),
        };
        if let Some(identity) = found.ok().and_then(|found| identity(&found)) {
            self.read.entry(identity).or_insert((path.to_owned(), what));
        }
    }

    /// Notes that a command writes to `path`; `-` is standard output, which several outputs may share. Fails when that is read, or is another
    /// output, or cannot be written.
    pub fn writes(&mut self, path: &Path) -> Result<Target, Error> {
        let failed = |cause| Error::Write {
            file: path.to_owned(),
            cause,
        };
        let mut place = match is_standard(path) {
            true => Place::Standard,
            false => place(path).map_err(failed)?,
        };
        let mut key = key(&place).map_err(failed)?;
        let standard = metadata_of(io::stdout()).ok().and_then(|found| identity(&found));
        if let (Some(Key::There(there)), Place::File(..)) = (&key, &place)
            && Some(*there) == standard
        {
            // Under its name it would be replaced, and what the shell has opened would be lost.
            place = Place::Standard;
        }
        if let Some(Key::There(there)) = &key {
            if let Some((other, what)) = self.read.get(there) {
                let what = match (other == path, is_standard(other)) {
                    (true, _) => (*what).to_owned(),
                    (false, true) => "what standard input is read from".to_owned(),
                    (false, false) => format!("the same file as {}, which is {what}", other.display()),
                };
                let output = path.to_owned();
                return Err(Error::Input { output, what });
            }
            let error = metadata_of(io::stderr()).ok().and_then(|found| identity(&found));
            if Some(*there) == error && Some(*there) != standard {
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
            place,
        })
    }
}

impl Target {
    /// What it was named.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Begins to write. `spare` is a folder for what cannot be written beside its place.
    pub fn create(self, spare: &Path) -> Result<Output, Error> {
        const BUFFER: usize = 1 << 18;
        let writer = match self.place {
            Place::Standard => Ok(Writer::Standard(io::stdout())),
            // What is there already in a file that somebody has opened stays.
            Place::Open(path) => OpenOptions::new().append(true).open(path).map(Writer::Open),
            Place::File(path, there) => match (beside(&path, there.as_ref()), there) {
                (Ok(file), _) => Ok(Writer::Beside(file, path)),
                (Err(_), Some(_)) => tempfile::tempfile_in(spare).map(|file| Writer::Elsewhere(file, path)),
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
    /// Whether it is a regular file, which stays what it was until the end.
    pub fn is_file(&self) -> bool {
        matches!(self.writer.get_ref(), Writer::Beside(..) | Writer::Elsewhere(..))
    }

    /// What it was named.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Writes what is left, and puts a file in its place.
    pub fn finish(self) -> Result<(), Error> {
        let Self { name, writer } = self;
        let writer = writer.into_inner().map_err(io::IntoInnerError::into_error);
        let placed = writer.and_then(|writer| match writer {
            Writer::Standard(mut file) => file.flush(),
            Writer::Open(mut file) => file.flush(),
            Writer::Beside(file, path) => match file.persist(&path) {
                Ok(_) => Ok(()),
                // Such as a file that is mounted, or somebody else's in a folder where one may replace only one's own.
                Err(error) if path.exists() => overwrite(&path, error.file.into_file()),
                Err(error) => Err(error.error),
            },
            Writer::Elsewhere(file, path) => overwrite(&path, file),
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
            Self::Open(file) | Self::Elsewhere(file, _) => file.write(bytes),
            Self::Beside(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(file) => file.flush(),
            Self::Open(_) | Self::Elsewhere(..) | Self::Beside(..) => Ok(()),
        }
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn metadata_of(file: impl AsFd) -> io::Result<Metadata> {
    File::from(file.as_fd().try_clone_to_owned()?).metadata()
}

/// Of what is lost when it is overwritten. Terminals, pipes and devices without end may be read and written, and by several.
fn identity(found: &Metadata) -> Option<Identity> {
    (found.is_file() || found.file_type().is_block_device()).then(|| (found.dev(), found.ino()))
}

/// Follows links, and looks at what is there.
fn place(path: &Path) -> io::Result<Place> {
    /// As many links as the system itself follows.
    const MOST_LINKS: usize = 40;
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let folder = folder_of(&path).canonicalize()?;
        let here = folder.join(name);
        if is_of_descriptors(&folder) {
            return Ok(match name == "1" {
                true => Place::Standard,
                false => Place::Open(here),
            });
        }
        match here.symlink_metadata() {
            Ok(found) if found.is_symlink() => path = folder.join(here.read_link()?),
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => {
                // What may not be written is not replaced either.
                OpenOptions::new().write(true).open(&here)?;
                return Ok(Place::File(here, Some(found)));
            }
            Ok(_) => return Ok(Place::Open(here)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::File(here, None)),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("there are too many symbolic links on the way"))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != "" => folder,
        _ => Path::new("."),
    }
}

/// Whether names in this folder stand for files that a process has opened.
fn is_of_descriptors(folder: &Path) -> bool {
    folder == "/dev/fd" || (folder.starts_with("/proc") && folder.ends_with("fd"))
}

/// What tells an output from others, where sharing does harm.
fn key(place: &Place) -> io::Result<Option<Key>> {
    let found = match place {
        Place::Standard => metadata_of(io::stdout()).ok(),
        Place::Open(path) => Some(fs::metadata(path)?),
        Place::File(_, Some(found)) => Some(found.clone()),
        Place::File(path, None) => {
            let folder = fs::metadata(folder_of(path))?;
            let name = path.file_name().unwrap_or_default().to_owned();
            return Ok(Some(Key::New((folder.dev(), folder.ino()), name)));
        }
    };
    Ok(found.and_then(|found| identity(&found)).map(Key::There))
}

/// A file beside `path` that can take its place, with the rights and the owner of what is `there`.
fn beside(path: &Path, there: Option<&Metadata>) -> io::Result<NamedTempFile> {
    /// What a new file is given, less what the process's mask takes.
    const NEW: u32 = 0o666;
    let mut builder = tempfile::Builder::new();
    // Hidden, and of no ending that a folder of messages is looked through for.
    builder
        .prefix(".alerttrail-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(NEW));
    let file = builder.tempfile_in(folder_of(path))?;
    if let Some(there) = there {
        let found = file.as_file().metadata()?;
        if (found.uid(), found.gid()) != (there.uid(), there.gid()) {
            fchown(file.as_file(), Some(there.uid()), Some(there.gid()))?;
        }
        file.as_file().set_permissions(there.permissions())?;
    }
    Ok(file)
}

fn overwrite(path: &Path, mut file: File) -> io::Result<()> {
    file.rewind()?;
    let mut place = OpenOptions::new().write(true).truncate(true).open(path)?;
    io::copy(&mut file, &mut place).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a file `old` in it.
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
    fn a_file_is_there_when_it_is_whole_and_not_before() {
        let folder = folder();
        for name in ["old", "new"] {
            let path = folder.path().join(name);
            let before = fs::read(&path).ok();
            let mut output = create(&path);
            output.write_all(&[b'x'; 1 << 20]).unwrap();
            assert_eq!(fs::read(&path).ok(), before);
            drop(output);
            assert_eq!(fs::read(&path).ok(), before, "what was not finished leaves no trace");
            assert_eq!(names(&folder).len(), 1);
            let mut output = create(&path);
            output.write_all(b"after").unwrap();
            output.finish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"after");
            fs::remove_file(folder.path().join("new")).ok();
        }
    }

    #[test]
    fn rights_stay_and_a_link_leads_on() {
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
    fn what_is_read_is_not_written_under_any_name() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::hard_link(at("old"), at("hard")).unwrap();
        symlink("old", at("soft")).unwrap();
        let mut guard = Guard::default();
        guard.reads(&at("old"), "an input");
        let told = |name: &str| {
            let mut guard = Guard::default();
            guard.reads(&at("old"), "an input");
            guard
                .writes(&at(name))
                .err()
                .unwrap()
                .to_string()
                .replace(&format!("{}/", folder.path().display()), "")
        };
        assert_eq!(told("old"), "old is an input; name another file for the output");
        for name in ["hard", "soft"] {
            let expected = format!("{name} is the same file as old, which is an input; name another file for the output");
            assert_eq!(told(name), expected);
        }
        assert!(guard.writes(&at("new")).is_ok());
        assert_eq!(fs::read(at("old")).unwrap(), b"before");
    }

    #[test]
    fn two_outputs_are_two_files() {
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
            assert!(error.ends_with("are one file; give each output a file of its own"), "{error}");
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
    fn what_can_only_be_overwritten_is_at_the_end() {
        let folder = folder();
        let old = folder.path().join("old");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"after").unwrap();
        overwrite(&old, file).unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"after");
    }
}
