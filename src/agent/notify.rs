//! Tells the agent how the workload fares. The senders are the probes and the `preStop` hook, which the
//! kubelet runs beside the agent.
//!
//! Each sends a datagram that names the start of the workload, to a socket in the state directory. The
//! deciding thread thus reads no file, and hears of a failure before the kubelet does: no end of the workload
//! can overtake the reason for it. If a datagram of a probe is lost, the next probe sends it again. If
//! none follows, an end for failed liveness probes is taken for a drain.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::whole_file;
use crate::contract::TERMINATION_PREFIX;

/// The length of a datagram.
pub(super) const LENGTH: usize = size_of::<u64>();
/// The name of the socket in the state directory.
const SOCKET: &str = "notify";

/// In the number of a datagram, the kind of the news: bits that a start, in nanoseconds since the boot, does
/// not reach in 146 years.
const KIND: u64 = 0b11 << 62;
const READY: u64 = 0b00 << 62;
const UNHEALTHY: u64 = 0b01 << 62;
const ENDING: u64 = 0b10 << 62;
const HEALTHY: u64 = 0b11 << 62;

/// What a datagram says of the workload that was started at a reading of CLOCK_BOOTTIME, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// Its readiness probe has succeeded.
    Ready(u64),
    /// Its liveness probe has failed so often that the kubelet ends the container.
    Unhealthy(u64),
    /// Its liveness probe has succeeded.
    Healthy(u64),
    /// The kubelet ends its container, and the hook is about to run.
    Ending(u64),
}

impl Notification {
    /// `None` if it is no datagram of this kind.
    pub(super) fn read(datagram: &[u8]) -> Option<Self> {
        let number = u64::from_ne_bytes(datagram.try_into().ok()?);
        let start = number & !KIND;
        Some(match number & KIND {
            READY => Self::Ready(start),
            UNHEALTHY => Self::Unhealthy(start),
            ENDING => Self::Ending(start),
            _ => Self::Healthy(start),
        })
    }

    pub(super) fn number(self) -> u64 {
        match self {
            Self::Ready(start) => start | READY,
            Self::Unhealthy(start) => start | UNHEALTHY,
            Self::Ending(start) => start | ENDING,
            Self::Healthy(start) => start | HEALTHY,
        }
    }

    /// Sends it to the agent, and never waits: an agent that is stopped receives it later.
    pub(super) fn send(self, directory: &Path) {
        let sent = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(&self.number().to_ne_bytes(), directory.join(SOCKET))
        });
        if let Err(error) = sent {
            eprintln!("{TERMINATION_PREFIX}telling the agent how the workload fares: {error}");
        }
    }
}

/// Makes the socket at which an agent listens, in place of an earlier container's.
///
/// # Errors
/// If the directory or the kernel does not let it.
pub(super) fn bind(directory: &Path) -> io::Result<UnixDatagram> {
    let path = directory.join(SOCKET);
    whole_file::remove_if_there(&path)?;
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_come_back_as_they_were_sent() {
        for news in
            [Notification::Ready, Notification::Unhealthy, Notification::Healthy, Notification::Ending]
        {
            for start in [0, 7, u64::MAX >> 2] {
                assert_eq!(Notification::read(&news(start).number().to_ne_bytes()), Some(news(start)));
            }
        }
        assert_eq!(Notification::read(b"short"), None);
    }
}
