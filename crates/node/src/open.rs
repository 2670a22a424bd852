//! Opens inputs: files, pipes and standard input. Folders are refused, and so are devices, because they have no end.

use std::fs::{self, File, Metadata};
use std::io::{self, IsTerminal, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Returns whether a path means standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens a file or a named pipe. Opening a pipe waits for a writer.
pub fn file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    refuse(&file.metadata()?, file.is_terminal())?;
    Ok(file)
}

/// Returns standard input, unless it is a device.
pub fn standard_input() -> io::Result<io::Stdin> {
    let input = io::stdin();
    let found = File::from(input.as_fd().try_clone_to_owned()?).metadata()?;
    refuse(&found, input.is_terminal())?;
    Ok(input)
}

/// Fails if `path` cannot be read. Does not open a pipe: that would wait for the writer, and closing the pipe would
/// then end the writer.
pub fn check(path: &Path) -> io::Result<()> {
    if is_standard_input(path) {
        return standard_input().map(drop);
    }
    match fs::metadata(path)?.file_type().is_fifo() {
        true => Ok(()),
        false => file(path).map(drop),
    }
}

/// Reads a text file, such as a configuration, that may have at most `max` bytes.
pub fn text(path: &Path, max: usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    file(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::other(format!("it has more than {max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Fails for folders and devices.
fn refuse(found: &Metadata, is_terminal: bool) -> io::Result<()> {
    if found.is_dir() {
        let text = "it is a folder, but a file is required";
        return Err(io::Error::new(io::ErrorKind::IsADirectory, text));
    }
    let kind = found.file_type();
    let is_device = kind.is_block_device() || kind.is_char_device() && !is_terminal;
    let is_null = || fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == found.rdev());
    match is_device && !is_null() {
        true => Err(io::Error::other(
            "it is a device, which has no end; name a file, a folder, a pipe, or - for standard input",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_folders_are_refused_without_waiting_for_pipes() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| check(path).unwrap_err().to_string();
        assert!(error(Path::new("/dev/zero")).starts_with("it is a device, which has no end"));
        assert!(error(folder.path()).starts_with("it is a folder"));
        check(Path::new("/dev/null")).unwrap();
        let pipe = folder.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(status.success());
        check(&pipe).unwrap();
    }

    #[test]
    fn a_text_has_a_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "four").unwrap();
        assert_eq!(text(file.path(), 4).unwrap(), "four");
        let error = text(file.path(), 3).unwrap_err().to_string();
        assert_eq!(error, "it has more than 3 bytes");
        fs::write(file.path(), b"\xff").unwrap();
        assert_eq!(text(file.path(), 3).unwrap_err().to_string(), "it is not UTF-8");
        assert!(text(Path::new("/dev/zero"), 3).is_err());
    }
}
