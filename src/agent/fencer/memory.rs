//! Locks the memory that PID 1 needs while it stands guard. No page of it then has to come from a disk, or
//! from reclaim, when it counts.

use std::hint::black_box;
use std::ops::Range;
use std::ptr;

use nix::errno::Errno;

use super::super::shared_state::SharedState;
use super::super::sys::{self, resident};

/// How much is locked below the frame that locks it: far more than the guard's own frames take.
const STACK_BELOW: usize = 16 << 10;
/// How much is locked above that frame, where the guard's own data stand.
const STACK_ABOVE: usize = 8 << 10;

/// Less than 64 KiB of memory could not be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "PID 1 cannot lock its memory ({0}): on a node that is short of memory the workload may be stopped late; allow {1} KiB of RLIMIT_MEMLOCK, \
     or mlock in the seccomp profile"
)]
pub(super) struct Unlocked(Errno, usize);

/// Locks, and brings into memory, the guard's code, the stack from the caller's frame down, and `page`.
/// Forked processes inherit no locks.
///
/// # Errors
/// [`Unlocked`] if the kernel refuses. The guard works all the same, unless its memory has to be waited for.
#[inline(never)]
pub(super) fn lock(page: &SharedState) -> Result<(), Unlocked> {
    touch_stack();
    let here = ptr::from_ref(&page).addr();
    let shared = ptr::from_ref(page).addr();
    let parts =
        [resident::text(), here - STACK_BELOW..here + STACK_ABOVE, shared..shared + size_of::<SharedState>()];
    let kibibytes = parts.iter().map(Range::len).sum::<usize>().div_ceil(1024);
    parts.into_iter().try_for_each(sys::lock).map_err(|errno| Unlocked(errno, kibibytes))
}

/// Has the kernel lengthen the stack, which it does only where the stack is used.
#[inline(never)]
fn touch_stack() {
    black_box(&mut [0_u8; STACK_BELOW]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked_fits_into_the_oldest_default_limit() {
        let total = resident::text().len() + STACK_BELOW + STACK_ABOVE + size_of::<SharedState>();
        // Three parts, each of which may begin and end within a page.
        assert!(total + 6 * 4096 <= 64 << 10, "{total} bytes");
    }
}
