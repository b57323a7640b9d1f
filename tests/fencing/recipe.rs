//! The fenced code blocks of docs/fencing.md as files, and a shell that runs them as a workload would.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use singletonjob::contract::environment;
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/fencing.md");

/// A named block of the page.
pub struct Recipe {
    /// As which file the page speaks of it.
    pub name: &'static str,
    text: &'static str,
}

/// All blocks of the page; one without a name is an error, because nothing would run it.
pub fn all() -> impl Iterator<Item = Recipe> {
    let blocks = PAGE.split("\n```").skip(1).step_by(2);
    blocks.map(|block| {
        let (info, text) = block.split_once('\n').expect("a block has lines");
        let (_, name) =
            info.split_once(' ').unwrap_or_else(|| panic!("a block of docs/fencing.md has no name: {text}"));
        Recipe { name, text }
    })
}

/// The block of this name.
pub fn text(name: &str) -> &'static str {
    all().find(|recipe| recipe.name == name).unwrap_or_else(|| panic!("docs/fencing.md has no {name}")).text
}

/// A directory with all recipes in it, and the environment in which they run.
pub struct Workplace {
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
    prelude: String,
}

impl Workplace {
    /// Nothing in the environment but what the test itself has.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for recipe in all() {
            fs::write(directory.path().join(recipe.name), recipe.text).expect("a writable directory");
        }
        Self { directory, environment: Vec::new(), prelude: String::new() }
    }

    /// What an administrator of the workload would have set.
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((variable, value.into()));
        self
    }

    /// Lets recipes that call `program` reach the server of this test: it is called with these words before
    /// its own.
    pub fn reaching(mut self, program: &str, words: &str) -> Self {
        self.prelude = format!("alias {program}='{words}'\n");
        self
    }

    /// Where the recipes are.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs a shell recipe as the holder of `token`. What it printed, or what it complained of.
    pub fn run(&self, recipe: &str, token: &str, arguments: &[&str]) -> Result<String, String> {
        outcome(
            &self
                .shell(&format!(". ./{recipe}"), arguments)
                .env(environment::FENCING_TOKEN, token)
                .output()
                .expect("a shell"),
        )
    }

    /// Runs a command. What it printed, or what it complained of.
    pub fn attempt(&self, command: &str) -> Result<String, String> {
        outcome(&self.shell(command, &[]).output().expect("a shell"))
    }

    /// Runs a command that must succeed; what it printed.
    pub fn must(&self, command: &str) -> String {
        self.attempt(command).unwrap_or_else(|complaint| panic!("{command}: {complaint}"))
    }

    fn shell(&self, script: &str, arguments: &[&str]) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{}{script}", self.prelude), "sh"]).args(arguments);
        shell.current_dir(self.path()).envs(self.environment.iter().cloned());
        shell
    }
}

fn outcome(output: &Output) -> Result<String, String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stdout) + &text(&output.stderr))
    }
}
