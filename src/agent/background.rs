//! Threads for work that can wait for a disk, or for the reader of a pipe. The thread that renews and decides
//! never waits for them.
//!
//! Each is a thread of the elector, and not a process, because a process that hangs in the kernel would keep
//! the container from ever being empty.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// More than is ever submitted in a short time. Where a reader or a disk hangs, later work is dropped.
const CAPACITY: usize = 256;
/// Enough, because the work is a few system calls.
const STACK: usize = 64 << 10;

type Work = Box<dyn FnOnce() + Send>;

/// A thread that does one thing after the other.
#[derive(Clone, Debug)]
pub(super) struct Background {
    queue: SyncSender<Work>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the kernel refuses a thread.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let (queue, submitted) = sync_channel::<Work>(CAPACITY);
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn(move || submitted.into_iter().for_each(|work| work()))?;
        Ok(Self { queue })
    }

    /// Has `work` done after all that was submitted before. Returns at once, and whether there was room.
    pub(super) fn submit(&self, work: impl FnOnce() + Send + 'static) -> bool {
        match self.queue.try_send(Box::new(work)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Waits until all that was submitted is done, but no longer than `within`.
    pub(super) fn finish(&self, within: Duration) {
        let (done, waits) = channel();
        // The caller no longer waits if this comes too late.
        let tell = move || done.send(()).unwrap_or_default();
        if self.submit(tell) {
            let _ = waits.recv_timeout(within);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Barrier};

    use super::*;

    #[test]
    fn what_is_given_is_done_in_order_and_can_be_waited_for() {
        let background = Background::start("test").unwrap();
        let done = Arc::new(AtomicU32::new(0));
        for number in 1..=3 {
            let done = Arc::clone(&done);
            assert!(background.submit(move || done.store(number, Ordering::Release)));
        }
        background.finish(Duration::from_secs(20));
        assert_eq!(done.load(Ordering::Acquire), 3);
    }

    #[test]
    fn a_job_that_hangs_makes_nobody_wait() {
        let background = Background::start("test").unwrap();
        let (hangs, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (first, second) = (Arc::clone(&hangs), Arc::clone(&release));
        assert!(background.submit(move || {
            first.wait();
            second.wait();
        }));
        hangs.wait();
        let taken = (0..=CAPACITY).filter(|_| background.submit(|| ())).count();
        assert_eq!(taken, CAPACITY, "what cannot be kept is dropped");
        background.finish(Duration::from_millis(1));
        release.wait();
    }
}
