//! What this version and earlier ones say to each other: a pod keeps the agent it was made with, and the
//! controller is replaced before it.
//!
//! `tests/contract/<version>` holds what that version wrote; `tests/contract/README.md` says how it got
//! there.

mod additions;
mod artifacts;
mod data;
mod fixture;
mod lifecycles;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::Value;
use singletonjob::agent::config::Config;
use singletonjob::contract::{LeaseFile, environment, exit_codes};
use singletonjob::controller::names;
use singletonjob::controller::observe::candidate::Candidate;
use singletonjob::lease::annotations::Annotations;

/// Everything that this version writes.
fn written() -> BTreeMap<String, Value> {
    let mut all = artifacts::all();
    lifecycles::play_all(&mut |name, lease| {
        all.insert(name.to_owned(), serde_json::to_value(&lease).expect("plain data"));
        lease
    });
    all
}

/// The leases of a version, by name.
fn leases(version: &str) -> BTreeMap<String, Lease> {
    let told = data::of(version).into_iter().filter(|(name, _)| lifecycles::is_told(name));
    told.map(|(name, value)| (name, serde_json::from_value(value).expect("a Lease"))).collect()
}

/// At every point of every lifecycle the Lease is as the earlier version wrote it, and what this version
/// makes of it says all that the earlier one said then. So the agents obey an earlier controller, the
/// controller an earlier agent's reports, and an earlier reader misses nothing.
#[test]
fn programs_of_this_version_go_on_from_what_an_earlier_one_wrote() {
    for version in data::versions() {
        let kept = data::of(&version);
        let mut unplayed: BTreeSet<_> =
            kept.keys().filter(|name| lifecycles::is_told(name)).cloned().collect();
        lifecycles::play_all(&mut |name, lease| {
            let Some(then) = kept.get(name) else { return lease };
            unplayed.remove(name);
            additions::only(&version, name, then, &serde_json::to_value(&lease).expect("plain data"));
            serde_json::from_value(then.clone()).expect("a Lease")
        });
        assert_eq!(
            unplayed,
            BTreeSet::new(),
            "version {version} wrote these too: a lifecycle that was kept is not changed, only added to"
        );
    }
}

#[test]
fn every_note_of_an_earlier_version_is_understood() {
    for (version, (name, lease)) in
        data::versions().iter().flat_map(|version| leases(version).into_iter().map(move |it| (version, it)))
    {
        let annotations = lease.metadata.annotations.as_ref();
        let Annotations {
            policy,
            run,
            handover,
            cleared,
            succession,
            handled_request,
            handed_back,
            spread,
            ticks,
            progress,
            released,
            finished,
            health,
        } = Annotations::read(annotations);
        let directives =
            [policy.is_some(), run.is_some(), handover.is_some(), cleared.is_some(), !succession.is_empty()];
        let reports = [
            progress.is_some(),
            released.is_some(),
            finished.is_some(),
            health.is_some(),
            handled_request.is_some(),
        ];
        let understood = directives
            .into_iter()
            .chain(reports)
            .chain([ticks.is_some(), handed_back.is_some(), spread.is_some()])
            .filter(|understood| *understood)
            .count();
        assert_eq!(understood, annotations.map_or(0, BTreeMap::len), "{version}/{name}: {annotations:#?}");
    }
}

#[test]
fn what_candidates_find_in_their_pod_is_all_that_earlier_agents_need() {
    let today = artifacts::all();
    for version in data::versions() {
        for (name, then) in data::of(&version).iter().filter(|(name, _)| !lifecycles::is_told(name)) {
            additions::only(&version, name, then, &today[name]);
        }
    }
}

#[test]
fn an_earlier_pod_is_a_candidate_of_this_version_and_is_not_replaced() {
    for version in data::versions() {
        let pod = serde_json::from_value(data::of(&version)[artifacts::POD].clone()).expect("a Pod");
        let candidate = Candidate::read(&pod);
        assert!(candidate.is_alive(), "{version}");
        assert_eq!(
            candidate.template_hash,
            Some(names::template_hash(&artifacts::job().spec)),
            "{version}: every pod would be replaced"
        );
    }
}

/// As a container of that pod would be, where its node was rebooted and its image pulled anew.
#[test]
fn an_agent_of_this_version_works_in_a_pod_of_an_earlier_controller() {
    for version in data::versions() {
        let gated = artifacts::gated(&data::of(&version)[artifacts::POD]);
        let environment = artifacts::environment(&gated);
        Config::read(|name| environment.get(name).map(Into::into))
            .unwrap_or_else(|error| panic!("{version}: {error}"));
        for arguments in artifacts::calls_of_the_agent(&gated) {
            let output = agent(&arguments, &environment);
            assert_ne!(output.status.code(), Some(exit_codes::USAGE), "{version}: {arguments:?}: {output:?}");
        }
    }
}

/// It is not PID 1 and has no Lease to read: all it can do is to understand what it is told.
fn agent(arguments: &[String], environment: &BTreeMap<String, String>) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_singletonjob-agent"));
    let command = command.args(arguments).envs(environment).env_remove("KUBERNETES_SERVICE_HOST");
    command.env(environment::TERMINATION_MESSAGE_PATH, "/dev/null").output().expect("it starts")
}

#[test]
fn workloads_read_in_lease_json_what_they_read_before_and_so_do_probes() {
    for version in data::versions() {
        for standing in data::of(&version)[artifacts::STANDING].as_array().expect("a list") {
            serde_json::from_value::<LeaseFile>(standing.clone())
                .unwrap_or_else(|error| panic!("{version}: {standing}: {error}"));
        }
    }
}

#[test]
fn a_comparison_finds_what_is_missing_or_has_another_type_or_value() {
    let then =
        serde_json::json!({"annotations": {"run": r#"{"number":1}"#}, "env": [{"name": "A", "value": "1"}]});
    let differs = |today: Value| !additions::differences(&then, &today).is_empty();
    assert!(!differs(
        serde_json::json!({"annotations": {"run": r#"{"new":0,"number":1}"#}, "env": [{"name": "B"}, {"name": "A", "value": "1"}]})
    ));
    assert!(differs(
        serde_json::json!({"annotations": {"run": r#"{"number":"1"}"#}, "env": [{"name": "A", "value": "1"}]})
    ));
    assert!(differs(
        serde_json::json!({"annotations": {"run": r#"{"number":1}"#}, "env": [{"name": "A", "value": "2"}]})
    ));
    assert!(differs(serde_json::json!({"annotations": {}, "env": [{"name": "A", "value": "1"}]})));
}

/// At a release: see `tests/contract/README.md`.
#[test]
#[ignore = "writes tests/contract/$CONTRACT_VERSION"]
fn keep_this_version() {
    let version = std::env::var("CONTRACT_VERSION").expect("CONTRACT_VERSION says which version this is");
    data::keep(&version, &written());
}
