//! What the controller asks the API server, by verb and resource.

use std::collections::BTreeMap;

use testkit::audit::{Audit, AuditEvent};

/// How often the controller asked, by verb and resource, and how much of that was a retry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Without retries.
    pub by_name: BTreeMap<String, usize>,
    /// Writes among them.
    pub writes: usize,
    /// Requests that the API server refused, so that the controller sends them again; by verb and resource.
    pub retries: BTreeMap<String, usize>,
}

impl Counts {
    /// All of them, without retries.
    pub fn total(&self) -> usize {
        self.by_name.values().sum()
    }

    /// Requests of this verb, without retries.
    pub fn of_verb(&self, verb: &str) -> usize {
        let is_of_verb =
            |(name, count): (&String, &usize)| (name.split(' ').next() == Some(verb)).then_some(*count);
        self.by_name.iter().filter_map(is_of_verb).sum()
    }

    fn add(&mut self, event: &AuditEvent) {
        let Some((_, resource, _)) = event.needs().into_iter().next() else { return };
        let is_retried = is_to_be_retried(event.code());
        let counts = if is_retried { &mut self.retries } else { &mut self.by_name };
        *counts.entry(format!("{} {resource}", event.verb)).or_default() += 1;
        self.writes += usize::from(event.is_write() && !is_retried);
    }
}

/// A conflict, too many requests, or an API server that is not well.
fn is_to_be_retried(code: u16) -> bool {
    matches!(code, 409 | 429 | 500..)
}

/// The controller's requests since a moment.
pub struct Requests {
    audit: Audit,
    user: &'static str,
    namespaces_left_out: Vec<&'static str>,
}

impl Requests {
    /// Counts from now on what `user` asks; watches and these namespaces are left out.
    pub fn begin(audit: Audit, user: &'static str, namespaces_left_out: &[&'static str]) -> Self {
        Self { audit, user, namespaces_left_out: namespaces_left_out.to_vec() }
    }

    /// Since then.
    pub fn so_far(&self) -> Counts {
        let mut counts = Counts::default();
        for event in self.audit.events(self.user) {
            if event.verb != "watch" && !self.namespaces_left_out.contains(&event.namespace()) {
                counts.add(&event);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(verb: &str, resource: &str, code: u16) -> AuditEvent {
        let event = json!({"verb": verb, "user": {"username": "controller"}, "requestURI": "/",
            "objectRef": {"resource": resource, "namespace": "tenant"}, "responseStatus": {"code": code},
            "requestReceivedTimestamp": "2026-01-01T00:00:00Z", "stageTimestamp": "2026-01-01T00:00:00Z"});
        serde_json::from_value(event).expect("an event")
    }

    #[test]
    fn retries_are_counted_apart_and_reads_are_no_writes() {
        let mut counts = Counts::default();
        for (verb, code) in [("get", 404), ("create", 201), ("create", 409), ("update", 200), ("update", 503)]
        {
            counts.add(&event(verb, "leases", code));
        }
        assert_eq!((counts.total(), counts.writes), (3, 2));
        assert_eq!(counts.retries, [("create leases".to_owned(), 1), ("update leases".to_owned(), 1)].into());
        assert_eq!(counts.of_verb("create"), 1);
    }
}
