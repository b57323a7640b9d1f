//! Refuses what candidate pods cannot have, because the agent and its volumes are in them.

use kube::core::Rule;

use super::rule::rule;

pub fn all() -> [Rule; 6] {
    [
        rule(
            "!has(self.hostPID) || !self.hostPID",
            ".hostPID",
            "leave hostPID out: a PID namespace of its own is what makes sure that the workload can be killed",
        ),
        rule(
            "!has(self.shareProcessNamespace) || !self.shareProcessNamespace",
            ".shareProcessNamespace",
            "leave shareProcessNamespace out: a PID namespace of its own is what makes sure that the workload can be killed",
        ),
        rule(
            "self.?os.name.orValue('linux') == 'linux'",
            ".os",
            "leave os out or write linux: candidates run on Linux",
        ),
        rule(
            "!has(self.volumes) || self.volumes.all(v, !(v.name in ['singletonjob-agent', 'singletonjob-credentials', 'singletonjob-state']))",
            ".volumes",
            "use other names: the volumes singletonjob-agent, singletonjob-credentials and singletonjob-state are the operator's",
        ),
        rule(
            "self.containers.all(c, c.name != 'singletonjob-agent')",
            ".containers",
            "use another name: the container singletonjob-agent is the operator's",
        ),
        rule(
            "!has(self.initContainers) || self.initContainers.all(c, c.name != 'singletonjob-agent')",
            ".initContainers",
            "use another name: the container singletonjob-agent is the operator's",
        ),
    ]
}
