//! What becomes of renewals on an API server that is busy with the requests of other service accounts, without
//! and with `manifests/flow-control.yaml`.

mod holders;
mod matches;
mod server;

use std::time::{Duration, Instant};

use singletonjob::lease::elector::Ending;
use testkit::audit::{Audit, AuditEvent};
use testkit::report;
use tokio::time::timeout;

use holders::Holders;
use server::{BusyServer, Hogs};

/// Enough for every renewal to be due many times.
const WATCHED_FOR: Duration = Duration::from_secs(30);
/// Every deadline of a lease of 15 s, and what a busy machine takes to fill every seat.
const LOST_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_api_server_costs_holders_their_leases() {
    let server = BusyServer::start().await;
    let mut holders = Holders::begin(&server).await;
    let _hogs = Hogs::begin(&server).await;
    let saturated = Instant::now();
    let lost = timeout(LOST_WITHIN, holders.next_ending()).await.expect("renewals wait with all others");
    assert!(matches!(lost, Ending::Lost(_)), "{lost:?}");
    report::noted("without flow control", "until the first holder loses its lease", saturated.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_renewal_is_in_time_on_a_busy_api_server_with_flow_control() {
    let server = BusyServer::start().await;
    server.install_flow_control().await;
    let audit = Audit::begin(server.control_plane.audit_log());
    let mut holders = Holders::begin(&server).await;
    let _hogs = Hogs::begin(&server).await;
    let ended = timeout(WATCHED_FOR, holders.next_ending()).await;
    assert!(ended.is_err(), "a holder ended: {ended:?}");
    let in_time = holders::timing().request_deadline();
    assert!(server.is_saturated().await && !server.answers(in_time).await, "nothing else waits any more");
    let mut renewals = audit.events(&holders::user());
    renewals.retain(|event| event.verb == "update");
    assert!(renewals.len() >= holders::expected(WATCHED_FOR), "{}", renewals.len());
    assert!(renewals.iter().all(|renewal| renewal.code() == 200), "{renewals:#?}");
    let worst = renewals.iter().map(AuditEvent::took).max().unwrap_or_default();
    report::at_most("with flow control", "a renewal, worst of all", worst, in_time);
}
