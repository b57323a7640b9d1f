//! What the end of the workload's first process means.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::contract::exit_codes;
use crate::lease::annotations::Exit;

/// A workload that fails so soon after its start may have expected to be PID 1.
const SOON: Duration = Duration::from_secs(5);

/// How a process ended, by its status.
pub(super) fn to_exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(exit_codes::AGENT_FAILED),
    }
}

/// Whether a workload that ended by itself may have expected to be PID 1. A workload that asks to hand over
/// has not failed.
pub(super) fn may_miss_pid_1(exit: Exit, ran: Duration) -> bool {
    ran < SOON && !exit.is_success() && exit != Exit::HAND_OVER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_what_the_kernel_says() {
        assert_eq!(to_exit(ExitStatus::from_raw(3 << 8)), Exit::Code(3));
        assert_eq!(to_exit(ExitStatus::from_raw(libc::SIGKILL)), Exit::Signal(libc::SIGKILL));
    }

    #[test]
    fn only_a_workload_that_fails_soon_and_asks_for_nothing_may_miss_pid_1() {
        let (soon, late) = (SOON - Duration::from_millis(1), SOON);
        let fails = [Exit::Code(1), Exit::Code(127), Exit::Signal(libc::SIGSEGV)];
        assert!(fails.into_iter().all(|exit| may_miss_pid_1(exit, soon) && !may_miss_pid_1(exit, late)));
        assert!(!may_miss_pid_1(Exit::Code(0), soon), "it succeeded");
        assert!(!may_miss_pid_1(Exit::HAND_OVER, soon), "it asks to hand over");
    }
}
