//! Threads for what can wait: a disk, or the reader of a pipe. The thread that renews and decides never waits
//! for them.
//!
//! A thread of the elector, and not a process: a process that hangs in the kernel would keep the container
//! from ever being empty.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// More than is ever said in a short time; where a reader or a disk hangs, what comes later is dropped.
const CAPACITY: usize = 256;
/// Their work is a few system calls.
const STACK: usize = 64 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that does one thing after the other.
#[derive(Clone, Debug)]
pub(super) struct Background {
    jobs: SyncSender<Job>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the kernel refuses a thread.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let (jobs, todo) = sync_channel::<Job>(CAPACITY);
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn(move || todo.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Has `job` done after all that was given before. Returns at once; whether there was room for it.
    pub(super) fn give(&self, job: impl FnOnce() + Send + 'static) -> bool {
        match self.jobs.try_send(Box::new(job)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Waits until all that was given is done, but no longer than this.
    pub(super) fn finish(&self, within: Duration) {
        let (done, waits) = channel();
        // No thread waits any more where it comes too late.
        let tell = move || done.send(()).unwrap_or_default();
        if self.give(tell) {
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
            assert!(background.give(move || done.store(number, Ordering::Release)));
        }
        background.finish(Duration::from_secs(20));
        assert_eq!(done.load(Ordering::Acquire), 3);
    }

    #[test]
    fn a_job_that_hangs_makes_nobody_wait() {
        let background = Background::start("test").unwrap();
        let (hangs, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (first, second) = (Arc::clone(&hangs), Arc::clone(&release));
        assert!(background.give(move || {
            first.wait();
            second.wait();
        }));
        hangs.wait();
        let taken = (0..=CAPACITY).filter(|_| background.give(|| ())).count();
        assert_eq!(taken, CAPACITY, "what cannot be kept is dropped");
        background.finish(Duration::from_millis(1));
        release.wait();
    }
}
