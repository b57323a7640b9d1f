//! The Lease: made once, and after that only ever annotated.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::api::SingletonJob;
use crate::controller::names;
use crate::controller::plan::runs::Closed;
use crate::controller::plan::takeover::{Creation, Wishes};
use crate::lease::identity::Identity;
use crate::lease::notes::{self, Cleared, Desired, FailedPod, Handover, Notes, Reason, Released, keys};

/// In whose name the controller marks a Lease that it has made.
const MAKER: &str = "singletonjob-controller";

/// A Lease that is missing. It has no owner: it is to outlive its SingletonJob and tell the next one of that name who held it.
pub fn new(job: &SingletonJob, creation: &Creation, wishes: &Wishes) -> Lease {
    let metadata = ObjectMeta {
        name: Some(job.name_any()),
        namespace: job.namespace(),
        labels: Some(names::labels(&job.name_any())),
        ..ObjectMeta::default()
    };
    bare(metadata, creation, wishes)
}

/// A Lease of that name, for whomever it may be.
pub fn bare(mut metadata: ObjectMeta, creation: &Creation, wishes: &Wishes) -> Lease {
    let told = Duration::from_secs(u64::from(wishes.policy.lease_duration_seconds));
    let (holder, lease_duration) = match creation {
        Creation::First => (None, told),
        Creation::Again { holder, longest_lease } => (Some(holder.to_string()), *longest_lease),
    };
    wish(metadata.annotations.get_or_insert_default(), wishes);
    Lease {
        metadata,
        // Without acquireTime and renewTime: no candidate has ever proven to hold this one.
        spec: Some(LeaseSpec {
            holder_identity: holder,
            lease_duration_seconds: i32::try_from(lease_duration.as_secs()).ok(),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        }),
    }
}

/// `lease`, which was made a moment ago and never held, marked as free at once.
pub fn marked_free(lease: &Lease) -> Lease {
    let released = Released {
        lease_uid: lease.uid().unwrap_or_default(),
        renew_time: None,
        by: Identity::read(MAKER),
        reason: Reason::Created,
        token: None,
        exit: None,
        unhealthy: false,
        ready: false,
    };
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    notes::write(lease.metadata.annotations.get_or_insert_default(), keys::RELEASED, Some(&released));
    lease
}

/// Whether `lease`, which is the job's by its notes, lacks the labels by which it is watched and guarded.
pub fn lacks_labels(lease: &Lease) -> bool {
    names::labels(&lease.name_any()).iter().any(|(label, value)| lease.labels().get(label) != Some(value))
}

/// `lease` with `wishes` and its labels in it; none where it says so already. Its spec is as it was read, whatever that is: a PUT on its resourceVersion
/// changes nothing else.
pub fn with_wishes(lease: &Lease, wishes: &Wishes) -> Option<Lease> {
    let says = Notes::read(lease.metadata.annotations.as_ref());
    // It may have changed hands since the word was found true.
    let cleared = wishes.cleared.clone().filter(|cleared| is_about(cleared, lease));
    let wishes = &Wishes { cleared, ..wishes.clone() };
    let cleared = wishes.cleared.is_none() || says.cleared == wishes.cleared;
    let succession = wishes.succession.as_ref().is_none_or(|line| says.succession == *line);
    let ticks = wishes.ticks.is_none() || says.ticks == wishes.ticks;
    let told = ticks
        && says.handed_back == wishes.handed_back
        && says.spread == wishes.spread
        && says.policy.as_ref() == Some(&wishes.policy)
        && says.run.as_ref() == Some(&wishes.run);
    if !lacks_labels(lease) && told && unsaid(&says, wishes).is_none() && cleared && succession {
        return None;
    }
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    wish(lease.metadata.annotations.get_or_insert_default(), wishes);
    lease.metadata.labels.get_or_insert_default().extend(names::labels(&lease.metadata.name.clone().unwrap_or_default()));
    Some(lease)
}

/// The handover that `wishes` ask for and `lease` does not yet.
pub fn new_handover<'a>(lease: &Lease, wishes: &'a Wishes) -> Option<&'a Handover> {
    unsaid(&Notes::read(lease.metadata.annotations.as_ref()), wishes)
}

/// The failed pods that `wishes` name and `lease` does not yet.
pub fn new_failed_pods(lease: &Lease, wishes: &Wishes) -> Vec<FailedPod> {
    let named = Notes::read(lease.metadata.annotations.as_ref()).run.map_or_else(Vec::new, |run| run.failed_pods);
    let is_new = |pod: &&FailedPod| named.iter().all(|known| known.uid != pod.uid);
    wishes.run.failed_pods.iter().filter(is_new).cloned().collect()
}

fn unsaid<'a>(says: &Notes, wishes: &'a Wishes) -> Option<&'a Handover> {
    wishes.handover.as_ref().filter(|handover| says.handover.as_ref() != Some(handover))
}

/// Whether `wishes`, made from what `seen` says, may be written over what `lease` says by now: another controller may have taken a tick, tried
/// another node or rejected a template, or candidates may have begun, or finished, the run that is to be followed by another.
pub fn may_follow(wishes: &Wishes, seen: &Lease, lease: &Lease) -> bool {
    let (before, says) = (Notes::read(seen.metadata.annotations.as_ref()), Notes::read(lease.metadata.annotations.as_ref()));
    let closes = wishes.run.desired == Desired::Stop && wishes.run.reason.as_deref() == Some(Closed::DeadlineExceeded.reason());
    let decides_anew = (wishes.ticks.is_some() || closes) && before.run.as_ref() != Some(&wishes.run);
    let unchanged = before.progress == says.progress && before.finished == says.finished;
    let remembered = before.handed_back == says.handed_back && before.spread == says.spread;
    before.run == says.run && before.ticks == says.ticks && remembered && (unchanged || !decides_anew)
}

fn is_about(cleared: &Cleared, lease: &Lease) -> bool {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).filter(|holder| !holder.is_empty());
    lease.uid().as_ref() == Some(&cleared.lease_uid) && holder == cleared.holder.as_ref().map(Identity::as_str)
}

fn wish(annotations: &mut BTreeMap<String, String>, wishes: &Wishes) {
    notes::write(annotations, keys::POLICY, Some(&wishes.policy));
    notes::write(annotations, keys::RUN, Some(&wishes.run));
    notes::write(annotations, keys::HANDED_BACK, wishes.handed_back.as_ref());
    notes::write(annotations, keys::SPREAD, wishes.spread.as_ref());
    if let Some(ticks) = &wishes.ticks {
        notes::write(annotations, keys::TICKS, Some(ticks));
    }
    if let Some(cleared) = &wishes.cleared {
        notes::write(annotations, keys::CLEARED, Some(cleared));
    }
    if let Some(handover) = &wishes.handover {
        notes::write(annotations, keys::HANDOVER, Some(handover));
    }
    if let Some(line) = &wishes.succession {
        notes::write(annotations, keys::SUCCESSION, Some(line));
    }
    if let Some(granted) = &wishes.granted {
        notes::write(annotations, keys::HANDLED_REQUEST, Some(granted));
    }
}
