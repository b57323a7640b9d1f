//! The architecture invariants of ARCHITECTURE.md that can be read off the source text.

mod features;
mod imports;
mod sizes;

use std::fs;
use std::path::{Path, PathBuf};

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
/// Of each crate.
const SOURCES: [&str; 3] = ["src", "api/src", "testkit/src"];

/// All files of all crates, unit tests included.
fn every_file() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&Path::new(CHECKOUT).join(source), &mut files);
    }
    files
}

/// The same, and all tests beside them.
fn files_and_tests() -> Vec<PathBuf> {
    let mut files = every_file();
    collect(&Path::new(CHECKOUT).join("tests"), &mut files);
    files
}

/// The source files under `src/<root>.rs` and `src/<root>/`, or of the crate `root`, with their code: no
/// comments, no unit tests.
fn sources(root: &str) -> Vec<(PathBuf, String)> {
    let source = Path::new(CHECKOUT).join("src");
    let mut files = vec![source.join(format!("{root}.rs"))];
    collect(&source.join(root), &mut files);
    collect(&Path::new(CHECKOUT).join(root).join("src"), &mut files);
    let existing = files.into_iter().filter(|file| file.is_file() && !file.ends_with("tests.rs"));
    let code: Vec<_> =
        existing.map(|file| (file.clone(), code(&fs::read_to_string(&file).expect("readable")))).collect();
    assert!(!code.is_empty(), "nothing is called {root}: this test would prove nothing");
    code
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn code(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let begins_tests = |place: &usize| {
        let mut after = lines[*place..].iter().skip_while(|line| line.starts_with("#["));
        lines[*place] == "#[cfg(test)]" && after.next().is_some_and(|line| line.starts_with("mod tests {"))
    };
    let end = (0..lines.len()).find(begins_tests).unwrap_or(lines.len());
    lines[..end].join("\n")
}

#[test]
fn unit_tests_are_no_code_whatever_stands_before_them() {
    assert_eq!(code("fn f() {}\n// no\n#[cfg(test)]\n#[expect(clippy::all)]\nmod tests {\n}\n"), "fn f() {}");
    assert_eq!(code("#[cfg(test)]\nmod tests;\nfn f() {}"), "#[cfg(test)]\nmod tests;\nfn f() {}");
}

/// Fails where code under one of `roots` names one of `words`.
fn never_name(roots: &[&str], words: &[&str]) {
    for root in roots {
        for (file, code) in sources(root) {
            for word in words {
                assert!(!code.contains(word), "{} names {word}", file.display());
            }
        }
    }
}

#[test]
fn decisions_name_no_client_no_runtime_and_no_clock() {
    let pure = [
        "lease/elector",
        "lease/timing",
        "lease/identity",
        "lease/record",
        "lease/annotations",
        "controller/plan",
        "controller/build",
        "api",
    ];
    never_name(
        &pure,
        &[
            "Client",
            "tokio",
            "Instant::now",
            "SystemTime",
            "Timestamp::now",
            "clock::now",
            "std::fs",
            "std::env",
        ],
    );
}

#[test]
fn imports_go_one_way() {
    let api = ["crate::api", "singletonjob_api"];
    never_name(&["lease"], &["crate::agent", "crate::controller", "crate::contract", "crate::telemetry"]);
    never_name(&["lease", "contract", "agent"], &api);
    never_name(&["contract"], &["crate::agent", "crate::controller", "crate::telemetry"]);
    never_name(&["agent"], &["crate::controller"]);
    never_name(&["controller"], &["crate::agent"]);
    never_name(&["telemetry"], &["crate::agent", "crate::controller", "crate::contract", "crate::lease"]);
}

#[test]
fn no_deadline_is_computed_from_a_clock_that_stops_in_suspend() {
    never_name(&["lease", "agent"], &["Instant::now", "SystemTime"]);
    for (file, code) in sources("lease").into_iter().chain(sources("agent")) {
        let reads_a_clock = code.contains("clock_gettime") || code.contains("Timestamp::now");
        assert!(
            !reads_a_clock || file.ends_with("lease/clock.rs"),
            "{} reads a clock by itself",
            file.display()
        );
    }
}

#[test]
fn candidates_write_a_lease_in_one_place_only() {
    for (file, code) in sources("lease").into_iter().chain(sources("agent")) {
        let writes =
            [".replace(&name", ".patch(", ".create(", ".delete("].iter().any(|call| code.contains(call));
        assert!(!writes || file.ends_with("lease/store.rs"), "{} writes to the API server", file.display());
    }
}

#[test]
fn the_lease_client_never_retries_behind_the_electors_back() {
    let store = sources("lease/store");
    assert!(store[0].1.contains("config.default_retry = false"));
    for call in ["api.get(", "api.replace("] {
        let unbounded = store[0].1.lines().any(|line| line.contains(call) && !line.contains("bounded("));
        assert!(!unbounded, "{call} without a deadline");
    }
}

#[test]
fn unsafe_code_is_in_one_small_module() {
    for root in ["agent", "api", "contract", "controller", "lease", "telemetry", "bin"] {
        for (file, text) in sources(root) {
            let has_unsafe = text.contains("unsafe {") || text.contains("allow(unsafe_code)");
            let may = file.ends_with("agent/sys.rs")
                || file.parent().is_some_and(|folder| folder.ends_with("agent/sys"));
            assert!(!has_unsafe || may, "{} is unsafe", file.display());
        }
    }
}

#[test]
fn the_fencer_has_no_runtime_and_no_tls() {
    never_name(&["agent/fencer", "agent/shared_state"], &["tokio", "kube", "async ", ".await"]);
}

/// What can wait is done by threads that are not waited for, by processes that hold nothing, or before
/// anything is held.
#[test]
fn the_thread_that_decides_reads_no_file_and_writes_no_log_line() {
    let waits = [
        "std::fs",
        "fs::",
        "File::",
        "eprintln!",
        "println!",
        "stderr()",
        "stdout()",
        ".exists()",
        "process::Command",
    ];
    never_name(&["agent/elector", "lease"], &waits);
}

/// `filter` of an Option that ignores its value is an `if` that hides.
#[test]
fn an_if_is_written_as_an_if() {
    let hidden = [".filter(", "|_|"].concat();
    for file in files_and_tests() {
        let text = fs::read_to_string(&file).expect("readable");
        // Of an iterator it repeats something, which no `if` does.
        let hides = text.lines().any(|line| line.contains(&hidden) && !line.contains("(0..="));
        assert!(!hides, "{} filters by something else than the value", file.display());
    }
}

/// The component acts, or the user: CONTRIBUTING.md says why. Names in code are left out, because they are
/// one word.
#[test]
fn no_sentence_leaves_open_who_acts() {
    let vague = [("who", "ever"), ("some", "body"), ("no", "body"), ("every", "body")];
    let vague = vague.map(|(one, other)| [one, other].concat());
    for file in files_and_tests() {
        for (number, line) in fs::read_to_string(&file).expect("readable").lines().enumerate() {
            let words = line.split(|end: char| !end.is_alphanumeric() && end != '_').map(str::to_lowercase);
            let found: Vec<_> = words.filter(|word| vague.contains(word)).collect();
            assert!(
                found.is_empty(),
                "{}:{} says {}: name the component or the user",
                file.display(),
                number + 1,
                found.join(", ")
            );
        }
    }
}

/// A claim, and no saga: CONTRIBUTING.md says why.
#[test]
fn a_test_is_a_claim_of_at_most_70_characters() {
    for file in files_and_tests() {
        let text = fs::read_to_string(&file).expect("readable");
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
        let long: Vec<_> =
            names.filter(|name| name.len() > 70 && name.contains('_') && !name.contains(' ')).collect();
        assert!(long.is_empty(), "{} has {long:?}", file.display());
    }
}

#[test]
fn binaries_only_parse_initialise_and_call_the_library() {
    let mut files = Vec::new();
    collect(&Path::new(CHECKOUT).join("src/bin"), &mut files);
    assert!(files.len() >= 3);
    for file in files {
        let lines = fs::read_to_string(&file).expect("readable").lines().count();
        assert!(lines <= 40, "{} has {lines} lines", file.display());
    }
}

#[test]
fn apply_and_report_cannot_forget_a_child_or_a_status_field() {
    for (stage, whole) in [("controller/apply", "let Objects {"), ("controller/report", "let Applied {")] {
        let code: String = sources(stage).into_iter().map(|(_, code)| code).collect();
        let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code.contains(whole), "{stage} does not take apart what it is made from");
        assert!(!code.contains(", .. } ="), "{stage} leaves something out");
    }
}
