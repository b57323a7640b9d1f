//! The controller under everything that can happen to it between two requests: killed, refused, left without an answer, told late. Whatever it
//! is, in the end there is what would have been there without it.

#[path = "robustness/agents.rs"]
mod agents;
#[path = "robustness/asked.rs"]
mod asked;
#[path = "support/control_plane.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod control_plane;
#[path = "robustness/door.rs"]
mod door;
#[path = "robustness/ledger.rs"]
mod ledger;
#[path = "robustness/stage.rs"]
mod stage;
#[path = "robustness/stale.rs"]
mod stale;
#[path = "robustness/story.rs"]
mod story;
#[path = "robustness/theatre.rs"]
mod theatre;
#[path = "robustness/world.rs"]
mod world;

use std::collections::BTreeSet;

use door::{Fault, Plan};
use futures::{StreamExt, stream};
use theatre::{Theatre, Told};

/// Stories that are told at the same time.
const ABREAST: usize = 32;
/// In one story every so many requests fail; in another, those after them, until all have failed.
const STRIDE: usize = 13;
/// The same, for requests whose failure takes as long as a request may.
const LONG_STRIDE: usize = 37;

/// Tells each story with its plan, and demands the end that it has without one.
async fn tell_all(theatre: &Theatre, plans: Vec<(String, Plan)>) -> Vec<Told> {
    let (undisturbed, _) = theatre.undisturbed().await;
    let stories = stream::iter(plans).map(|(namespace, plan)| theatre.tell(namespace, plan, undisturbed.clone()));
    let told: Vec<_> = stories.buffer_unordered(ABREAST).collect().await;
    let failed: Vec<_> = told.iter().filter_map(|story| story.as_ref().err()).map(String::as_str).collect();
    assert!(failed.is_empty(), "{} of {} went wrong:\n{}", failed.len(), told.len(), failed.join("\n"));
    told.into_iter().flatten().collect()
}

/// One line for whoever reads the log of a run.
fn count(what: &str, told: &[Told]) {
    let pairs: BTreeSet<_> = told.iter().flat_map(|story| &story.faults).map(|(number, fault)| (*number, format!("{fault:?}"))).collect();
    let requests: usize = told.iter().map(|story| story.requests).sum();
    eprintln!("{what}: {} stories, {requests} requests, {} pairs of a request and what happened to it", told.len(), pairs.len());
}

#[test]
fn killed_after_any_request_it_is_followed_by_one_that_brings_about_the_same() {
    let theatre = Theatre::shared();
    theatre.runtime.block_on(async {
        let (_, requests) = theatre.undisturbed().await;
        let plan =
            |last: usize| -> (String, Plan) { (format!("killed-{last}"), Box::new(move |number| (number == last).then_some(Fault::Kill))) };
        let told = tell_all(&theatre, (1..=*requests).map(plan).collect()).await;
        count(&format!("killed after each of {requests} requests"), &told);
        let killed = told.iter().filter(|story| !story.faults.is_empty()).count();
        assert!(killed * 10 >= requests * 9, "most stories are as long as the first");
    });
}

#[test]
fn refused_or_unanswered_at_any_request_it_brings_about_the_same() {
    let theatre = Theatre::shared();
    let kinds = [
        ("silent", Fault::Silence, LONG_STRIDE),
        ("conflict", Fault::Conflict, STRIDE),
        ("throttled", Fault::TooManyRequests, STRIDE),
        ("error", Fault::InternalError, STRIDE),
        ("lost", Fault::LostAnswer, STRIDE),
    ];
    let plan = |name: &str, fault: Fault, stride: usize, first: usize| -> (String, Plan) {
        (format!("{name}-{first}"), Box::new(move |number| (number % stride == first).then_some(fault)))
    };
    let plans = kinds.iter().flat_map(|(name, fault, stride)| (0..*stride).map(move |first| plan(name, *fault, *stride, first)));
    let plans: Vec<_> = plans.collect();
    let told = theatre.runtime.block_on(tell_all(&theatre, plans));
    count("refused or unanswered", &told);
}
