//! `Ready`, `Reconciling` and `Stalled` as kstatus wants them: how the three go together.

use super::super::{ReportContext, format};
use crate::api::conditions::{Statement, reasons, types};

/// What the three conditions about the whole job say. Without a statement, `reconciling` and `stalled` are
/// false.
pub(super) struct Summary {
    /// `None` leaves it as it was, because a takeover under way is no news for tools that watch health.
    pub(super) ready: Option<Statement>,
    pub(super) reconciling: Option<Statement>,
    pub(super) stalled: Option<Statement>,
}

pub(super) fn ready(statement: Statement) -> Summary {
    Summary { ready: Some(statement), reconciling: None, stalled: None }
}

pub(super) fn progressing(reason: impl Into<String>, message: impl Into<String>) -> Summary {
    let (reason, message) = (reason.into(), message.into());
    let reconciling = Statement::yes(types::RECONCILING, reason.clone(), message.clone());
    Summary {
        ready: Some(Statement::no(types::READY, reason, message)),
        reconciling: Some(reconciling),
        stalled: None,
    }
}

pub(super) fn stalled(reason: impl Into<String>, message: impl Into<String>) -> Summary {
    let (reason, message) = (reason.into(), message.into());
    let stalled = Statement::yes(types::STALLED, reason.clone(), message.clone());
    Summary {
        ready: Some(Statement::no(types::READY, reason, message)),
        reconciling: None,
        stalled: Some(stalled),
    }
}

pub(super) fn stopped(context: &ReportContext<'_>) -> Summary {
    let (reason, why) = if context.job.spec.suspend {
        (reasons::SUSPENDED, "spec.suspend is true")
    } else {
        (reasons::SCALED_TO_ZERO, "spec.replicas is 0")
    };
    let leaving = context.observed.candidates.iter().filter(|candidate| candidate.end().is_none()).count();
    let message = match leaving {
        0 => format!("stopped: {why}"),
        many => {
            let candidates = format::count(many, "candidate has", "candidates have");
            format!("stopping: {why}; {candidates} not ended yet")
        }
    };
    if context.job.spec.suspend || context.job.spec.is_service() {
        let reconciling = (leaving > 0).then(|| Statement::yes(types::RECONCILING, reason, message.clone()));
        return Summary {
            ready: Some(Statement::yes(types::READY, reason, message)),
            reconciling,
            stalled: None,
        };
    }
    progressing(reason, message)
}
