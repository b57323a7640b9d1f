//! Finds out whether the workload has come up. A template's startup probe is asked until it succeeds once,
//! for every start anew.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Failure, Start};
use crate::agent::config::STARTUP_MARK;
use crate::agent::whole_file;
use crate::contract::TERMINATION_PREFIX;
use crate::contract::probe::TemplateProbe;

/// Succeeds if the workload has come up, now or at an earlier look.
///
/// # Errors
/// [`Failure`] if it has not.
pub(super) fn has_come_up(startup: &TemplateProbe, start: Start, directory: &Path) -> Result<(), Failure> {
    if was_seen(start, directory) {
        return Ok(());
    }
    if start.age < Duration::from_secs(startup.initial_delay_seconds.into()) {
        return Err(Failure::NotReady("the workload was just started".to_owned()));
    }
    startup.handler_answers()?;
    let mark = directory.join(STARTUP_MARK);
    if let Err(error) = whole_file::write(&mark, id(start).as_bytes()) {
        eprintln!(
            "{TERMINATION_PREFIX}remembering at {} that the workload has come up: {error}",
            mark.display()
        );
    }
    Ok(())
}

/// Whether the workload had come up at an earlier look.
pub(super) fn was_seen(start: Start, directory: &Path) -> bool {
    fs::read_to_string(directory.join(STARTUP_MARK)).is_ok_and(|seen| seen == id(start))
}

fn id(start: Start) -> String {
    start.at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::probe::{Kind, Probe};

    const BUDGET: u64 = 30;

    fn start(at: u64, age: u64) -> Start {
        Start { at, age: Duration::from_secs(age) }
    }

    /// Comes up when `file` is there, and is alive and ready as long as `well` says.
    fn probe(file: &Path, well: bool) -> Probe {
        let handler = |script: &str| format!(r#"{{"exec":{{"command":["sh","-c","{script}"]}}}}"#);
        let startup = format!(
            r#"{{"probe":{},"initialDelaySeconds":5}}"#,
            handler(&format!("test -e {}", file.display()))
        );
        let json = format!(
            r#"{{"probe":{},"startup":{startup},"startupBudgetSeconds":{BUDGET}}}"#,
            handler(if well { "true" } else { "false" })
        );
        serde_json::from_str(&json).expect("a probe")
    }

    #[test]
    fn until_it_comes_up_a_workload_is_not_ready_and_liveness_is_patient() {
        let directory = tempfile::tempdir().unwrap();
        let (file, sick) =
            (directory.path().join("comes-up"), probe(&directory.path().join("comes-up"), false));
        let says = |kind, age| sick.answer(kind, start(7, age), directory.path());
        assert!(says(Kind::Liveness, BUDGET - 1).is_ok() && says(Kind::Readiness, BUDGET - 1).is_err());
        assert!(says(Kind::Liveness, BUDGET).is_err(), "it did not come up");
        fs::write(&file, "").unwrap();
        assert!(says(Kind::Liveness, 4).is_ok(), "not asked before its initial delay");
        assert!(says(Kind::Liveness, 5).is_err(), "it is up, and not alive");
    }

    #[test]
    fn it_comes_up_once_for_every_start() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("comes-up");
        fs::write(&file, "").unwrap();
        let well = probe(&file, true);
        let says = |at| well.answer(Kind::Readiness, start(at, 10), directory.path());
        says(7).expect("it has come up");
        fs::remove_file(&file).unwrap();
        says(7).expect("no probe asks again");
        says(8).expect_err("another start has to come up by itself");
    }

    #[test]
    fn no_answer_is_no_failure_where_the_workload_only_had_to_come_up_and_has() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("comes-up");
        let well = probe(&file, true);
        let only_up = Probe { own: TemplateProbe { handler: None, ..well.own.clone() }, ..well.clone() };
        let forgives = |probe: &Probe| {
            let why = Failure::NotReady("killed".to_owned());
            probe.forgive(Kind::Liveness, start(7, BUDGET), directory.path(), why).is_ok()
        };
        assert!(!forgives(&only_up), "it did not come up");
        fs::write(&file, "").unwrap();
        only_up.answer(Kind::Liveness, start(7, BUDGET), directory.path()).expect("it has come up");
        assert!(forgives(&only_up) && !forgives(&well));
    }
}
