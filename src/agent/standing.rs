//! What the workload, and the agent's own probe, may read about the Lease.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::background::Background;
use super::shared_state::to_nanoseconds;
use super::whole_file;
use super::workload::Started;
use crate::contract::{Role, Standing};
use crate::lease::elector::{self, View};
use crate::lease::identity::Identity;

/// Writes [`Standing`] to a file, atomically, whenever it changes: in the background, and the newest where it
/// falls behind.
#[derive(Debug)]
pub(super) struct Board {
    identity: Identity,
    started: Option<Started>,
    scheduled_time: Option<Timestamp>,
    posted: Option<Standing>,
    file: Arc<File>,
    background: Background,
}

/// What is to be written next, and where.
#[derive(Debug)]
struct File {
    path: PathBuf,
    next: Mutex<Option<Standing>>,
}

impl Board {
    /// Nothing is written yet.
    pub(super) fn new(path: PathBuf, identity: Identity, background: Background) -> Self {
        let file = Arc::new(File { path, next: Mutex::new(None) });
        Self { identity, started: None, scheduled_time: None, posted: None, file, background }
    }

    /// The workload was started, for this tick if for any: part of what is posted next.
    pub(super) fn note_start(&mut self, started: Started, scheduled_time: Option<Timestamp>) {
        self.started = Some(started);
        self.scheduled_time = scheduled_time;
    }

    /// Best effort: a file that cannot be written stops no candidate from holding a Lease.
    pub(super) fn post(&mut self, view: &View) {
        let standing = self.describe(view);
        if self.posted.as_ref() != Some(&standing) {
            self.file.set_next(standing.clone());
            let file = Arc::clone(&self.file);
            // Where there is no room, one that was given before writes this too.
            self.background.give(move || file.write_next());
            self.posted = Some(standing);
        }
    }

    fn describe(&self, view: &View) -> Standing {
        Standing {
            role: to_role(view.role),
            identity: self.identity.clone(),
            holder: view.holder.clone(),
            token: view.token,
            valid_until_boottime_nanoseconds: view.valid_until.map(to_nanoseconds),
            started_boottime_nanoseconds: self.started.map(|started| to_nanoseconds(started.at)),
            workload_pid: self.started.map(|started| started.pid),
            scheduled_time: self.scheduled_time,
            trouble: view.trouble.clone(),
        }
    }
}

impl File {
    /// The lock is never held while something is written.
    fn set_next(&self, standing: Standing) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }

    fn write_next(&self) {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let written =
            next.map_or(Ok(()), |standing| whole_file::write(&self.path, &serde_json::to_vec(&standing)?));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "cannot write what the workload may read about its lease");
        }
    }
}

fn to_role(role: elector::Role) -> Role {
    match role {
        elector::Role::Pending => Role::Pending,
        elector::Role::Standby => Role::Standby,
        elector::Role::Active => Role::Active,
        elector::Role::Stopping => Role::Stopping,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::lease::identity::Version;

    #[test]
    fn the_workload_reads_its_token_and_until_when_it_is_good() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lease.json");
        let identity = Identity::new("web-1", "6f1c", 7);
        let background = Background::start("test").unwrap();
        let mut board = Board::new(path.clone(), identity.clone(), background.clone());
        let tick: Timestamp = "2026-03-29T01:00:00Z".parse().unwrap();
        board.note_start(Started { at: Duration::from_nanos(5), pid: 17 }, Some(tick));
        board.post(&View {
            role: elector::Role::Active,
            holder: Some(identity.clone()),
            token: Some(Version(48_213)),
            valid_until: Some(Duration::from_nanos(11)),
            trouble: None,
        });
        background.finish(Duration::from_secs(20));
        let read: Standing = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((read.role, read.token, read.identity), (Role::Active, Some(Version(48_213)), identity));
        assert_eq!(
            (read.started_boottime_nanoseconds, read.valid_until_boottime_nanoseconds),
            (Some(5), Some(11))
        );
        assert_eq!((read.workload_pid, read.scheduled_time), (Some(17), Some(tick)));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
