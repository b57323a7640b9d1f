//! The pages that name tests say what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const SCENARIOS: &str = include_str!("../../docs/scenarios.md");
const HOW_MANY_SCENARIOS: u32 = 66;
const COMING_FROM: &str = include_str!("../../docs/coming-from.md");
/// Systems that people come from: each has a section.
const SYSTEMS: [&str; 8] =
    ["Pulsar", "Redlock", "Spring", "Curator", "Hazelcast", "etcd", "Database locks", "Redisson"];

/// Names of functions below `folder`, or in that file, that follow `#[test]` or `#[tokio::test]`.
fn tests_in(folder: &str) -> BTreeSet<String> {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut names = BTreeSet::new();
    while let Some(file) = files.pop() {
        if file.is_dir() {
            files.extend(fs::read_dir(file).expect("readable").flatten().map(|entry| entry.path()));
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            names.extend(tests_of(&fs::read_to_string(file).expect("readable")));
        }
    }
    names
}

fn tests_of(text: &str) -> BTreeSet<String> {
    let after = ["#[test]", "#[tokio::test"].map(|attribute| text.split(attribute).skip(1));
    let names = after.into_iter().flatten().filter_map(|text| text.split_once("fn ")?.1.split_once('('));
    names.map(|(name, _)| name.to_owned()).collect()
}

fn existing() -> BTreeSet<String> {
    [tests_in("tests"), tests_in("testkit"), tests_in("src")].into_iter().flatten().collect()
}

/// Whatever `text` has between backticks and looks like the name of a test.
fn named(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let names = quoted.filter(|word| {
        word.matches('_').count() > 1
            && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    names.map(str::to_owned).collect()
}

/// The rows of all tables below a heading that begins with `## `, without their heads.
fn rows(section: &str) -> Vec<&str> {
    let lines = section.lines().filter(|line| line.starts_with("| "));
    lines.filter(|line| !line.starts_with("| there |")).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    for (page, text) in [("docs/scenarios.md", SCENARIOS), ("docs/coming-from.md", COMING_FROM)] {
        let missing: Vec<_> = named(text).difference(&existing()).cloned().collect();
        assert!(missing.is_empty(), "{page} names tests that do not exist: {missing:#?}");
    }
}

#[test]
fn every_scenario_is_there_once_and_in_order() {
    let rows =
        SCENARIOS.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(rows.eq(1..=HOW_MANY_SCENARIOS));
}

#[test]
fn every_test_of_faults_is_a_scenario() {
    let played = &tests_in("tests/faults") | &tests_in("tests/deadline");
    let unnamed: Vec<_> = played.difference(&named(SCENARIOS)).cloned().collect();
    assert!(unnamed.is_empty(), "docs/scenarios.md does not name {unnamed:#?}");
}

#[test]
fn every_system_that_users_come_from_has_a_section_and_its_tests() {
    let sections: Vec<_> = COMING_FROM.split("\n## ").skip(1).collect();
    for system in SYSTEMS {
        let of_it = sections
            .iter()
            .find(|section| section.lines().next().is_some_and(|heading| heading.contains(system)));
        let section = of_it.unwrap_or_else(|| panic!("docs/coming-from.md has no section about {system}"));
        assert!(section.contains("](https://"), "{system}: no link to its own documentation");
    }
    for row in sections.iter().flat_map(|section| rows(section)) {
        let columns: Vec<_> = row.trim_matches('|').split(" | ").collect();
        assert!(columns.len() == 3 && !named(columns[2]).is_empty(), "this row is shown by no test: {row}");
    }
}
