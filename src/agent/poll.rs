//! Waits for a file, but not for long: the caller has other things to look at.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until `file` can be read, or for `limit`. It may return sooner, so the caller looks again.
pub(super) fn await_readable(file: BorrowedFd<'_>, limit: Duration) {
    let limit = PollTimeout::try_from(limit.as_millis()).unwrap_or(PollTimeout::MAX);
    // Interrupted or not, what counts is looked at afterwards.
    let _ = poll(&mut [PollFd::new(file, PollFlags::POLLIN)], limit);
}
