//! How long functions and files may be.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{CHECKOUT, every_file};

/// A function of more lines does more than one thing.
const LONGEST_FUNCTION: usize = 40;
/// A file of more lines, without its unit tests, holds more than one thing.
const LONGEST_FILE: usize = 350;

/// All source files of the programs and of the API, each with its lines; test files are left out.
fn files() -> impl Iterator<Item = (String, Vec<String>)> {
    let is_test =
        |path: &Path| path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
    let files = every_file().into_iter().filter_map(move |path| {
        let name = path.strip_prefix(CHECKOUT).ok()?.to_owned();
        let of_programs = name.starts_with("src") || name.starts_with("api");
        (of_programs && !is_test(&name)).then(|| (name.display().to_string(), fs::read_to_string(&path)))
    });
    files.map(|(name, text)| (name, text.expect("readable").lines().map(str::to_owned).collect()))
}

/// The functions of more than [`LONGEST_FUNCTION`] lines: rustfmt ends each at its own indentation.
fn long_functions(lines: &[String]) -> Vec<(String, usize)> {
    let begins = |line: &str| {
        let words: Vec<_> = line.split_whitespace().take(5).collect();
        words.windows(2).any(|pair| pair[0] == "fn" && pair[1].starts_with(char::is_alphabetic))
    };
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let length = lines[first..].iter().position(|line| *line == end).map_or(1, |last| last + 1);
        let is_one = !line.trim_end().ends_with([';', '}']);
        if is_one && length > LONGEST_FUNCTION {
            found.push((line.trim().to_owned(), length));
        }
    }
    found
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut too_long = String::new();
    for (file, lines) in files() {
        for (function, length) in long_functions(&lines[..without_tests(&lines)]) {
            writeln!(too_long, "{file}: {length} lines: {function}").expect("a text takes everything");
        }
    }
    assert!(too_long.is_empty(), "name the parts of these functions:\n{too_long}");
}

#[test]
fn no_file_holds_more_than_one_thing() {
    let mut too_long = String::new();
    for (file, lines) in files() {
        let length = without_tests(&lines);
        if length > LONGEST_FILE {
            writeln!(too_long, "{file}: {length} lines").expect("a text takes everything");
        }
    }
    assert!(too_long.is_empty(), "split these files by meaning:\n{too_long}");
}

/// How many lines come before the unit tests.
fn without_tests(lines: &[String]) -> usize {
    lines.iter().position(|line| line == "#[cfg(test)]").unwrap_or(lines.len())
}

#[test]
fn the_law_of_functions_finds_one_that_is_too_long() {
    let long = |name: &str| format!("    {name} {{\n{}    }}", "        act();\n".repeat(LONGEST_FUNCTION));
    let text =
        format!("impl A {{\n{}\n    fn short() {{\n    }}\n}}", long("pub(super) async fn long(&self)"));
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(long_functions(&lines).len(), 1, "{lines:?}");
}
