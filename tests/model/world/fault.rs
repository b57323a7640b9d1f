//! What may go wrong, or be directed, at any moment; and what an environment must never do.

use super::lease::annotations::Exit;

/// Once for each time that it is listed in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A process and all that it runs are gone; its container comes back as another process.
    Crash,
    /// As a crash, and nothing comes back.
    Vanish,
    /// Everything in the container is killed, PID 1 and elector first: it comes back as another process while
    /// the workload may still run, for as long as the kernel may take.
    KillAll,
    /// A standby comes back as another process, which has seen nothing.
    Replace,
    /// No answer, while the request may still arrive.
    LosePut,
    LoseRead,
    /// A read is answered, and the answer arrives later.
    SlowRead,
    /// The watch lags behind.
    SlowWatch,
    /// The watch says that the Lease was deleted, and it was not.
    Rumour,
    /// A PUT is answered with 200, and nothing was written.
    Unwritten,
    /// The workload's readiness probe succeeds.
    Ready,
    /// The workload ends by itself.
    End,
    /// What was killed does not end: it hangs in the kernel.
    Undying,
    /// The elector sleeps in the kernel, where no signal ends it: it does nothing more, and its death is
    /// never reported.
    Hang,
    /// The container is to end.
    Drain,
    /// The controller changes something of no importance.
    Touch,
    /// The controller asks the first holder to hand over.
    Handover,
    /// The controller says that the first process is gone, which is true, whichever process holds by then.
    Clearance,
    /// The controller says that the kubelet ended the first pod for its own fault, where the account of the
    /// run leaves that open.
    FailPod,
    /// The controller wants that nothing runs.
    Stop,
    /// The controller wants the next run, the first being recorded as finished.
    NextRun,
    /// The controller wants a shorter lease.
    Shorten,
    /// The controller wants a longer lease.
    Lengthen,
    Delete,
    /// A user empties the holder by hand.
    Clear,
    /// A user makes a deleted Lease again: empty, without a word.
    RecreateBlank,
    /// From a copy that was saved when it was free.
    RestoreFree,
    /// From a copy that was saved when the first holder had just taken it.
    RestoreHeld,
    /// From a copy that was saved when the first holder was said to be gone.
    RestoreCleared,
}

/// How a workload ends by itself where a rule of the failure policy is about that: it fails the run.
pub const FATAL: Exit = Exit::Code(42);

/// An assumption or a duty of the environment that is not kept: without it the protocol promises nothing, and
/// the checker must see that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenAssumption {
    Nothing,
    /// The deadline is a timer of the process itself: nothing kills a paused process.
    UserspaceTimer,
    /// PID 1 learns of the deadline only from the elector's death.
    DeadlineOfTheElectorAlone,
    /// The kill may take as long as it likes.
    NoKillMargin,
    /// The controller makes a new Lease that says it is free.
    NoPlaceholder,
    /// The controller makes a new Lease with the lease duration that it wants, not the longest that a
    /// candidate may still hold by.
    ShorterPlaceholder,
    /// The controller takes a Lease that was emptied by hand for one whose holder has heard of a shorter
    /// lease.
    EmptiedIsHeard,
    /// All processes of a pod, at once or in turn, have one identity.
    IdentityPerPod,
    /// PID 1 speaks in the name of a dead elector before the process tree is empty.
    EarlyLastWords,
    /// A process that does not have the lock of its pod signs the file all the same.
    SignedWithoutLock,
    /// A child of the elector frees the lock, for all that share it.
    UnlockedByFork,
}
