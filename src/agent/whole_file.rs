//! Files that the agent and its probes replace whole: a process that reads one, or opened it earlier, finds
//! what was written at one time.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Replaces the file at `path`, or makes it. Processes that write it at the same time do not disturb each
/// other: the last one counts.
///
/// # Errors
/// If its directory cannot be written. What was there before is there still, and nothing beside it.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path);
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, path))
        .inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Replaces the file at `path` by `content` as JSON.
///
/// # Errors
/// As [`write`].
pub(super) fn write_json(path: &Path, content: &impl Serialize) -> io::Result<()> {
    write(path, &serde_json::to_vec(content)?)
}

/// Reads what [`write_json`] wrote. `None` if there is no file yet, or it cannot be read.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Removes the file at `path`, if there is one.
///
/// # Errors
/// If there is one that cannot be removed.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes, at best, the file at `path` and what writers that were killed have left beside it.
pub(super) fn remove(path: &Path) {
    let unfinished =
        fs::read_dir(path.parent().unwrap_or(path)).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in unfinished.filter(|file| is_beside(file, path)).chain([path.to_owned()]) {
        drop(fs::remove_file(file));
    }
}

fn is_beside(file: &Path, path: &Path) -> bool {
    let [file, path] = [file, path].map(|path| path.to_str().unwrap_or_default());
    let writer = file.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".new"));
    writer.is_some_and(|writer| writer.parse::<u32>().is_ok())
}

/// The file that this process writes before it renames it to `path`.
fn beside(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", process::id()));
    new.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_replaced_has_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let in_the_way = directory.path().join("up");
        fs::create_dir(&in_the_way).unwrap();
        write(&in_the_way, b"7").expect_err("nothing is renamed to a folder");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_removed_takes_along_what_killed_writers_have_left() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["up", "up.17.new", "up.old.new", "upper.17.new"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        remove(&directory.path().join("up"));
        let mut left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["up.old.new", "upper.17.new"]);
    }

    #[test]
    fn what_is_not_in_place_yet_bears_its_writers_number() {
        let new = beside(Path::new("/state/up"));
        assert_eq!(new, Path::new(&format!("/state/up.{}.new", process::id())));
    }
}
