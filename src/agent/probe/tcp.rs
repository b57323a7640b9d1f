//! Connections of a probe. All that is done on one connection ends at one moment.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::contract::environment;
use crate::lease::clock;

/// The address of a pod that does not know its own, which is only a pod that no controller made.
const LOOPBACK: &str = "127.0.0.1";

/// The moment until which an answer counts, on CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimit(Duration);

impl TimeLimit {
    /// The moment that is `timeout` from now.
    pub(super) fn after(timeout: Duration) -> Self {
        Self(clock::now().at.boot + timeout)
    }

    /// The time until then, which is never zero.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it has passed.
    pub(super) fn left(self) -> io::Result<Duration> {
        let left = self.0.saturating_sub(clock::now().at.boot);
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// A connection whose reads and writes fail when the time limit has passed.
#[derive(Debug)]
pub(super) struct LimitedStream {
    stream: TcpStream,
    limit: TimeLimit,
}

/// Connects to one of the host's addresses; those that remain share the time.
///
/// # Errors
/// If there is no such host or port, no server listens at any address, or the time limit passes.
pub(super) fn connect(host: &str, port: &str, limit: TimeLimit) -> io::Result<LimitedStream> {
    let port =
        port.parse().map_err(|_| io::Error::new(ErrorKind::InvalidInput, format!("{port:?} is no port")))?;
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let mut last = io::Error::from(ErrorKind::NotFound);
    for (address, remaining) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let share = limit.left()? / u32::try_from(remaining).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => return Ok(LimitedStream { stream, limit }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for LimitedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.limit.left()?))?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for LimitedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.limit.left()?))?;
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Translates a timeout, for which the kernel reports that the call would block.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

/// The host that the template names, or the pod's address, because the kubelet uses that if it names none.
pub(super) fn host(theirs: Option<&str>) -> String {
    let own = || {
        env::var(environment::POD_IP)
            .ok()
            .filter(|address| !address.is_empty())
            .unwrap_or_else(|| LOOPBACK.to_owned())
    };
    theirs.filter(|host| !host.is_empty()).map_or_else(own, str::to_owned)
}

/// The port's number, or its name if the controller found no number for that.
pub(super) fn port(port: &IntOrString) -> String {
    match port {
        IntOrString::Int(port) => port.to_string(),
        IntOrString::String(port) => port.clone(),
    }
}

/// Host and port, as in a URL.
pub(super) fn address(theirs: Option<&str>, number: &IntOrString) -> String {
    let (host, port) = (host(theirs), port(number));
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
