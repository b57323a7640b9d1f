//! What is going to happen, in the order of true time; at the same moment, in the order in which it was
//! decided.

use std::collections::BTreeMap;
use std::time::Duration;

pub struct Queue<E> {
    coming: BTreeMap<(Duration, u64), E>,
    decided: u64,
}

impl<E> Queue<E> {
    pub fn new() -> Self {
        Self { coming: BTreeMap::new(), decided: 0 }
    }

    pub fn push(&mut self, at: Duration, event: E) {
        self.decided += 1;
        self.coming.insert((at, self.decided), event);
    }

    /// The next, unless that comes after `end`.
    pub fn pop(&mut self, end: Duration) -> Option<(Duration, E)> {
        let next = self.coming.first_entry().filter(|next| next.key().0 <= end)?;
        let ((at, _), event) = next.remove_entry();
        Some((at, event))
    }
}
