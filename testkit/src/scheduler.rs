//! Who may be on the cluster at the same time: scenarios of one mode share it, and the mode changes as rarely
//! as can be. One that breaks nodes without disturbing others gets a zone of them to itself.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::cluster::ZONES;

/// What a scenario needs of the cluster; where there is a choice, the first here comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The operator; others of this mode may be going on.
    WithOperator,
    /// The operator, and no other scenario: it breaks what others need, or measures what others would
    /// disturb.
    WithOperatorAlone,
    /// The same, and it takes the operator away.
    Uninstalling,
    /// A cluster without the operator; others of this mode may be going on.
    WithoutOperator,
    /// The same, and no other scenario.
    WithoutOperatorAlone,
}

/// Where a scenario is, and beside whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// In the first zone, with others.
    Common,
    /// In the first zone, and no other needs to make room: it waits for a clock, nearly all the time.
    Aside,
    /// In another zone, which it has to itself.
    Own,
}

impl Mode {
    /// How many scenarios may be going on on common ground: as many as two processors can serve.
    fn capacity(self) -> usize {
        if self.is_shared() { 4 } else { 1 }
    }

    /// Whether other scenarios of this mode may be going on.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::WithOperator | Self::WithoutOperator)
    }

    /// Whether the operator is installed when it begins.
    pub fn has_operator(self) -> bool {
        self <= Self::Uninstalling
    }
}

struct Scheduler {
    mode: Option<Mode>,
    playing: Playing,
    waiting: Vec<Mode>,
}

/// How many scenarios are going on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Playing {
    aside: usize,
    /// In each zone.
    zones: [usize; ZONES.len()],
}

static SCHEDULER: Mutex<Scheduler> = Mutex::new(Scheduler {
    mode: None,
    playing: Playing { aside: 0, zones: [0; ZONES.len()] },
    waiting: Vec::new(),
});
static CHANGED: Condvar = Condvar::new();

/// A scenario's place on the cluster, until it is dropped.
#[must_use = "others may come when it is dropped"]
pub struct Place {
    /// Index into [`ZONES`].
    pub zone: usize,
    ground: Ground,
}

/// Waits until a scenario of this mode may go on there.
pub fn enter(mode: Mode, ground: Ground) -> Place {
    let mut scheduler = scheduler();
    scheduler.waiting.push(mode);
    let mut scheduler = CHANGED
        .wait_while(scheduler, |scheduler| scheduler.room(mode, ground).is_none())
        .unwrap_or_else(PoisonError::into_inner);
    let zone = scheduler.room(mode, ground).expect("just seen");
    let place = scheduler.waiting.iter().position(|waiting| *waiting == mode).expect("it waited");
    scheduler.waiting.swap_remove(place);
    scheduler.mode = Some(mode);
    let place = Place { zone, ground };
    *scheduler.playing.beside(&place) += 1;
    place
}

impl Drop for Place {
    fn drop(&mut self) {
        *scheduler().playing.beside(self) -= 1;
        CHANGED.notify_all();
    }
}

impl Playing {
    /// Those that count with it.
    fn beside(&mut self, place: &Place) -> &mut usize {
        if place.ground == Ground::Aside { &mut self.aside } else { &mut self.zones[place.zone] }
    }
}

fn scheduler() -> MutexGuard<'static, Scheduler> {
    SCHEDULER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scheduler {
    /// The zone in which a scenario of this mode may go on now.
    fn room(&self, mode: Mode, ground: Ground) -> Option<usize> {
        let admitted = if self.playing == Playing::default() { self.next() } else { self.mode };
        if admitted != Some(mode) {
            return None;
        }
        match ground {
            Ground::Common => (self.playing.zones[0] < mode.capacity()).then_some(0),
            Ground::Aside => Some(0),
            Ground::Own => (1..ZONES.len()).find(|zone| self.playing.zones[*zone] == 0),
        }
    }

    /// Of the modes that are waited for, the one that costs least to come to.
    fn next(&self) -> Option<Mode> {
        let changes = |mode: &Mode| self.mode.is_some_and(|now| now.has_operator() != mode.has_operator());
        self.waiting.iter().copied().min_by_key(|mode| (self.mode != Some(*mode), changes(mode), *mode))
    }
}

#[cfg(test)]
mod tests {
    use super::Ground::{Aside, Common, Own};
    use super::Mode::{Uninstalling, WithOperator, WithOperatorAlone, WithoutOperator, WithoutOperatorAlone};
    use super::*;

    fn empty(mode: Mode, waiting: &[Mode]) -> Scheduler {
        Scheduler { mode: Some(mode), playing: Playing::default(), waiting: waiting.to_vec() }
    }

    #[test]
    fn the_mode_changes_only_when_none_is_left_that_needs_it() {
        let all = [WithoutOperator, WithoutOperatorAlone, Uninstalling, WithOperatorAlone, WithOperator];
        assert_eq!(empty(WithOperatorAlone, &all).next(), Some(WithOperatorAlone));
        assert_eq!(empty(WithOperatorAlone, &all[..3]).next(), Some(Uninstalling));
        assert_eq!(
            empty(WithoutOperatorAlone, &[WithOperator, WithoutOperator]).next(),
            Some(WithoutOperator)
        );
    }

    #[test]
    fn one_alone_admits_none_and_one_that_shares_admits_its_own_kind() {
        let room = |is, aside, zones, mode| {
            let scheduler = Scheduler {
                mode: Some(is),
                playing: Playing { aside, zones },
                waiting: vec![WithOperator, WithOperatorAlone],
            };
            [Common, Aside, Own].map(|ground| scheduler.room(mode, ground))
        };
        assert_eq!(room(WithOperatorAlone, 0, [1, 0, 0], WithOperatorAlone)[0], None);
        assert_eq!(room(WithOperator, 0, [3, 0, 0], WithOperator), [Some(0), Some(0), Some(1)]);
        assert_eq!(room(WithOperator, 2, [4, 1, 0], WithOperator), [None, Some(0), Some(2)]);
        assert_eq!(room(WithOperator, 0, [0, 1, 1], WithOperator), [Some(0), Some(0), None]);
        assert_eq!(room(WithOperator, 0, [1, 0, 0], WithOperatorAlone), [None; 3]);
        assert_eq!(room(WithOperator, 0, [0, 0, 1], WithOperatorAlone), [None; 3]);
        assert_eq!(room(WithOperator, 1, [0, 0, 0], WithOperatorAlone), [None; 3]);
    }
}
