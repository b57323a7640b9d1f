//! Serves `/healthz`, `/readyz` and `/metrics`.
//!
//! Any pod of the cluster may be able to connect. A client that sends nothing, or takes nothing, costs one of
//! few connections for a short time.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::Telemetry;

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at the same time. The kernel lets further clients wait.
const MOST_CONNECTIONS: usize = 64;
/// The time from the connection to the last byte of its request.
const LONGEST_REQUEST: Duration = Duration::from_secs(2);
/// The time from the connection to the last byte of its one answer.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(5);
/// The pause after the process could not accept a connection, for example without a free file descriptor.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Answers clients for ever.
///
/// # Errors
/// If the process cannot listen on `address`.
pub async fn serve(address: SocketAddr, telemetry: Arc<Telemetry>) -> io::Result<()> {
    answer_all(TcpListener::bind(address).await?, telemetry).await;
    Ok(())
}

async fn answer_all(listener: TcpListener, telemetry: Arc<Telemetry>) {
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    while let Ok(permit) = connections.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(exchange(stream, telemetry.clone(), permit))),
            Err(error) => {
                tracing::warn!(%error, "the health endpoint cannot accept a connection; trying again");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Answers one request of a connection. A client that asks again connects again.
async fn exchange(stream: TcpStream, telemetry: Arc<Telemetry>, _permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request| {
        let response = answer(&request, &telemetry);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(LONGEST_REQUEST);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    match timeout(LONGEST_EXCHANGE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the health endpoint broke"),
        Err(_) => tracing::debug!("a client of the health endpoint is too slow; its connection is closed"),
    }
}

fn answer(request: &Request<Incoming>, telemetry: &Telemetry) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/healthz" => verdict(telemetry.health.alive()),
        "/readyz" => verdict(telemetry.health.ready()),
        "/metrics" => response(StatusCode::OK, OPEN_METRICS, telemetry.metrics.encode()),
        _ => response(StatusCode::NOT_FOUND, TEXT, "try /healthz, /readyz or /metrics\n".to_owned()),
    }
}

fn verdict(result: Result<(), String>) -> Response<Full<Bytes>> {
    match result {
        Ok(()) => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
        Err(why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, why + "\n"),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn listening() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(answer_all(listener, Arc::new(Telemetry::default())));
        address
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer, and its end");
        answer
    }

    #[tokio::test]
    async fn one_connection_is_for_one_answer() {
        assert!(ask(listening().await).await.starts_with("HTTP/1.1 200 OK"));
    }

    #[tokio::test]
    async fn clients_that_say_nothing_are_sent_away_and_others_answered() {
        let address = listening().await;
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.expect("it listens"));
        }
        silent[0].write_all(b"GET /metrics HTTP/1.1\r\nHost: ").await.expect("written");
        let answered = timeout(LONGEST_EXCHANGE * 2, ask(address)).await.expect("in time");
        assert!(answered.starts_with("HTTP/1.1 200 OK"), "{answered}");
        assert_eq!(
            silent[0].read(&mut [0; 64]).await.ok().filter(|read| *read > 0),
            None,
            "it was sent away"
        );
    }
}
