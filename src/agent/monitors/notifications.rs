//! Receives the notifications of probes and hooks about the workload.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixDatagram;

use tokio::net;
use tokio::sync::mpsc::UnboundedSender;

use super::super::notify::{self, Notification};
use crate::lease::elector::Fact;

/// What the liveness probe has reported last.
#[derive(Debug, Default)]
pub(in crate::agent) struct Health {
    /// The start of the workload for whose failures the kubelet ends the container.
    unhealthy: Cell<Option<u64>>,
}

impl Health {
    /// Tells the elector, before it hears of the end of the workload that `started` names, if that end is the
    /// workload's own fault.
    pub(super) fn explain_end(&self, started: Option<u64>, facts: &UnboundedSender<Fact>) {
        if started.is_some() && self.unhealthy.get() == started {
            // The elector no longer listens once its end is decided.
            let _ = facts.send(Fact::Unhealthy);
        }
    }
}

/// Reports each start as ready once, and calls `is_ending` once for each start that is about to end.
///
/// Once, because facts come before everything else that the elector hears: a workload that sends without end
/// would starve it.
///
/// # Errors
/// If the kernel refuses to wait for the socket, or to read it.
pub(super) async fn receive(
    socket: UnixDatagram,
    started: impl Fn() -> Option<u64>,
    is_ending: impl Fn(),
    health: &Health,
    facts: &UnboundedSender<Fact>,
) -> io::Result<Infallible> {
    let socket = net::UnixDatagram::from_std(socket)?;
    let mut datagram = [0; notify::LENGTH];
    let (mut ready, mut ending) = (None, None);
    loop {
        let length = socket.recv(&mut datagram).await?;
        match Notification::read(&datagram[..length]) {
            Some(Notification::Ready(start)) if started() == Some(start) && ready != Some(start) => {
                ready = Some(start);
                // The elector no longer listens once its end is decided.
                let _ = facts.send(Fact::Ready);
            }
            Some(Notification::Unhealthy(start)) => health.unhealthy.set(Some(start)),
            Some(Notification::Healthy(_)) => health.unhealthy.set(None),
            Some(Notification::Ending(start)) if started() == Some(start) && ending != Some(start) => {
                ending = Some(start);
                health.explain_end(Some(start), facts);
                is_ending();
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn an_end_that_the_hook_announces_is_explained_before_it() {
        let (agent, probe) = UnixDatagram::pair().unwrap();
        agent.set_nonblocking(true).unwrap();
        for datagram in [Notification::Unhealthy(7), Notification::Ending(7)] {
            probe.send(&datagram.number().to_ne_bytes()).unwrap();
        }
        let (tell, mut facts) = unbounded_channel();
        let (announced, health) = (Cell::new(false), Health::default());
        let received = receive(agent, || Some(7), || announced.set(true), &health, &tell);
        tokio::select! {
            ended = received => panic!("{ended:?}"),
            fact = facts.recv() => assert_eq!((fact, announced.get()), (Some(Fact::Unhealthy), true)),
        }
    }

    #[tokio::test]
    async fn each_start_is_told_of_once_however_often_it_is_said_to_be_ready() {
        let (agent, probe) = UnixDatagram::pair().unwrap();
        agent.set_nonblocking(true).unwrap();
        let (tell, mut facts) = unbounded_channel();
        let (started, health) = (Cell::new(0), Health::default());
        let story = async {
            for start in [7_u64, 8] {
                started.set(start);
                (0..5).for_each(|_| assert!(probe.send(&start.to_ne_bytes()).is_ok()));
                assert!(
                    matches!((facts.recv().await, facts.try_recv()), (Some(Fact::Ready), Err(_))),
                    "{start}"
                );
            }
        };
        tokio::select! {
            heard = receive(agent, || Some(started.get()), || panic!("no hook runs"), &health, &tell) => panic!("{heard:?}"),
            () = story => {}
        }
    }
}
