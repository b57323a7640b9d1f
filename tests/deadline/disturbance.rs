//! Whether the machine itself was late while something was measured: a processor of a virtual machine may be
//! away for tens of milliseconds, one without the other, and whatever was due on it is late without
//! any fault of the programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use singletonjob::lease::clock;

/// How often a processor is asked for.
const TICK: Duration = Duration::from_micros(500);

/// A thread bound to each processor, with nothing to do but to wake up in time.
pub struct Watch {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Duration>>,
}

impl Watch {
    /// Watches every processor from `start`, a time since boot, until it is asked what it saw.
    pub fn begin(start: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let bind = |processor| {
            let over = Arc::clone(&over);
            thread::spawn(move || watch(processor, start, &over))
        };
        Self { threads: processors().into_iter().map(bind).collect(), over }
    }

    /// The longest that a processor was away.
    pub fn end(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let away = self.threads.into_iter().map(|thread| thread.join().expect("it only sleeps"));
        away.max().expect("there is a processor")
    }
}

fn processors() -> Vec<usize> {
    let ours = sched_getaffinity(Pid::from_raw(0)).expect("the calling thread exists");
    (0..CpuSet::count()).filter(|&processor| ours.is_set(processor).expect("below the count")).collect()
}

fn watch(processor: usize, start: Duration, over: &AtomicBool) -> Duration {
    let mut only = CpuSet::new();
    only.set(processor).expect("it was in a set");
    sched_setaffinity(Pid::from_raw(0), &only).expect("it was allowed before");
    let (mut due, mut longest) = (start, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_sub(now()));
        longest = longest.max(now().saturating_sub(due));
        due = now() + TICK;
    }
    longest
}

fn now() -> Duration {
    clock::now().at.boot
}
