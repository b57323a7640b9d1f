//! Connects the agent to the API server that the pod's own variables name, with credentials of the agent's
//! own.
//!
//! A thread reads everything from files now and then, and keeps it in memory. So a renewal reads no file, and
//! asks no name service.

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
/// How often files and names are read again. The kubelet replaces a token when a fifth of its time is left:
/// twelve minutes of an hour.
const REFRESH: Duration = Duration::from_secs(30);

/// Why the API server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A variable is missing that the kubelet sets in every container.
    #[error(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no API server; the kubelet sets them, the template must not change them"
    )]
    NoServer,
    /// The credentials, which the controller mounts, cannot be read.
    #[error(
        "reading the agent's credentials at {path}: {source}; the controller mounts them, the template must not mount over them"
    )]
    Credentials {
        /// The file that holds them.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The file is no list of certificates.
    #[error(
        "the certificates at {path} cannot be read: {source}; the controller mounts them, the template must not mount over them"
    )]
    Certificates {
        /// The file that holds them.
        path: PathBuf,
        /// What is wrong with them.
        source: pem::Error,
    },
}

/// What is read again and again: the address of the API server, its certificates, and the agent's token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Access {
    /// `None` while its name cannot be resolved.
    address: Option<IpAddr>,
    certificates: Vec<Vec<u8>>,
    token: String,
}

/// The API server, as the pod's environment names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    host: String,
    port: u16,
}

/// Reads how the API server is reached now.
///
/// # Errors
/// [`Error`], at once rather than at the first request.
pub(super) fn config() -> Result<Config, Error> {
    let server = Server::of_pod()?;
    Ok(server.config(Access::read(&server)?))
}

/// Reads how the API server is reached, and starts a thread that keeps that current.
///
/// # Errors
/// As [`config`]; also if the kernel refuses a thread.
pub(super) fn kept_current() -> Result<Connection, Error> {
    let server = Server::of_pod()?;
    let access = Access::read(&server)?;
    let (tell, connection) = watch::channel(server.config(access.clone()));
    let keep = move || keep_current(&server, access, &tell);
    let thread = thread::Builder::new().name("credentials".to_owned()).spawn(keep);
    thread.map_err(|source| Error::Credentials { path: paths::CREDENTIALS.into(), source })?;
    Ok(connection)
}

/// Sends what has changed. What cannot be read for the moment stays as it was.
fn keep_current(server: &Server, mut access: Access, tell: &watch::Sender<Config>) {
    while !tell.is_closed() {
        thread::sleep(REFRESH);
        let Ok(mut read) = Access::read(server) else { continue };
        read.address = read.address.or(access.address);
        if read != access {
            access = read.clone();
            // The elector no longer listens once the process is about to end.
            let _ = tell.send(server.config(read));
        }
    }
}

impl Access {
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

    /// The address of the server. May ask the name service.
    fn address(&self) -> Option<IpAddr> {
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs().ok()?;
        addresses.next().map(|address| address.ip())
    }

    fn config(&self, access: Access) -> Config {
        let at = access.address.map_or_else(|| self.host.clone(), |address| address.to_string());
        let mut config = Config::new(self.uri(&at).unwrap_or_default());
        // Its certificate names it as the pod does, wherever it is.
        config.tls_server_name = Some(self.host.clone());
        config.auth_info.token = Some(access.token.into());
        config.root_cert = Some(access.certificates);
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

    fn access(address: Option<IpAddr>) -> Access {
        Access { address, certificates: Vec::new(), token: "t".into() }
    }

    #[test]
    fn the_server_is_where_the_kubelet_says() {
        let uri = |host, port| {
            server(host, port).map(|server| server.config(access(server.address())).cluster_url.to_string())
        };
        assert_eq!(uri("10.96.0.1", "443").as_deref(), Some("https://10.96.0.1:443/"));
        assert_eq!(uri("fd00::1", "6443").as_deref(), Some("https://[fd00::1]:6443/"));
        assert_eq!(uri("10.96.0.1", "https"), None);
    }

    #[test]
    fn a_name_is_resolved_beforehand_and_still_what_the_certificate_is_for() {
        let server = server("kubernetes.default.svc", "443").expect("a server");
        let resolved = server.config(access(Some([10, 0, 0, 1].into())));
        assert_eq!(resolved.cluster_url.to_string(), "https://10.0.0.1:443/");
        assert_eq!(resolved.tls_server_name.as_deref(), Some("kubernetes.default.svc"));
        let unresolved = server.config(access(None));
        assert_eq!(unresolved.cluster_url.host(), Some("kubernetes.default.svc"));
    }
}
