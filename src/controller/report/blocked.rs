//! Explains why no candidate takes over from a silent holder, and what a user can do about it. Its commands
//! run as they stand.

use std::time::Duration;

use kube::ResourceExt;

use super::ReportContext;
use crate::api::SingletonJobStatus;
use crate::api::conditions::{Statement, find_condition, reasons, types};
use crate::api::takeover::CLEARED_HOLDER;
use crate::controller::plan::clearance::{self, Block};
use crate::controller::plan::policy::unreachable_holder;
use crate::lease::annotations::UnreachableHolder;
use crate::lease::identity::Identity;

/// What candidates wait for under the policies that need no user's confirmation.
const LEASE_EXPIRY: &str = "candidates take over from a silent holder when its lease and spec.takeover.unreachableHolder.delaySeconds have passed";
const POD_GONE: &str = "candidates take over from a silent holder when its container is reported as terminated or its pod is gone; delete the pod, \
                        with --force only when nothing of it runs any more";

/// Why the name of the holder's pod has no effect.
const USED_UP: &str = "a user wrote that under another policy, or about an earlier process in that pod";

/// The condition `TakeoverBlocked`. `None` if nothing blocks. A controller that has just begun to watch keeps
/// what status says.
pub fn statement(context: &ReportContext<'_>) -> Option<Statement> {
    block(context).map(|block| say(context, block)).or_else(|| remembered(context))
}

/// A hint at that condition, as part of a longer sentence. `None` if nothing blocks.
pub fn hint(context: &ReportContext<'_>) -> Option<&'static str> {
    statement(context).map(|_| "takeover is blocked: see the condition TakeoverBlocked")
}

fn say(context: &ReportContext<'_>, block: Block) -> Statement {
    let (reason, message) = match block {
        Block::PodNotGone { pod, node } => {
            (reasons::WAITING_FOR_POD_GONE, not_gone(context, &pod, node.as_deref()))
        }
        Block::AwaitingConfirmation { holder, confirmation, current } => {
            let message = awaiting_confirmation(context, holder.pod(), &confirmation, current.as_deref());
            (reasons::MANUAL_POLICY, message)
        }
        Block::Delay { holder, delay } => (reasons::DELAY, delayed(context, holder.pod(), delay)),
    };
    Statement::yes(types::TAKEOVER_BLOCKED, reason, message)
}

/// What status says already, in the words of the controller that could tell. `None` if the reason would be
/// another one.
fn remembered(context: &ReportContext<'_>) -> Option<Statement> {
    if context.refusal.is_some() {
        return None;
    }
    let statement = say(context, clearance::remembered_block(context.job, context.observed)?);
    let known = find_condition(&context.job.status.as_ref()?.conditions, types::TAKEOVER_BLOCKED)?;
    (known.reason == statement.reason).then(|| Statement { message: known.message.clone(), ..statement })
}

fn block(context: &ReportContext<'_>) -> Option<Block> {
    context.refusal.is_none().then(|| clearance::block(context.job, context.observed))?
}

fn silent(context: &ReportContext<'_>, pod: &str) -> String {
    let lease = context.record().map_or(0, |record| record.lease_duration.as_secs());
    format!("{pod} has not renewed its lease of {lease} s")
}

fn not_gone(context: &ReportContext<'_>, pod: &str, node: Option<&str>) -> String {
    let place = node.map_or(String::new(), |node| format!(" on {node}"));
    let taint = node.map_or(String::new(), |node| {
        format!("when {node} is switched off: kubectl taint node {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute; ")
    });
    format!(
        "{}, and may still run{place}: the policy AfterPodGone blocks takeover until its container is reported as terminated or the \
         pod is gone; {taint}otherwise: kubectl delete pod {pod} --namespace {}, with --force only when nothing of it runs any more",
        silent(context, pod),
        context.job.namespace().unwrap_or_default(),
    )
}

/// Why the annotation value `word` has no effect, and what has. `None` if it may have one.
pub fn no_effect(context: &ReportContext<'_>, word: &str) -> Option<String> {
    let names = |identity: &&Identity| identity.pod() == word || identity.as_str() == word;
    let policy = unreachable_holder(context.job);
    let waits_for = match policy {
        UnreachableHolder::AfterLeaseExpiry => LEASE_EXPIRY,
        UnreachableHolder::AfterPodGone => POD_GONE,
        UnreachableHolder::Manual => {
            let holder = context.holder().filter(|holder| !names(holder))?;
            return Some(format!("{} holds the Lease, so that value clears no holder", holder.pod()));
        }
    };
    Some(format!("it has no effect under the policy {policy:?}: {waits_for}"))
}

/// Why the annotation value `word` names the wrong holder, and what to write instead. `None` unless the
/// condition says so now and did not `before`.
pub fn misnamed(context: &ReportContext<'_>, word: &str, before: &SingletonJobStatus) -> Option<String> {
    let told = find_condition(&before.conditions, types::TAKEOVER_BLOCKED)?;
    let Some(Block::AwaitingConfirmation { holder, confirmation: right, .. }) = block(context) else {
        return None;
    };
    let is_new = !told.message.contains(&ignored(holder.pod(), word));
    let why = if word == holder.pod() { USED_UP } else { "that is not the silent holder" };
    is_new.then(|| format!("{why}: write {right} when nothing of it runs any more"))
}

fn ignored(pod: &str, said: &str) -> String {
    let why = if said == pod { USED_UP } else { "that is not this holder" };
    format!("; the annotation says {said} now, but {why}")
}

fn awaiting_confirmation(context: &ReportContext<'_>, pod: &str, word: &str, said: Option<&str>) -> String {
    let ignored = said.map_or(String::new(), |said| ignored(pod, said));
    format!(
        "{}: the policy Manual blocks takeover until a user confirms that it is gone; when nothing of it runs any more: kubectl annotate \
         sj {} --namespace {} {CLEARED_HOLDER}={word} --overwrite{ignored}",
        silent(context, pod),
        context.job.name_any(),
        context.job.namespace().unwrap_or_default(),
    )
}

fn delayed(context: &ReportContext<'_>, pod: &str, delay: Duration) -> String {
    let field = "spec.takeover.unreachableHolder.delaySeconds";
    format!(
        "{}: {field} blocks takeover until {} s after that lease has expired",
        silent(context, pod),
        delay.as_secs()
    )
}
