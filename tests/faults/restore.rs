//! A store that is restored from a backup, with the command of docs/safety.md.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::PostParams;
use nix::sys::signal::Signal;
use singletonjob::lease::annotations::{self, CompletionPolicy, Policy, keys};
use singletonjob::lease::identity::Version;
use testkit::control_plane::ControlPlane;
use testkit::observe::{await_tenure, nothing_starts};
use testkit::witness::Tenure;

use crate::scenario::{END, NAME, START, Scenario, play};
use crate::store::Store;

const LEASE: u64 = 6;
const SAFETY: &str = include_str!("../../docs/safety.md");
const BUMP: [&str; 3] = ["--bump-revision", "1000000000", "--mark-compacted"];
/// Writes between the backup and the last token: many more than an API server makes when it starts.
const SINCE_THE_BACKUP: u32 = 3000;

/// A service in its second tenure, and a backup that knows of the first alone.
struct History<'a> {
    scenario: &'a Scenario,
    store: &'a Store,
    backup: PathBuf,
    second: Tenure,
}

fn backed_up(name: &'static str, body: impl AsyncFnOnce(&History<'_>)) {
    let store = Store::start();
    let control_plane = Arc::new(ControlPlane::on(&store.endpoint(0)));
    play(name, control_plane, LEASE, CompletionPolicy::Never, 0, async |scenario| {
        let (mut first, _second, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        let backup = store.back_up();
        store.pass_by(SINCE_THE_BACKUP);
        first.signal(Signal::SIGTERM);
        first.await_end(END).await;
        let second = await_tenure(&scenario.records, 2, START).await;
        body(&History { scenario, store: &store, backup, second }).await;
    });
}

impl History<'_> {
    /// As docs/safety.md says: API servers stop for longer than a lease, so that every holder is dead when
    /// the past is served.
    async fn restore(&self, flags: &[&str]) {
        self.scenario.control_plane.stop_api_server();
        nothing_starts(&self.scenario.records, 2, self.scenario.timing.lease_duration()).await;
        self.store.restore(&self.backup, flags);
        self.scenario.control_plane.start_api_server();
    }

    /// What the controller writes into a Lease that it makes again, from a status that remembers the last
    /// token.
    async fn remember_the_last_token(&self) {
        let mut lease = self.scenario.lease().await;
        let policy = self.scenario.record().await.annotations.policy.expect("made with one");
        let policy = Policy { token_floor: Some(Version(self.second.token)), ..policy };
        annotations::write(lease.annotations_mut(), keys::POLICY, Some(&policy));
        self.scenario
            .api::<Lease>()
            .replace(NAME, &PostParams::default(), &lease)
            .await
            .expect("only this test writes it");
    }

    async fn has_gone_back(&self) -> bool {
        self.scenario.record().await.version < Version(self.second.token)
    }

    /// The workload's next start, with a token above all that were given out, those that the backup has
    /// forgotten too.
    async fn goes_on(&self) {
        let third =
            await_tenure(&self.scenario.records, 3, self.scenario.timing.lease_duration() + START).await;
        assert!(third.token > self.second.token, "{third:?} after {:?}", self.second);
    }
}

#[test]
fn after_a_restore_that_bumps_the_revision_tokens_keep_rising() {
    assert!(SAFETY.contains(&BUMP.join(" ")), "docs/safety.md has another command");
    backed_up("52-bumped", async |history| {
        let _third = history.scenario.standby(history.scenario.pod(2)).await;
        history.restore(&BUMP).await;
        history.goes_on().await;
    });
}

#[test]
fn after_a_restore_without_a_bump_nothing_starts_below_the_token_floor() {
    backed_up("52-not-bumped", async |history| {
        history.restore(&[]).await;
        history.remember_the_last_token().await;
        let _third = history.scenario.standby(history.scenario.pod(2)).await;
        nothing_starts(&history.scenario.records, 2, history.scenario.timing.lease_duration() * 2).await;
        assert!(history.has_gone_back().await, "the floor has been passed, and was not tried");
        history.restore(&BUMP).await;
        history.goes_on().await;
    });
}
