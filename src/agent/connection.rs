//! How the agent reaches the API server: by the pod's own variables, with credentials of the agent's own.
//!
//! Everything is read from files by a thread of its own, now and then, and kept in memory: a renewal reads no
//! file, and no name service.

use std::env;
use std::fs;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use kube::Config;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use tokio::sync::watch;

use crate::contract::paths;
use crate::lease::store::Connection;

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
/// The kubelet replaces a token when a fifth of its time is left: twelve minutes of an hour. A name is asked
/// for as often.
const REFRESH: Duration = Duration::from_secs(30);

/// What is missing to reach the API server.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The kubelet sets both in every container.
    #[error(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no API server; the kubelet sets them, the template must not change them"
    )]
    NoServer,
    /// The controller mounts them.
    #[error(
        "reading the agent's credentials at {path}: {source}; the controller mounts them, the template must not mount over them"
    )]
    Credentials {
        /// Where they should be.
        path: PathBuf,
        /// Why they are not.
        source: io::Error,
    },
    /// It is no list of certificates.
    #[error(
        "the certificates at {path} cannot be read: {source}; the controller mounts them, the template must not mount over them"
    )]
    Certificates {
        /// Where they are.
        path: PathBuf,
        /// What is wrong with them.
        source: pem::Error,
    },
}

/// What is read again: where the API server is, what it is known by, and what we show it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// `None` while its name cannot be resolved.
    address: Option<IpAddr>,
    certificates: Vec<Vec<u8>>,
    token: String,
}

/// The server, as the pod's environment names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
}

/// What the API server is reached by, as it is now.
///
/// # Errors
/// [`Error`], at once rather than at the first request.
pub(super) fn config() -> Result<Config, Error> {
    let server = Server::of_pod()?;
    Ok(server.config(Known::read(&server)?))
}

/// The same, kept current by a thread.
///
/// # Errors
/// As [`config`]; also where the kernel refuses a thread.
pub(super) fn kept_current() -> Result<Connection, Error> {
    let server = Server::of_pod()?;
    let known = Known::read(&server)?;
    let (tell, connection) = watch::channel(server.config(known.clone()));
    let keep = move || keep_current(&server, known, &tell);
    let thread = thread::Builder::new().name("credentials".to_owned()).spawn(keep);
    thread.map_err(|source| Error::Credentials { path: paths::CREDENTIALS.into(), source })?;
    Ok(connection)
}

/// What cannot be read for the moment stays as it was.
fn keep_current(server: &Server, mut known: Known, tell: &watch::Sender<Config>) {
    while !tell.is_closed() {
        thread::sleep(REFRESH);
        let Ok(mut read) = Known::read(server) else { continue };
        read.address = read.address.or(known.address);
        if read != known {
            known = read.clone();
            // The elector no longer listens once the process is about to end.
            let _ = tell.send(server.config(read));
        }
    }
}

impl Known {
    fn read(server: &Server) -> Result<Self, Error> {
        let (path, authority) = credential("ca.crt")?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&authority).collect();
        let certificates = certificates.map_err(|source| Error::Certificates { path, source })?;
        let (_, token) = credential("token")?;
        Ok(Self {
            address: server.address(),
            certificates: certificates.into_iter().map(|certificate| certificate.to_vec()).collect(),
            token: String::from_utf8_lossy(&token).trim().to_owned(),
        })
    }
}

impl Server {
    fn of_pod() -> Result<Self, Error> {
        Self::of(env::var(HOST).ok(), env::var(PORT).ok()).ok_or(Error::NoServer)
    }

    fn of(host: Option<String>, port: Option<String>) -> Option<Self> {
        let server = Self { host: host?, port: port?.parse().ok()? };
        server.uri(&server.host).map(|_| server)
    }

    fn uri(&self, host: &str) -> Option<http::Uri> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("https://{host}:{}", self.port).parse().ok()
    }

    /// May ask the name service.
    fn address(&self) -> Option<IpAddr> {
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs().ok()?;
        addresses.next().map(|address| address.ip())
    }

    fn config(&self, known: Known) -> Config {
        let at = known.address.map_or_else(|| self.host.clone(), |address| address.to_string());
        let mut config = Config::new(self.uri(&at).unwrap_or_default());
        // Its certificate names it as the pod does, wherever it is.
        config.tls_server_name = Some(self.host.clone());
        config.auth_info.token = Some(known.token.into());
        config.root_cert = Some(known.certificates);
        // The path of the lease must not lead through a proxy that was meant for the workload's traffic.
        config.proxy_url = None;
        config
    }
}

fn credential(name: &str) -> Result<(PathBuf, Vec<u8>), Error> {
    let path = Path::new(paths::CREDENTIALS).join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok((path, bytes)),
        Err(source) => Err(Error::Credentials { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: &str) -> Option<Server> {
        Server::of(Some(host.to_owned()), Some(port.to_owned()))
    }

    fn known(address: Option<IpAddr>) -> Known {
        Known { address, certificates: Vec::new(), token: "t".into() }
    }

    #[test]
    fn the_server_is_where_the_kubelet_says() {
        let uri = |host, port| {
            server(host, port).map(|server| server.config(known(server.address())).cluster_url.to_string())
        };
        assert_eq!(uri("10.96.0.1", "443").as_deref(), Some("https://10.96.0.1:443/"));
        assert_eq!(uri("fd00::1", "6443").as_deref(), Some("https://[fd00::1]:6443/"));
        assert_eq!(uri("10.96.0.1", "https"), None);
    }

    #[test]
    fn a_name_is_resolved_beforehand_and_still_what_the_certificate_is_for() {
        let server = server("kubernetes.default.svc", "443").expect("a server");
        let resolved = server.config(known(Some([10, 0, 0, 1].into())));
        assert_eq!(resolved.cluster_url.to_string(), "https://10.0.0.1:443/");
        assert_eq!(resolved.tls_server_name.as_deref(), Some("kubernetes.default.svc"));
        let unresolved = server.config(known(None));
        assert_eq!(unresolved.cluster_url.host(), Some("kubernetes.default.svc"));
    }
}
