//! Refuses what the container of the workload cannot have, because the agent runs it.

use kube::core::Rule;

use super::rule::{rule, telling};

/// Name of the gated container, seen from the spec.
const WORKLOAD: &str =
    "(has(self.workloadContainer) ? self.workloadContainer : self.template.spec.containers[0].name)";
const CONTAINERS: &str = ".template.spec.containers";

pub fn all() -> [Rule; 5] {
    [
        telling(
            of_gated("has(c.command) && size(c.command) > 0"),
            CONTAINERS,
            format!(
                "'container ' + {WORKLOAD} + ' needs a command, because the entrypoint of its image is not known here; \
                 copy the ENTRYPOINT of the image into command and its CMD into args'"
            ),
        ),
        rule(
            of_gated("!has(c.restartPolicy) && !has(c.restartPolicyRules)"),
            CONTAINERS,
            "leave restartPolicy and restartPolicyRules out of the workload's container: completionPolicy says what follows an exit",
        ),
        rule(
            of_gated(&["liveness", "readiness", "startup"].map(has_handler).join(" && ")),
            CONTAINERS,
            "use exec, httpGet, tcpSocket or grpc in each probe of the workload's container: one without a handler asks nothing",
        ),
        rule(
            of_gated("!c.?lifecycle.postStart.hasValue()"),
            CONTAINERS,
            "leave lifecycle.postStart out of the workload's container, where it would run on standbys too: do it at the start of command",
        ),
        rule(
            of_gated(&format!(
                "!has(c.volumeMounts) || c.volumeMounts.all(m, !({}))",
                is_ours("m.mountPath")
            )),
            CONTAINERS,
            "mount volumes elsewhere: /singletonjob, /var/run/singletonjob and /var/run/secrets/singletonjob.dev are the operator's \
             in the workload's container",
        ),
    ]
}

/// Asked through the agent, a probe that asks nothing would always succeed.
fn has_handler(kind: &str) -> String {
    let handlers =
        ["exec", "httpGet", "tcpSocket", "grpc"].map(|handler| format!("has(c.{kind}Probe.{handler})"));
    format!("(!has(c.{kind}Probe) || {})", handlers.join(" || "))
}

/// That `condition` holds for the gated container `c`.
fn of_gated(condition: &str) -> String {
    format!("self.template.spec.containers.all(c, c.name != {WORKLOAD} || ({condition}))")
}

/// Comparisons, for a regular expression over paths would exceed what the API server lets a rule cost.
fn is_ours(path: &str) -> String {
    let ours = ["/singletonjob", "/var/run/singletonjob", "/var/run/secrets/singletonjob.dev"];
    ours.map(|ours| format!("{path} == '{ours}' || {path}.startsWith('{ours}/')")).join(" || ")
}
