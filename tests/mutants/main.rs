//! Every rule of the elector is needed: without it the model notices.
//!
//! A mutant is a change of the elector's source text. Each is compiled as a module of one scratch crate,
//! together with a copy of the model, so that the very same worlds drive it; production code has no switches
//! for that. The scratch crate has the dependencies of this one, by the same lock file, features, profile and
//! target directory: nothing but itself is compiled, and only where something has changed.
//!
//! That the elector as it is breaks nothing in these worlds is what `tests/model` shows.

mod table;

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use table::{MUTANTS, Mutant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What the elector consists of, below `src/lease`, and what it stands on.
const ELECTOR: [&str; 2] = ["elector.rs", "elector"];
const BELOW: [&str; 6] =
    ["clock.rs", "identity.rs", "annotations.rs", "annotations", "record.rs", "timing.rs"];
const MODULES_BELOW: &str =
    "pub mod clock; pub mod identity; pub mod annotations; pub mod record; pub mod timing;";
const MODEL: [&str; 4] = ["search.rs", "world.rs", "world", "worlds.rs"];

#[test]
fn every_rule_of_the_elector_is_needed() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    write_lease(&BELOW, &scratch.join("sound"), &|_, text| text);
    for mutant in MUTANTS {
        write_module(&scratch.join(mutant.name), mutant);
    }
    write_crate(&scratch);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo tells this test of its package would make build scripts run anew, and what depends on them
    // be compiled twice every time.
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_the_package(name)) {
        cargo.env_remove(name);
    }
    cargo
        .args(["run", "--quiet", "--offline", "--example", "hunt", "--manifest-path"])
        .arg(scratch.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target);
    assert!(
        cargo.status().expect("cargo runs").success(),
        "a mutant does not compile, or was not noticed: see above"
    );
}

fn is_of_the_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

fn write_crate(scratch: &Path) {
    write(&scratch.join("Cargo.toml"), &manifest());
    write(&scratch.join("lib.rs"), "");
    write(&scratch.join("hunt.rs"), &program());
    fs::copy(Path::new(ROOT).join("Cargo.lock"), scratch.join("Cargo.lock")).expect("a lock file");
}

/// The same dependencies of others, so that what they were built as fits.
fn manifest() -> String {
    let own = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("a manifest");
    let of_interest =
        |section: &&str| section.starts_with("dependencies]") || section.starts_with("dev-dependencies]");
    let of_others = |section: &str| {
        section.lines().filter(|line| !line.contains("path = ")).collect::<Vec<_>>().join("\n")
    };
    let sections: Vec<_> = own.split("\n[").filter(of_interest).map(of_others).collect();
    let dependencies = format!("[{}\n", sections.join("\n["));
    format!(
        "[package]\nname = \"mutants\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         [lib]\npath = \"lib.rs\"\n\n[[example]]\nname = \"hunt\"\npath = \"hunt.rs\"\n\n\
         {dependencies}\n[profile.dev.package.mutants]\ndebug = false\n\n[workspace]\n"
    )
}

/// Hunts them one after the other.
fn program() -> String {
    let mut modules = format!("mod sound {{ {MODULES_BELOW} }}\n");
    let mut hunts = String::new();
    for Mutant { name, breaks, world, .. } in MUTANTS {
        writeln!(modules, "mod {name} {{ pub mod lease; pub mod search; pub mod world; pub mod worlds; }}")
            .expect("to memory");
        writeln!(hunts, "        hunt!({name}, {breaks:?}, {world:?}),").expect("to memory");
    }
    format!(
        "{HUNT}{modules}fn main() {{\n    let caught = [\n{hunts}    ];\n    std::process::exit(i32::from(caught.contains(&false)));\n}}\n"
    )
}

/// A mutant that is not noticed within a minute is not noticed; most take less than a second.
const HUNT: &str = "#![allow(dead_code, unused_imports, unused_variables, unused_mut, unreachable_patterns)]
macro_rules! hunt {
    ($mutant:ident, $breaks:literal, $world:literal) => {{
        let world = $mutant::worlds::named($world);
        let found = $mutant::search::for_a_short_trace(&world, std::time::Duration::from_secs(60));
        println!(\"{} ({}), in {:?}:\\n    {found}\", stringify!($mutant), $breaks, $world);
        found.broken.is_some()
    }};
}
";

/// What is below the elector is its own only where it is changed: compiling it takes longer than compiling
/// the elector.
fn write_module(folder: &Path, mutant: &Mutant) {
    let change = |path: &Path, text: String| mutated(path, text, mutant);
    write_lease(&ELECTOR, &folder.join("lease"), &change);
    for part in MODEL {
        copy(&Path::new(ROOT).join("tests/model").join(part), &folder.join(part), &|_, text| text);
    }
    let below = if mutant.changes.iter().all(|(file, ..)| file.starts_with("elector")) {
        "pub use crate::sound::{clock, identity, annotations, record, timing};"
    } else {
        write_lease(&BELOW, &folder.join("lease"), &change);
        MODULES_BELOW
    };
    write(&folder.join("lease.rs"), &format!("{below}\npub mod elector;\n"));
}

fn write_lease(parts: &[&str], folder: &Path, change: &dyn Fn(&Path, String) -> String) {
    for part in parts {
        copy(&Path::new(ROOT).join("src/lease").join(part), &folder.join(part), change);
    }
}

fn mutated(path: &Path, sound: String, mutant: &Mutant) -> String {
    let here = |file: &&str| path.ends_with(Path::new("src/lease").join(file));
    mutant.changes.iter().filter(|(file, ..)| here(file)).fold(sound, |text, (file, replace, with)| {
        let places = text.matches(replace).count();
        let name = mutant.name;
        assert!(
            places == 1,
            "{name}: src/lease/{file} has its text {places} times, not once; change tests/mutants/table.rs with the elector"
        );
        text.replace(replace, with)
    })
}

fn copy(from: &Path, to: &Path, change: &dyn Fn(&Path, String) -> String) {
    if from.is_dir() {
        for entry in fs::read_dir(from).expect("readable") {
            let entry = entry.expect("readable");
            copy(&entry.path(), &to.join(entry.file_name()), change);
        }
    } else {
        write(to, &change(from, fs::read_to_string(from).expect("readable")));
    }
}

/// Leaves alone what is the same: cargo goes by the time of the last change.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|stored| stored == text) {
        return;
    }
    fs::create_dir_all(path.parent().expect("below the scratch folder")).expect("writable");
    fs::write(path, text).expect("writable");
}
