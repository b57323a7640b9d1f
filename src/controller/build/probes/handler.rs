//! What a probe of the template asks of the workload.

use k8s_openapi::api::core::v1::{ContainerPort, HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::numbers::{DEFAULT_TIMEOUT, given, unsigned};
use crate::contract::probe::{Handler, TemplateProbe};

/// `probe`, as the agent asks it.
pub(super) fn of_template(probe: &Probe, ports: &[ContainerPort]) -> TemplateProbe {
    TemplateProbe {
        handler: handler(probe, ports),
        initial_delay_seconds: unsigned(probe.initial_delay_seconds.unwrap_or(0)),
        timeout_seconds: unsigned(given(probe.timeout_seconds, DEFAULT_TIMEOUT)),
    }
}

/// The handler, with numbers for the names of ports, because the agent does not know the pod.
fn handler(probe: &Probe, ports: &[ContainerPort]) -> Option<Handler> {
    let exec = probe.exec.clone().map(Handler::Exec);
    let http = || {
        probe
            .http_get
            .clone()
            .map(|http| Handler::HttpGet(HTTPGetAction { port: number(&http.port, ports), ..http }))
    };
    let tcp = || {
        probe
            .tcp_socket
            .clone()
            .map(|tcp| Handler::TcpSocket(TCPSocketAction { port: number(&tcp.port, ports), ..tcp }))
    };
    exec.or_else(http).or_else(tcp).or_else(|| probe.grpc.clone().map(Handler::Grpc))
}

/// The number of a port. A name that no port has stays as it is.
fn number(port: &IntOrString, ports: &[ContainerPort]) -> IntOrString {
    let IntOrString::String(name) = port else { return port.clone() };
    let found = ports.iter().find(|port| port.name.as_ref() == Some(name));
    found.map_or_else(|| port.clone(), |found| IntOrString::Int(found.container_port))
}
