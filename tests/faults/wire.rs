//! The network between one candidate and its API server, as toxiproxy spoils it: what can be done to bytes,
//! not to requests.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::LazyLock;
use std::time::Duration;

use http::{Method, Request};
use kube::{Client, Config};
use serde_json::{Value, json};
use testkit::control_plane::free_ports;
use testkit::programs::{require, start_program};
use tokio::time::sleep;

const TOXIPROXY: &str = "toxiproxy";

/// Which way bytes go.
#[derive(Clone, Copy, Debug)]
pub enum Direction {
    /// From the agent.
    Requests,
    /// To the agent.
    Answers,
}

impl Direction {
    fn stream(self) -> &'static str {
        match self {
            Self::Requests => "upstream",
            Self::Answers => "downstream",
        }
    }
}

/// A way to the API server that can be spoiled.
pub struct Wire {
    client: Client,
    name: String,
    /// Where an agent finds it.
    pub address: SocketAddr,
}

impl Wire {
    /// A sound one to `server`.
    pub async fn to(server: SocketAddr) -> Self {
        let client = toxiproxy().await;
        let name = format!("wire-{:08x}", fastrand::u32(..));
        let made =
            json!({"name": name, "listen": "127.0.0.1:0", "upstream": server.to_string(), "enabled": true});
        let made = ask(&client, Method::POST, "/proxies", &made).await;
        let address = made["listen"]
            .as_str()
            .and_then(|address| address.parse().ok())
            .expect("toxiproxy says where it listens");
        Self { client, name, address }
    }

    /// Bytes of this direction vanish, and neither side is told: a firewall that drops, half of a cut cable.
    pub async fn swallow(&self, direction: Direction) {
        self.poison("timeout", direction, &json!({"timeout": 0})).await;
    }

    /// Both directions: the node is cut off.
    pub async fn cut(&self) {
        self.swallow(Direction::Requests).await;
        self.swallow(Direction::Answers).await;
    }

    /// Bytes of this direction come later.
    pub async fn delay(&self, direction: Direction, by: Duration) {
        self.poison("latency", direction, &json!({"latency": milliseconds(by)})).await;
    }

    /// An answer comes in pieces of so many bytes, each `apart` from the one before.
    pub async fn slice(&self, bytes: u32, apart: Duration) {
        let attributes =
            json!({"average_size": bytes, "size_variation": 0, "delay": milliseconds(apart) * 1000});
        self.poison("slicer", Direction::Answers, &attributes).await;
    }

    /// Every connection, new ones too, ends with a RST.
    pub async fn reset(&self) {
        self.poison("reset_peer", Direction::Answers, &json!({"timeout": 0})).await;
        self.poison("reset_peer", Direction::Requests, &json!({"timeout": 0})).await;
    }

    /// Connections are closed and refused, as on a machine without the server.
    pub async fn refuse(&self) {
        self.enable(false).await;
    }

    /// Sound again.
    pub async fn mend(&self) {
        let known = ask(&self.client, Method::GET, &self.path("toxics"), &Value::Null).await;
        for toxic in known.as_array().expect("a list of toxics") {
            let name = toxic["name"].as_str().expect("toxics have names");
            ask(&self.client, Method::DELETE, &self.path(&format!("toxics/{name}")), &Value::Null).await;
        }
        self.enable(true).await;
    }

    async fn enable(&self, enabled: bool) {
        ask(&self.client, Method::POST, &self.path(""), &json!({"enabled": enabled})).await;
    }

    async fn poison(&self, kind: &str, direction: Direction, attributes: &Value) {
        let toxic = json!({"type": kind, "stream": direction.stream(), "attributes": attributes});
        ask(&self.client, Method::POST, &self.path("toxics"), &toxic).await;
    }

    fn path(&self, rest: &str) -> String {
        format!("/proxies/{}/{rest}", self.name).trim_end_matches('/').to_owned()
    }
}

/// The one that all tests share.
async fn toxiproxy() -> Client {
    static TOXIPROXY_AT: LazyLock<(Child, SocketAddr)> = LazyLock::new(start);
    let mut config = Config::new(format!("http://{}", TOXIPROXY_AT.1).parse().expect("a URI"));
    config.default_retry = false;
    let client = Client::try_from(config).expect("a client");
    for _ in 0..500 {
        if client.request_text(request(Method::GET, "/version", &Value::Null)).await.is_ok() {
            return client;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("toxiproxy does not answer at {}", TOXIPROXY_AT.1);
}

fn start() -> (Child, SocketAddr) {
    require(TOXIPROXY);
    let [port] = free_ports();
    let flags = ["-host", "127.0.0.1", "-port", &port.to_string()].map(str::to_owned);
    (start_program(TOXIPROXY, &flags, Path::new("/dev/null")), SocketAddr::from(([127, 0, 0, 1], port)))
}

async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Value {
    let what = format!("toxiproxy: {method} {path}");
    let text = client
        .request_text(request(method, path, body))
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    serde_json::from_str(&text).unwrap_or_default()
}

fn request(method: Method, path: &str, body: &Value) -> Request<Vec<u8>> {
    Request::builder().method(method).uri(path).body(body.to_string().into_bytes()).expect("a request")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("short")
}
