//! Why nobody takes over from a silent holder, and what a person can do about it: commands that can be run as they stand.

use std::time::Duration;

use kube::ResourceExt;

use super::Account;
use crate::api::conditions::{Statement, find_condition, reasons, types};
use crate::api::takeover::CLEARED_HOLDER;
use crate::controller::plan::clearance::{self, Block};

/// `TakeoverBlocked`; none where nothing blocks. A controller that has just begun to look leaves it as it is in status.
pub fn statement(account: &Account<'_>) -> Option<Statement> {
    block(account).map(|block| say(account, block)).or_else(|| remembered(account))
}

/// What there is to say of it in one place of a longer sentence.
pub fn hint(account: &Account<'_>) -> Option<&'static str> {
    statement(account).map(|_| "nobody takes over yet: see the condition TakeoverBlocked")
}

fn say(account: &Account<'_>, block: Block) -> Statement {
    let (reason, message) = match block {
        Block::PodNotGone { pod, node } => (reasons::WAITING_FOR_POD_GONE, not_gone(account, &pod, node.as_deref())),
        Block::NoWord { holder, word, said } => (reasons::MANUAL_POLICY, no_word(account, holder.pod(), &word, said.as_deref())),
        Block::Delay { holder, delay } => (reasons::DELAY, delayed(account, holder.pod(), delay)),
    };
    Statement::yes(types::TAKEOVER_BLOCKED, reason, message)
}

/// In the words of whoever could tell, where the reason would be the same.
fn remembered(account: &Account<'_>) -> Option<Statement> {
    let block = clearance::remembered_block(account.job, account.observed).filter(|_| account.refusal.is_none())?;
    let statement = say(account, block);
    let known = find_condition(&account.job.status.as_ref()?.conditions, types::TAKEOVER_BLOCKED)?;
    (known.reason == statement.reason).then(|| Statement { message: known.message.clone(), ..statement })
}

fn block(account: &Account<'_>) -> Option<Block> {
    account.refusal.is_none().then(|| clearance::block(account.job, account.observed))?
}

fn silent(account: &Account<'_>, pod: &str) -> String {
    let lease = account.record().map_or(0, |record| record.lease_duration.as_secs());
    format!("{pod} has not renewed its lease of {lease} s")
}

fn not_gone(account: &Account<'_>, pod: &str, node: Option<&str>) -> String {
    let place = node.map_or(String::new(), |node| format!(" on {node}"));
    let taint = node.map_or(String::new(), |node| {
        format!("when {node} is switched off: kubectl taint node {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute; ")
    });
    format!(
        "{}, and may still run{place}: by the policy AfterPodGone nobody takes over until its container is reported as terminated or the \
         pod is gone; {taint}otherwise: kubectl delete pod {pod} --namespace {}, with --force only when nothing of it runs any more",
        silent(account, pod),
        account.job.namespace().unwrap_or_default(),
    )
}

fn no_word(account: &Account<'_>, pod: &str, word: &str, said: Option<&str>) -> String {
    let ignored = said.map_or(String::new(), |said| format!("; what the annotation says now, {said}, is not about this holder"));
    format!(
        "{}: by the policy Manual nobody takes over until a person says that it is gone; when nothing of it runs any more: kubectl annotate \
         sj {} --namespace {} {CLEARED_HOLDER}={word} --overwrite{ignored}",
        silent(account, pod),
        account.job.name_any(),
        account.job.namespace().unwrap_or_default(),
    )
}

fn delayed(account: &Account<'_>, pod: &str, delay: Duration) -> String {
    let field = "spec.takeover.unreachableHolder.delaySeconds";
    format!("{}: by {field} nobody takes over for another {} s", silent(account, pod), delay.as_secs())
}
