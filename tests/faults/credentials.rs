//! Tokens that are replaced, rights that are needed, and rights that are taken away.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::DeleteParams;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use singletonjob::contract::exit_codes;
use singletonjob::controller::build::rbac::VERBS;
use testkit::audit::{Audit, AuditEvent};
use testkit::observe::{await_tenure, eventually, nothing_starts, now};
use tokio::time::sleep;

use crate::scenario::{END, NAME, SECOND, START, Scenario, scenario};

const LEASE: u64 = 6;
/// A client reads its token file again after a minute at most.
const TOKEN_READ: Duration = Duration::from_secs(61);
/// What an API server keeps a good opinion of a token for.
const TOKEN_CACHED: Duration = Duration::from_secs(11);

/// A new token, and what it is bound to.
async fn bind_token(scenario: &Scenario, name: &str) -> Value {
    let secret: Secret = scenario.post(json!({"metadata": {"name": name}})).await;
    let reference = json!({"apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret.uid()});
    scenario.rotate_token(Some(reference.clone())).await;
    reference
}

#[test]
fn a_token_that_is_replaced_before_it_ends_is_not_noticed() {
    scenario("50-token-rotated", LEASE, async |scenario| {
        bind_token(scenario, "old").await;
        let (_active, _standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        bind_token(scenario, "new").await;
        scenario.nothing_happens(TOKEN_READ).await;
        scenario.api::<Secret>().delete("old", &DeleteParams::default()).await.expect("it is there");
        scenario.nothing_happens(TOKEN_CACHED + scenario.timing.lease_duration()).await;
    });
}

#[test]
fn rights_taken_away_end_the_holder_in_time_and_given_back_let_one_run() {
    scenario("50-rights-removed", LEASE, async |scenario| {
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--stubborn"]).await;
        scenario.api::<RoleBinding>().delete(NAME, &DeleteParams::default()).await.expect("it is there");
        scenario.api::<Role>().delete(NAME, &DeleteParams::default()).await.expect("it is there");
        let removed = now();
        sleep(SECOND).await;
        let deadline = active.valid_until();
        let (code, message) = active.await_end(scenario.timing.lease_duration() * 3 + END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
        scenario.died_by(old.token, deadline);
        scenario.noted(
            "rights removed to last instruction",
            testkit::observe::tenure(&scenario.records, old.token).last - removed,
        );
        nothing_starts(&scenario.records, 1, scenario.timing.lease_duration()).await;
        scenario.allow().await;
        await_tenure(&scenario.records, 2, scenario.timing.lease_duration() + START).await;
    });
}

#[test]
fn a_handover_needs_every_right_that_candidates_were_given_and_no_other() {
    scenario("rights-of-candidates", LEASE, async |scenario| {
        let audit = Audit::begin(scenario.control_plane.audit_log());
        let (mut active, _standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        active.signal(Signal::SIGTERM);
        active.await_end(END).await;
        await_tenure(&scenario.records, 2, START).await;
        let events = audit.events(&scenario.user());
        let refused: Vec<_> = events.iter().filter(|event| matches!(event.code(), 401 | 403)).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        let used: BTreeSet<_> = events.iter().flat_map(AuditEvent::needs).collect();
        let granted =
            VERBS.map(|verb| ("coordination.k8s.io".to_owned(), "leases".to_owned(), verb.to_owned()));
        assert_eq!(used, BTreeSet::from(granted));
        for verb in ["list", "create", "patch", "delete", "deletecollection"] {
            assert!(!scenario.may(verb, "leases/rollup"), "{verb}");
        }
        for what in ["leases/another", "pods", "secrets", "singletonjobs.singletonjob.dev"] {
            assert!(!scenario.may("get", what), "{what}");
        }
    });
}

#[test]
fn without_any_one_of_its_rights_a_candidate_is_refused_something() {
    for missing in VERBS {
        scenario("rights-of-candidates-but-one", LEASE, async |scenario| {
            let left: Vec<_> = VERBS.into_iter().filter(|verb| *verb != missing).collect();
            scenario.allow_only(&left).await;
            let audit = Audit::begin(scenario.control_plane.audit_log());
            let _candidate = scenario.pod(0).start(&[]).await;
            let refused = || audit.events(&scenario.user()).into_iter().find(|event| event.code() == 403);
            let refused = eventually("something is refused", START, refused).await;
            assert_eq!(refused.verb, missing);
        });
    }
}
