//! The proxy between a controller and its API server. It shows the controller one namespace only, so that
//! many controllers can work side by side on one server, and does to requests what is planned for them.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::BoxError;

use super::asked::Asked;
use super::ledger::Ledger;

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Conflict,
    TooManyRequests,
    InternalError,
    /// It never arrives, and the controller is not told.
    Silence,
    /// It is carried out, and its answer is lost.
    LostAnswer,
    /// It is carried out, and the controller is killed before the answer.
    Kill,
}

impl Fault {
    /// Whether the controller cannot learn what has become of the request.
    pub fn is_blinding(self) -> bool {
        matches!(self, Self::LostAnswer | Self::Kill)
    }
}

/// What happens to which request of a namespace, counted from 1. Watches are not counted.
pub type Plan = Arc<dyn Fn(usize) -> Option<Fault> + Send + Sync>;

/// Nothing happens.
pub fn undisturbed() -> Plan {
    Arc::new(|_| None)
}

/// How the watches of pods, Leases, Roles and RoleBindings are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tide {
    Flowing,
    /// What they tell comes later.
    Late,
    /// What they would tell is never told: they break, and begin anew with a list.
    Lost,
}

/// See above.
pub struct FaultProxy {
    server: Client,
    plan: Plan,
    ledger: Arc<Ledger>,
    killed: watch::Sender<bool>,
    tide: watch::Sender<Tide>,
    past: Mutex<HashMap<String, Bytes>>,
}

impl FaultProxy {
    pub fn new(server: Client, ledger: Arc<Ledger>, plan: Plan) -> Arc<Self> {
        let (killed, tide) = (watch::Sender::new(false), watch::Sender::new(Tide::Flowing));
        Arc::new(Self { server, plan, ledger, killed, tide, past: Mutex::default() })
    }

    /// For the controller.
    pub fn client(self: &Arc<Self>) -> Client {
        let proxy = self.clone();
        let service = tower::service_fn(move |request| {
            let proxy = proxy.clone();
            async move { proxy.pass(request).await }
        });
        Client::new(service, self.ledger.namespace.clone())
    }

    /// Waits until a request was carried out that is planned to be the last.
    pub async fn killed(&self) {
        let mut killed = self.killed.subscribe();
        if killed.wait_for(|killed| *killed).await.is_err() {
            pending::<()>().await;
        }
    }

    pub fn turn(&self, tide: Tide) {
        self.tide.send_replace(tide);
    }

    /// From now on, a client that asks for all of `resource` hears what there was when `list` was made.
    pub fn remember(&self, resource: &str, list: &Value) {
        self.past
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(resource.to_owned(), Bytes::from(list.to_string()));
    }

    async fn pass(&self, request: Request<Body>) -> Result<Answer, BoxError> {
        let (asked, request) = Asked::of(request, &self.ledger.namespace).await?;
        if *self.killed.borrow() {
            return pending().await;
        }
        if asked.is_watch {
            return self.watch(&asked, request).await;
        }
        self.ledger.tried(&asked);
        let number = self.ledger.next_number();
        match (self.plan)(number) {
            Some(fault) => {
                self.ledger.suffered(number, fault);
                self.fail(fault, &asked, request).await
            }
            None => self.answer(&asked, request).await,
        }
    }

    async fn fail(&self, fault: Fault, asked: &Asked, request: Request<Body>) -> Result<Answer, BoxError> {
        match fault {
            Fault::Conflict => Ok(refusal(StatusCode::CONFLICT, "Conflict")),
            Fault::TooManyRequests => Ok(refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
            Fault::InternalError => Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            // What a watch begins with is bounded by the connection's own timeout only, which is minutes.
            Fault::Silence if asked.is_everywhere => self.answer(asked, request).await,
            Fault::Silence => pending().await,
            Fault::LostAnswer => {
                self.answer(asked, request).await?;
                Err("connection reset by peer".into())
            }
            Fault::Kill => {
                self.answer(asked, request).await?;
                self.killed.send_replace(true);
                pending().await
            }
        }
    }

    async fn answer(&self, asked: &Asked, request: Request<Body>) -> Result<Answer, BoxError> {
        if let Some(list) = self.remembered(asked) {
            return Ok(Response::new(whole(list)));
        }
        self.ledger.before(asked, &self.server).await;
        let answer = self.server.send(request).await?;
        self.ledger.after(asked, answer.status());
        Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }

    fn remembered(&self, asked: &Asked) -> Option<Bytes> {
        if !asked.is_list() || !asked.is_everywhere {
            return None;
        }
        self.past.lock().unwrap_or_else(PoisonError::into_inner).get(&asked.resource).cloned()
    }

    async fn watch(&self, asked: &Asked, request: Request<Body>) -> Result<Answer, BoxError> {
        if !matches!(asked.resource.as_str(), "pods" | "leases" | "roles" | "rolebindings") {
            return Ok(self
                .server
                .send(request)
                .await?
                .map(|body| body.map_err(BoxError::from).boxed_unsync()));
        }
        let mut tide = self.tide.subscribe();
        if *tide.borrow() == Tide::Lost {
            tide.wait_for(|tide| *tide == Tide::Flowing).await?;
            return Ok(Response::new(whole(Bytes::from(expired().to_string() + "\n"))));
        }
        Ok(self.server.send(request).await?.map(|body| tidal(body, tide)))
    }
}

/// What `body` tells, as `tide` lets it.
fn tidal(body: Body, tide: watch::Receiver<Tide>) -> UnsyncBoxBody<Bytes, BoxError> {
    let turned = {
        let mut tide = tide.clone();
        async move { drop(tide.wait_for(|tide| *tide == Tide::Lost).await) }
    };
    let told = body.into_data_stream().map_err(BoxError::from).and_then(move |data| {
        let mut tide = tide.clone();
        async move {
            tide.wait_for(|tide| *tide != Tide::Late).await?;
            Ok(Frame::data(data))
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(told.take_until(Box::pin(turned))))
}

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn status(code: StatusCode, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "reason": reason, "message": "as planned"})
}

fn expired() -> Value {
    json!({"type": "ERROR", "object": status(StatusCode::GONE, "Expired")})
}

fn refusal(code: StatusCode, reason: &str) -> Answer {
    let answer = Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .header("retry-after", "1");
    answer.body(whole(Bytes::from(status(code, reason).to_string()))).expect("a response")
}
