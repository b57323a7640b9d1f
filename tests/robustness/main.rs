//! The controller under everything that can happen to it between two requests: killed, refused, left without
//! an answer, told late. Whatever it is, in the end there is what would have been there without it.

mod agents;
mod asked;
mod fault_proxy;
mod fixture;
mod harness;
mod ledger;
mod lifecycle;
mod stale;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use fault_proxy::{Fault, Plan};
use futures::{StreamExt, stream};
use harness::{Harness, Told};

/// Lifecycles that are told at the same time.
const ABREAST: usize = 16;
/// In one lifecycle every so many requests fail; in another, those after them, until all have failed.
const STRIDE: usize = 11;
/// The same, where a new controller has to read everything first.
const KILL_STRIDE: usize = 23;
/// The same, for what takes as long as a request may.
const SILENCE_STRIDE: usize = 31;

/// Plans that together let `fault` happen to every request.
fn plans(fault: Fault, stride: usize) -> Vec<(String, Plan)> {
    let plan = |first: usize| -> Plan { Arc::new(move |number| (number % stride == first).then_some(fault)) };
    (0..stride).map(|first| (format!("{fault:?}-{first}").to_lowercase(), plan(first))).collect()
}

/// Tells each lifecycle with its plan, and demands the end that it has without one.
async fn tell_all(harness: &Harness, plans: Vec<(String, Plan)>) -> Vec<Told> {
    let (undisturbed, _) = harness.undisturbed().await;
    let lifecycles =
        stream::iter(plans).map(|(namespace, plan)| harness.tell(namespace, plan, undisturbed.clone()));
    let told: Vec<_> = lifecycles.buffer_unordered(ABREAST).collect().await;
    let failed: Vec<_> =
        told.iter().filter_map(|lifecycle| lifecycle.as_ref().err()).map(String::as_str).collect();
    assert!(failed.is_empty(), "{} of {} went wrong:\n{}", failed.len(), told.len(), failed.join("\n"));
    told.into_iter().flatten().collect()
}

/// One line for the log of a run; demands that `faults` have happened to nearly all requests
/// that an undisturbed lifecycle needs.
fn count(told: &[Told], faults: &[Fault], undisturbed: usize) {
    let pairs: BTreeSet<_> = told
        .iter()
        .flat_map(|lifecycle| &lifecycle.faults)
        .map(|(number, fault)| (*number, format!("{fault:?}")))
        .collect();
    let requests: usize = told.iter().map(|lifecycle| lifecycle.requests).sum();
    eprintln!(
        "{faults:?}: {} lifecycles, {requests} requests, of which {} were hit, each at another place",
        told.len(),
        pairs.len()
    );
    let early = pairs.iter().filter(|(number, _)| *number <= undisturbed).count();
    assert!(early * 10 >= undisturbed * faults.len() * 9, "{early} places among the first {undisturbed}");
}

fn tell_with(faults: &[(Fault, usize)]) {
    let harness = Harness::shared();
    let plans = faults.iter().flat_map(|(fault, stride)| plans(*fault, *stride)).collect();
    harness.runtime.block_on(async {
        let told = tell_all(&harness, plans).await;
        let (_, requests) = harness.undisturbed().await;
        count(&told, &faults.iter().map(|(fault, _)| *fault).collect::<Vec<_>>(), *requests);
    });
}

#[test]
fn killed_after_any_request_its_successor_brings_about_the_same() {
    tell_with(&[(Fault::Kill, KILL_STRIDE)]);
}

#[test]
fn refused_at_any_request_it_brings_about_the_same() {
    tell_with(&[(Fault::Conflict, STRIDE), (Fault::TooManyRequests, STRIDE), (Fault::InternalError, STRIDE)]);
}

#[test]
fn unanswered_at_any_request_it_brings_about_the_same() {
    tell_with(&[(Fault::Silence, SILENCE_STRIDE), (Fault::LostAnswer, STRIDE)]);
}
