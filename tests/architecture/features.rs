//! What the programs are compiled with: the same, whichever other crates of the workspace are built with
//! them.

use std::collections::BTreeMap;
use std::process::Command;

/// The features of every crate that these packages are linked with, by its name and version.
fn features(packages: &[&str]) -> BTreeMap<String, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--offline",
        "--locked",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}|{f}",
    ]);
    let output = cargo.args(packages).current_dir(super::CHECKOUT).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("plain text");
    lines
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(name, features)| (name.to_owned(), features.to_owned()))
        .collect()
}

#[test]
fn the_programs_have_the_same_features_when_the_whole_workspace_is_built() {
    let (alone, together) = (features(&["--package", "singletonjob"]), features(&["--workspace"]));
    assert!(alone.len() > 50, "{alone:?}");
    for (name, features) in alone {
        assert_eq!(together.get(&name), Some(&features), "{name}");
    }
}
