//! What was asked of the API server, by whom, in its own words.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

/// One answered request for a resource.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: String,
    user: User,
    #[serde(rename = "requestURI")]
    uri: String,
    object_ref: Option<Subject>,
    response_status: Option<Answer>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    code: u16,
}

impl AuditEvent {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// In whose name it writes fields, as the request says; empty where it says nothing.
    pub fn field_manager(&self) -> &str {
        let query = self.uri.split_once('?').map_or("", |(_, query)| query);
        query.split('&').find_map(|pair| pair.strip_prefix("fieldManager=")).unwrap_or_default()
    }

    /// HTTP status of the answer.
    pub fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |answer| answer.code)
    }

    /// From when it was received to the end of its answer; a watch begins with it.
    pub fn took(&self) -> Duration {
        let took = self.stage_timestamp.duration_since(self.request_received_timestamp);
        Duration::try_from(took).unwrap_or(Duration::ZERO)
    }

    /// In which namespace.
    pub fn namespace(&self) -> &str {
        self.object_ref.as_ref().map_or("", |subject| &subject.namespace)
    }

    /// What a role must grant for it: group, resource with subresource, verbs. An apply of what was not there
    /// is also a creation.
    pub fn needs(&self) -> Vec<(String, String, String)> {
        let Some(subject) = &self.object_ref else { return Vec::new() };
        let resource = [subject.resource.as_str(), subject.subresource.as_str()]
            .join("/")
            .trim_end_matches('/')
            .to_owned();
        let created = (self.verb == "patch" && self.code() == 201).then_some("create");
        let verbs = [Some(self.verb.as_str()), created];
        verbs
            .into_iter()
            .flatten()
            .map(|verb| (subject.api_group.clone(), resource.clone(), verb.to_owned()))
            .collect()
    }
}

/// The part of the log that was written after it was opened.
pub struct Audit {
    log: PathBuf,
    from: u64,
}

impl Audit {
    /// From now on.
    pub fn begin(log: PathBuf) -> Self {
        let from = fs::metadata(&log).map_or(0, |log| log.len());
        Self { log, from }
    }

    /// Everything that `user` has asked for since.
    pub fn events(&self, user: &str) -> Vec<AuditEvent> {
        let mut log = File::open(&self.log).expect("an audit log");
        log.seek(SeekFrom::Start(self.from)).expect("a file");
        let mut log = BufReader::new(log);
        let events = std::iter::from_fn(|| whole_line(&mut log))
            .map(|line| serde_json::from_slice::<AuditEvent>(&line).expect("an audit event"));
        events.filter(|event| event.user.username == user && event.object_ref.is_some()).collect()
    }
}

/// The next line, unless it is still being written.
fn whole_line(log: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    log.read_until(b'\n', &mut line).expect("a readable log");
    line.ends_with(b"\n").then_some(line)
}
