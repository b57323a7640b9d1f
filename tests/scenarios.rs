//! The table of fault scenarios in `docs/scenarios.md` says what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const SCENARIOS: u32 = 55;
const TABLE: &str = include_str!("../docs/scenarios.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names of functions below `folder`, or in that file, that follow `#[test]`.
fn tests_in(folder: &str) -> BTreeSet<String> {
    let mut files = vec![root().join(folder)];
    let mut names = BTreeSet::new();
    while let Some(file) = files.pop() {
        if file.is_dir() {
            files.extend(fs::read_dir(file).expect("readable").flatten().map(|entry| entry.path()));
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            names.extend(tests_of(&file));
        }
    }
    names
}

fn tests_of(file: &PathBuf) -> BTreeSet<String> {
    let text = fs::read_to_string(file).expect("readable");
    let after = text.split("#[test]").skip(1);
    let names = after.filter_map(|text| text.split_once("fn ")?.1.split_once('('));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// Whatever the table has between backticks and looks like the name of a test.
fn named() -> BTreeSet<String> {
    let quoted = TABLE.split('`').skip(1).step_by(2);
    let names =
        quoted.filter(|word| word.matches('_').count() > 1 && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()));
    names.map(str::to_owned).collect()
}

#[test]
fn every_number_is_there_once_and_in_order() {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(rows.eq(1..=SCENARIOS));
}

#[test]
fn every_test_that_is_named_exists() {
    let existing = &tests_in("tests") | &tests_in("src");
    let missing: Vec<_> = named().difference(&existing).cloned().collect();
    assert!(missing.is_empty(), "docs/scenarios.md names tests that do not exist: {missing:#?}");
}

#[test]
fn every_test_of_faults_is_named() {
    let played = &tests_in("tests/faults") | &tests_in("tests/deadline.rs");
    let unnamed: Vec<_> = played.difference(&named()).cloned().collect();
    assert!(unnamed.is_empty(), "docs/scenarios.md does not name {unnamed:#?}");
}
