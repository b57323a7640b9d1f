//! Who may be on the cluster at the same time: scenarios of one mode share it, and the mode changes as rarely as can be.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What a scenario needs of the cluster; where there is a choice, the first here comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The operator; others of this mode may be going on.
    WithOperator,
    /// The operator, and nobody else: it breaks what others need, or measures what others would disturb.
    WithOperatorAlone,
    /// The same, and it takes the operator away.
    Uninstalling,
    /// A cluster without the operator; others of this mode may be going on.
    WithoutOperator,
    /// The same, and nobody else.
    WithoutOperatorAlone,
}

impl Mode {
    /// How many scenarios may be going on: as many as two processors can serve.
    fn capacity(self) -> usize {
        if self.is_shared() { 4 } else { 1 }
    }

    pub fn is_shared(self) -> bool {
        matches!(self, Self::WithOperator | Self::WithoutOperator)
    }

    pub fn has_operator(self) -> bool {
        self <= Self::Uninstalling
    }
}

struct Stage {
    mode: Option<Mode>,
    playing: usize,
    waiting: Vec<Mode>,
}

static STAGE: Mutex<Stage> = Mutex::new(Stage { mode: None, playing: 0, waiting: Vec::new() });
static CHANGED: Condvar = Condvar::new();

/// A scenario's place on the cluster, until it is dropped.
#[must_use = "others may come when it is dropped"]
pub struct Place;

/// Waits until a scenario of this mode may go on.
pub fn enter(mode: Mode) -> Place {
    let mut stage = stage();
    stage.waiting.push(mode);
    let mut stage = CHANGED.wait_while(stage, |stage| !stage.admits(mode)).unwrap_or_else(PoisonError::into_inner);
    let place = stage.waiting.iter().position(|waiting| *waiting == mode).expect("it waited");
    stage.waiting.swap_remove(place);
    stage.mode = Some(mode);
    stage.playing += 1;
    Place
}

impl Drop for Place {
    fn drop(&mut self) {
        stage().playing -= 1;
        CHANGED.notify_all();
    }
}

fn stage() -> MutexGuard<'static, Stage> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    fn admits(&self, mode: Mode) -> bool {
        if self.playing == 0 { self.next() == Some(mode) } else { self.mode == Some(mode) && self.playing < mode.capacity() }
    }

    /// Of the modes that are waited for, the one that costs least to come to.
    fn next(&self) -> Option<Mode> {
        let changes = |mode: &Mode| self.mode.is_some_and(|now| now.has_operator() != mode.has_operator());
        self.waiting.iter().copied().min_by_key(|mode| (self.mode != Some(*mode), changes(mode), *mode))
    }
}

#[cfg(test)]
mod tests {
    use super::Mode::{Uninstalling, WithOperator, WithOperatorAlone, WithoutOperator, WithoutOperatorAlone};
    use super::*;

    fn empty(mode: Mode, waiting: &[Mode]) -> Stage {
        Stage { mode: Some(mode), playing: 0, waiting: waiting.to_vec() }
    }

    #[test]
    fn the_mode_changes_only_when_nobody_is_left_who_needs_it() {
        let all = [WithoutOperator, WithoutOperatorAlone, Uninstalling, WithOperatorAlone, WithOperator];
        assert_eq!(empty(WithOperatorAlone, &all).next(), Some(WithOperatorAlone));
        assert_eq!(empty(WithOperatorAlone, &all[..3]).next(), Some(Uninstalling));
        assert_eq!(empty(WithoutOperatorAlone, &[WithOperator, WithoutOperator]).next(), Some(WithoutOperator));
    }

    #[test]
    fn who_is_alone_admits_nobody_and_who_shares_admits_its_own_kind() {
        let busy = |mode, playing| Stage { mode: Some(mode), playing, waiting: vec![WithOperator, WithOperatorAlone] };
        assert!(!busy(WithOperatorAlone, 1).admits(WithOperatorAlone));
        assert!(busy(WithOperator, 3).admits(WithOperator) && !busy(WithOperator, 4).admits(WithOperator));
        assert!(!busy(WithOperator, 1).admits(WithOperatorAlone));
    }
}
