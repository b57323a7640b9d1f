//! Connections of a probe: all that is done on them ends by one deadline.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::contract::environment;
use crate::lease::clock;

/// Where the pod is not known by its address: only where no controller made it.
const LOOPBACK: &str = "127.0.0.1";

/// Until when an answer counts, on CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Duration);

impl Deadline {
    /// `timeout` from now.
    pub(super) fn after(timeout: Duration) -> Self {
        Self(clock::now().at.boot + timeout)
    }

    /// How long it is until then; never zero.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when it has passed.
    pub(super) fn left(self) -> io::Result<Duration> {
        let left = self.0.saturating_sub(clock::now().at.boot);
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// A connection whose reads and writes fail at the deadline.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Deadline,
}

/// Connects to one of the host's addresses; those that remain share the time.
///
/// # Errors
/// Where there is no such host or port, no server listens at any address, or the deadline passes.
pub(super) fn connect(host: &str, port: &str, deadline: Deadline) -> io::Result<Connection> {
    let port =
        port.parse().map_err(|_| io::Error::new(ErrorKind::InvalidInput, format!("{port:?} is no port")))?;
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let mut last = io::Error::from(ErrorKind::NotFound);
    for (address, remaining) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let share = deadline.left()? / u32::try_from(remaining).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => return Ok(Connection { stream, deadline }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.left()?))?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left()?))?;
        self.stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The kernel says of a timeout that the call would block.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

/// The pod's address where the template names none, as the kubelet asks it.
pub(super) fn host(theirs: Option<&str>) -> String {
    let own = || {
        env::var(environment::POD_IP)
            .ok()
            .filter(|address| !address.is_empty())
            .unwrap_or_else(|| LOOPBACK.to_owned())
    };
    theirs.filter(|host| !host.is_empty()).map_or_else(own, str::to_owned)
}

/// As a number, or as the name that the controller found no number for.
pub(super) fn port(port: &IntOrString) -> String {
    match port {
        IntOrString::Int(port) => port.to_string(),
        IntOrString::String(port) => port.clone(),
    }
}

/// As in a URL.
pub(super) fn address(theirs: Option<&str>, number: &IntOrString) -> String {
    let (host, port) = (host(theirs), port(number));
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
