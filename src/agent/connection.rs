//! How the agent reaches the API server: by the pod's own variables, with credentials of the agent's own.

use std::env;
use std::path::{Path, PathBuf};

use kube::Config;

use crate::contract::paths;

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// What is missing to reach the API server.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The kubelet sets both in every container.
    #[error(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no API server; the kubelet sets them, the template must not change them"
    )]
    NoServer,
    /// The controller mounts them.
    #[error("reading the agent's credentials at {path}: {source}; the controller mounts them, the template must not mount over them")]
    Credentials {
        /// Where they should be.
        path: PathBuf,
        /// Why they are not.
        source: std::io::Error,
    },
}

/// # Errors
/// [`Error`], at once rather than at the first request.
pub(super) fn config() -> Result<Config, Error> {
    let server = server(env::var(HOST).ok(), env::var(PORT).ok()).ok_or(Error::NoServer)?;
    let (token, authority) = (credential("token")?, credential("ca.crt")?);
    let mut config = Config::new(server);
    config.auth_info.token_file = Some(token.to_string_lossy().into_owned());
    config.root_cert_file = Some(authority);
    // The file alone counts; without a list, however short, the trust store of the image would be read first, and it may have none.
    config.root_cert = Some(Vec::new());
    // The path of the lease must not lead through a proxy that was meant for the workload's traffic.
    config.proxy_url = None;
    Ok(config)
}

fn server(host: Option<String>, port: Option<String>) -> Option<http::Uri> {
    let (host, port) = (host?, port?.parse::<u16>().ok()?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!("https://{host}:{port}").parse().ok()
}

fn credential(name: &str) -> Result<PathBuf, Error> {
    let path = Path::new(paths::CREDENTIALS).join(name);
    match std::fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(source) => Err(Error::Credentials { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(host: &str, port: &str) -> Option<String> {
        server(Some(host.to_owned()), Some(port.to_owned())).map(|uri| uri.to_string())
    }

    #[test]
    fn the_server_is_where_the_kubelet_says() {
        assert_eq!(uri("10.96.0.1", "443").as_deref(), Some("https://10.96.0.1:443/"));
        assert_eq!(uri("fd00::1", "6443").as_deref(), Some("https://[fd00::1]:6443/"));
        assert_eq!(uri("10.96.0.1", "https"), None);
    }
}
