//! An API server in front of the real one, for faults of single requests: what happens to bytes alone is for
//! [`crate::wire`].

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::pending;
use futures::stream;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::{Client, Config};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::control_plane::ControlPlane;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

type Answer = Response<UnsyncBoxBody<Bytes, kube::Error>>;
type Rule = dyn Fn(&Call) -> Verdict + Send + Sync;

/// A request, as far as rules need to know it.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub is_watch: bool,
    /// What is to be written.
    pub body: String,
    /// Which connection it came by, from 0.
    pub connection: usize,
}

impl Call {
    pub fn is_write(&self) -> bool {
        self.method == Method::PUT
    }

    /// An agent's write that gives the Lease back.
    pub fn is_release(&self) -> bool {
        self.is_write() && self.body.contains(r#""holderIdentity":"""#)
    }

    pub fn is_read(&self) -> bool {
        self.method == Method::GET && !self.is_watch
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The real API server decides.
    Pass,
    /// The real API server gets this body instead.
    Rewrite(String),
    /// This status, and when to come again.
    Refuse(StatusCode),
    /// This object, with 200.
    Answer(String),
    /// It reaches the real API server; its answer never comes, for the connection ends.
    LoseAnswer,
    /// The connection ends, and nothing was done.
    LoseRequest,
    /// Neither answer nor end.
    Hang,
}

/// Runs as long as the runtime that made it.
pub struct Gateway {
    /// Where an agent finds it.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Client,
    rule: Mutex<Arc<Rule>>,
    mute: watch::Sender<bool>,
    connections: AtomicUsize,
}

impl Gateway {
    /// In front of `control_plane`, whose certificate it shows.
    pub async fn before(control_plane: &ControlPlane) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            upstream: upstream(control_plane),
            rule: Mutex::new(Arc::new(|_: &Call| Verdict::Pass)),
            mute: watch::channel(false).0,
            connections: AtomicUsize::new(0),
        });
        tokio::spawn(accept(listener, acceptor(control_plane), Arc::clone(&shared)));
        Self { address, shared }
    }

    /// From now on this decides.
    pub fn rule(&self, rule: impl Fn(&Call) -> Verdict + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rule);
    }

    /// Whether watches keep what they have to tell to themselves; no event is lost.
    pub fn mute_watches(&self, mute: bool) {
        self.shared.mute.send_replace(mute);
    }

    /// How many there were so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

/// Passes on whatever credentials the agent shows.
fn upstream(control_plane: &ControlPlane) -> Client {
    let mut config = Config::new(control_plane.server().parse().expect("a URI"));
    let [certificate, _] = control_plane.identity();
    config.root_cert_file = Some(certificate);
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

fn acceptor(control_plane: &ControlPlane) -> TlsAcceptor {
    let [certificate, key] = control_plane.identity();
    let chain = CertificateDer::pem_file_iter(certificate)
        .expect("a certificate")
        .collect::<Result<_, _>>()
        .expect("a chain");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("ring has them").with_no_client_auth();
    TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).expect("they belong together")))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(stream, acceptor.clone(), connection, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, connection: usize, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request| answer(request, connection, &shared));
    // An error ends the connection, as it is meant to.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, connection: usize, shared: &Shared) -> io::Result<Answer> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let call = Call {
        method: parts.method.clone(),
        is_watch: parts.uri.query().is_some_and(|query| query.contains("watch=true")),
        body: String::from_utf8_lossy(&body).into_owned(),
        connection,
    };
    let rule = Arc::clone(&shared.rule.lock().unwrap_or_else(PoisonError::into_inner));
    match rule(&call) {
        Verdict::Pass if call.is_watch => {
            Ok(shared.forward(parts, body).await?.map(|events| mutable(events, shared)))
        }
        Verdict::Pass => Ok(shared.forward(parts, body).await?.map(BodyExt::boxed_unsync)),
        Verdict::Rewrite(other) => Ok(shared.forward(parts, other.into()).await?.map(BodyExt::boxed_unsync)),
        Verdict::Refuse(status) => Ok(refusal(status)),
        Verdict::Answer(object) => Ok(Response::new(whole(object))),
        Verdict::LoseAnswer => {
            drop(shared.forward(parts, body).await?.into_body().collect().await);
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Verdict::LoseRequest => Err(io::ErrorKind::ConnectionReset.into()),
        Verdict::Hang => pending().await,
    }
}

impl Shared {
    async fn forward(&self, mut parts: Parts, body: Bytes) -> io::Result<Response<Body>> {
        // Of the body that came, which may not be the one that goes.
        parts.headers.remove(header::CONTENT_LENGTH);
        self.upstream.send(Request::from_parts(parts, Body::from(body))).await.map_err(io::Error::other)
    }
}

/// Keeps events back while watches are muted.
fn mutable(events: Body, shared: &Shared) -> UnsyncBoxBody<Bytes, kube::Error> {
    let frames = stream::unfold((events, shared.mute.subscribe()), async |(mut events, mut mute)| {
        let frame = events.frame().await?;
        // The sender lives as long as the gateway.
        let _ = mute.wait_for(|mute| !mute).await;
        Some((frame, (events, mute)))
    });
    UnsyncBoxBody::new(StreamBody::new(Box::pin(frames)))
}

/// As API Priority and Fairness, or a load balancer without a backend, say it.
fn refusal(status: StatusCode) -> Answer {
    let object = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
        "reason": "TooManyRequests", "message": "too many requests, please try again later", "metadata": {}});
    let response = Response::builder().status(status).header(header::RETRY_AFTER, "1");
    response.body(whole(object.to_string())).expect("a response")
}

fn whole(text: String) -> UnsyncBoxBody<Bytes, kube::Error> {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync()
}
