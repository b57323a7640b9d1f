//! `tests/contract/<version>/**.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract")
}

/// All that were kept.
///
/// # Panics
/// Where there are none.
pub fn versions() -> Vec<String> {
    let folders = fs::read_dir(root()).expect("readable").flatten().filter(|entry| entry.path().is_dir());
    let mut versions: Vec<_> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    versions.sort();
    assert!(!versions.is_empty(), "nothing was kept: this test would prove nothing");
    versions
}

/// What that version wrote, by file names without their ending.
pub fn of(version: &str) -> BTreeMap<String, Value> {
    let folder = root().join(version);
    let mut waiting = vec![folder.clone()];
    let mut found = BTreeMap::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).expect("readable").flatten().map(|entry| entry.path()));
        } else {
            let name = path.strip_prefix(&folder).expect("below it").with_extension("");
            let text = fs::read_to_string(&path).expect("readable");
            let value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.insert(name.to_string_lossy().into_owned(), value);
        }
    }
    found
}

/// # Panics
/// Where that version was kept already: what was released does not change.
pub fn keep(version: &str, written: &BTreeMap<String, Value>) {
    let folder = root().join(version);
    assert!(!folder.exists(), "{} is there already", folder.display());
    for (name, value) in written {
        let path = folder.join(format!("{name}.json"));
        fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
        fs::write(path, format!("{value:#}\n")).expect("writable");
    }
}
