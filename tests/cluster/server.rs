//! An https server beside the cluster: it remembers which nodes asked what, and says no to whom it is told
//! to.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use testkit::cluster::{Cluster, HOST};

/// For as long as the test runs.
pub struct Server {
    /// Where pods reach it.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Path and address of the node.
    asked: BTreeSet<(String, String)>,
    refused: Option<String>,
}

impl Server {
    /// Listens, with the certificate of the cluster's API server, which is as good as any.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn start(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind((HOST, 0)).expect("a free port");
        let (address, state) = (listener.local_addr().expect("bound"), Arc::<Mutex<State>>::default());
        let (config, shared) = (Arc::new(config(cluster)), Arc::clone(&state));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, state) = (Arc::clone(&config), Arc::clone(&shared));
                // A client that hangs up early has asked nothing.
                thread::spawn(move || answer(stream, config, &state));
            }
        });
        Self { address, state }
    }

    /// Addresses of the nodes whose pods asked for `path`.
    pub fn asked(&self, path: &str) -> BTreeSet<String> {
        lock(&self.state)
            .asked
            .iter()
            .filter(|(asked, _)| asked == path)
            .map(|(_, node)| node.clone())
            .collect()
    }

    /// From now on the pods of this node are told that nothing works.
    pub fn refuse(&self, node: &str) {
        lock(&self.state).refused = Some(node.to_owned());
    }
}

fn config(cluster: &Cluster) -> ServerConfig {
    let [certificate, key] = cluster.certificate();
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).expect("certificates");
    let key = PrivateKeyDer::from_pem_file(key).expect("a private key");
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("ring knows them");
    builder.with_no_client_auth().with_single_cert(chain, key).expect("a certificate and its key")
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) -> io::Result<()> {
    let node = stream.peer_addr()?.ip().to_string();
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let refused = {
        let mut state = lock(state);
        state.asked.insert((path, node.clone()));
        state.refused.as_ref() == Some(&node)
    };
    let status = if refused { "503 Service Unavailable" } else { "204 No Content" };
    stream.get_mut().write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").as_bytes())
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
