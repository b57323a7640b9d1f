//! Writes the file in which the workload, and the agent's own probes, read about the Lease.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::background::Background;
use super::shared_state::to_nanoseconds;
use super::whole_file;
use super::workload::Started;
use crate::contract::{LeaseFile, Role};
use crate::lease::elector::{self, View};
use crate::lease::identity::Identity;

/// Replaces the [`LeaseFile`] atomically whenever its content changes. It does so in the background, and
/// writes only the newest content where the disk falls behind.
#[derive(Debug)]
pub(super) struct LeaseFileWriter {
    identity: Identity,
    started: Option<Started>,
    scheduled_time: Option<Timestamp>,
    published: Option<LeaseFile>,
    unwritten: Arc<Unwritten>,
    background: Background,
}

/// What is to be written next, and where.
#[derive(Debug)]
struct Unwritten {
    path: PathBuf,
    newest: Mutex<Option<LeaseFile>>,
}

impl LeaseFileWriter {
    /// A writer that has not written anything yet.
    pub(super) fn new(path: PathBuf, identity: Identity, background: Background) -> Self {
        let unwritten = Arc::new(Unwritten { path, newest: Mutex::new(None) });
        Self { identity, started: None, scheduled_time: None, published: None, unwritten, background }
    }

    /// Notes that the workload was started, and for which tick, if for any. What is published next says so.
    pub(super) fn note_start(&mut self, started: Started, scheduled_time: Option<Timestamp>) {
        self.started = Some(started);
        self.scheduled_time = scheduled_time;
    }

    /// Has `view` written, at best: a file that cannot be written stops no candidate from holding a Lease.
    pub(super) fn publish(&mut self, view: &View) {
        let content = self.describe(view);
        if self.published.as_ref() != Some(&content) {
            self.unwritten.replace(content.clone());
            let unwritten = Arc::clone(&self.unwritten);
            // Where there is no room, a write that was submitted before writes this content too.
            self.background.submit(move || unwritten.write());
            self.published = Some(content);
        }
    }

    fn describe(&self, view: &View) -> LeaseFile {
        LeaseFile {
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

impl Unwritten {
    /// The lock is never held during a write.
    fn replace(&self, content: LeaseFile) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(content);
    }

    fn write(&self) {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let written = newest.map_or(Ok(()), |content| whole_file::write_json(&self.path, &content));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "the agent cannot write the file in which the workload reads about its lease");
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
        let mut writer = LeaseFileWriter::new(path.clone(), identity.clone(), background.clone());
        let tick: Timestamp = "2026-03-29T01:00:00Z".parse().unwrap();
        writer.note_start(Started { at: Duration::from_nanos(5), pid: 17 }, Some(tick));
        writer.publish(&View {
            role: elector::Role::Active,
            holder: Some(identity.clone()),
            token: Some(Version(48_213)),
            valid_until: Some(Duration::from_nanos(11)),
            trouble: None,
        });
        background.finish(Duration::from_secs(20));
        let read: LeaseFile = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((read.role, read.token, read.identity), (Role::Active, Some(Version(48_213)), identity));
        assert_eq!(
            (read.started_boottime_nanoseconds, read.valid_until_boottime_nanoseconds),
            (Some(5), Some(11))
        );
        assert_eq!((read.workload_pid, read.scheduled_time), (Some(17), Some(tick)));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
