//! The loop that feeds the elector and carries out what it orders.
//!
//! It decides nothing: it reads the clock, hands over what arrived, and does what it is told, in that order
//! and on one thread.

use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

use super::clock;
use super::elector::{Answer, Candidate, Elector, Ending, Fact, Input, Order, Output, Source, View};
use super::store::{Connection, Event, Failure, Place, Store};

/// The process that owns the workload.
pub trait WorkloadHost {
    /// Does what is ordered, before it returns. What happens later is told as a [`Fact`].
    fn execute(&mut self, order: Order);

    /// Publishes what others may know, because it has changed.
    fn publish(&mut self, view: &View);
}

/// Stands by for, holds and releases one Lease, until the elector orders the end.
///
/// # Errors
/// If `connection` cannot be made into a client: bad certificates or credentials.
pub async fn run(
    connection: Connection,
    place: Place<'_>,
    candidate: Candidate,
    mut facts: UnboundedReceiver<Fact>,
    host: &mut impl WorkloadHost,
) -> Result<Ending, kube::Error> {
    let (sender, mut events) = unbounded_channel();
    let mut store = Store::open(connection, place, sender)?;
    let mut elector = Elector::new(candidate, clock::now());
    let mut input = Input::Tick;
    let mut published = None;
    loop {
        let outputs = elector.step(clock::now(), input);
        if let Some(ending) = execute(outputs, &mut store, host) {
            return Ok(ending);
        }
        let view = elector.view();
        if published.as_ref() != Some(&view) {
            host.publish(&view);
            published = Some(view);
        }
        input = tokio::select! {
            biased;
            Some(fact) = facts.recv() => Input::Told(fact),
            Some(event) = events.recv() => heard(&mut store, event),
            () = sleep(elector.wakes_in(clock::now())) => Input::Tick,
        };
    }
}

/// Does what the elector wants, in its order, and returns the ending if it wants the process to end.
fn execute(outputs: Vec<Output>, store: &mut Store, host: &mut impl WorkloadHost) -> Option<Ending> {
    for output in outputs {
        match output {
            Output::Put { attempt, write, deadline } => store.put(attempt, &write, deadline),
            Output::Read { deadline } => store.read(deadline),
            Output::Order(order) => host.execute(order),
            Output::Exit(ending) => return Some(ending),
        }
    }
    None
}

fn heard(store: &mut Store, event: Event) -> Input {
    match event {
        Event::Watched(lease) => match store.remember(lease, true) {
            Ok(record) => Input::Saw(Box::new(record), Source::Watch),
            Err(malformed) => Input::Unreachable(malformed.to_string()),
        },
        Event::Deleted(lease) => {
            store.note_deletion(&lease);
            Input::Vanished
        }
        Event::Read(result) => read(store, result),
        Event::Written { attempt, result } => Input::Answered { attempt, answer: written(store, result) },
    }
}

fn read(store: &mut Store, result: Result<Lease, Failure>) -> Input {
    match result.and_then(|lease| Ok(store.remember(lease, false)?)) {
        Ok(record) => {
            store.check_watch(record.version);
            Input::Saw(Box::new(record), Source::Read)
        }
        Err(Failure::NotFound) => Input::Missing,
        Err(Failure::Unknown(why)) => {
            store.reconnect();
            Input::Unreachable(why)
        }
        Err(Failure::Refused(why)) => Input::Unreachable(why),
        // Nothing is written, so nothing can conflict; should a proxy say so all the same, it is no answer.
        Err(Failure::Conflict) => Input::Unreachable("a read was answered with a conflict".to_owned()),
    }
}

fn written(store: &mut Store, result: Result<Lease, Failure>) -> Answer {
    match result.and_then(|lease| Ok(store.remember(lease, false)?)) {
        Ok(record) => Answer::Stored(Box::new(record)),
        Err(Failure::Conflict) => Answer::Conflict,
        Err(Failure::NotFound) => Answer::Refused("not found".to_owned()),
        Err(Failure::Refused(why)) => Answer::Refused(why),
        Err(Failure::Unknown(why)) => {
            store.reconnect();
            Answer::Unknown(why)
        }
    }
}
