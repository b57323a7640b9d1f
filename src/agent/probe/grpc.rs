//! Probes the workload by one call of its health service (`grpc.health.v1`), without TLS, as the kubelet
//! does. SERVING is success.

use std::io::{self, ErrorKind};
use std::time::Duration;

use h2::RecvStream;
use h2::client;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::GRPCAction;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::Failure;
use super::tcp::{self, TimeLimit};

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// More than any answer of this method has.
const LONGEST_ANSWER: usize = 4096;
/// Bytes before a message: whether it is compressed, and its length.
const FRAME: usize = 5;
/// The names of the numbers of `ServingStatus`.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: usize = 1;

/// The server's response to the call.
#[derive(Debug)]
struct CallResponse {
    /// The status of the call, not of the service; "0" if the call was made.
    status: String,
    message: String,
    body: Vec<u8>,
}

/// Asks the workload, until `limit`.
///
/// # Errors
/// [`Failure`] if there is no response, or one other than SERVING.
pub(super) fn check(action: &GRPCAction, limit: TimeLimit) -> Result<(), Failure> {
    let port = u16::try_from(action.port).unwrap_or(0);
    let authority = tcp::address(None, &IntOrString::Int(action.port));
    let service = action.service.as_deref().unwrap_or_default();
    let what = format!("calling {METHOD} at {authority}");
    let response = limit.left().and_then(|left| within(left, call(&authority, port, service)));
    let response = response.map_err(|source| Failure::Unreachable { what: what.clone(), source })?;
    refusal(&response).map_or(Ok(()), |answer| Err(Failure::Refused { what, answer }))
}

fn within<T>(left: Duration, call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { timeout(left, call).await }).unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

async fn call(authority: &str, port: u16, service: &str) -> io::Result<CallResponse> {
    let stream = TcpStream::connect((tcp::host(None), port)).await?;
    let (requests, connection) = client::handshake(stream).await.map_err(io::Error::other)?;
    // What becomes of the connection shows in the response.
    drop(tokio::spawn(async move { drop(connection.await) }));
    let mut requests = requests.ready().await.map_err(io::Error::other)?;
    let (response, mut body) = requests.send_request(request(authority)?, false).map_err(io::Error::other)?;
    body.send_data(framed(&message(service)), true).map_err(io::Error::other)?;
    read(response.await.map_err(io::Error::other)?).await
}

fn request(authority: &str) -> io::Result<Request<()>> {
    let request = Request::builder().method(Method::POST).uri(format!("http://{authority}{METHOD}"));
    let request = request
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, "singletonjob-agent");
    request.body(()).map_err(io::Error::other)
}

/// Writes a `HealthCheckRequest`: the name of the service is field 1.
fn message(service: &str) -> Vec<u8> {
    if service.is_empty() {
        return Vec::new();
    }
    let mut message = vec![0x0a];
    let mut length = service.len();
    while length > 0x7f {
        message.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or(0));
    message.extend(service.as_bytes());
    message
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

async fn read(response: Response<RecvStream>) -> io::Result<CallResponse> {
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("HTTP status {}", response.status())));
    }
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(part) = incoming.data().await {
        let part = part.map_err(io::Error::other)?;
        incoming.flow_control().release_capacity(part.len()).map_err(io::Error::other)?;
        body.extend_from_slice(&part);
        if body.len() > LONGEST_ANSWER {
            return Err(io::Error::other("the answer is too long"));
        }
    }
    let trailers = incoming.trailers().await.map_err(io::Error::other)?.unwrap_or_default();
    let value = |name: &str| text(&trailers, name).or_else(|| text(&head.headers, name)).unwrap_or_default();
    Ok(CallResponse { status: value("grpc-status"), message: value("grpc-message"), body })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// `None` if the service serves.
fn refusal(response: &CallResponse) -> Option<String> {
    if response.status != "0" {
        let hint = if response.status == "12" { ": the server has no health service" } else { "" };
        return Some(format!("status {} {}{hint}", response.status, response.message));
    }
    match serving_status(&response.body) {
        Some(SERVING) => None,
        Some(other) => {
            Some(STATUSES.get(other).map_or_else(|| format!("status {other}"), |name| (*name).to_owned()))
        }
        None => Some("no answer that the health service could give".to_owned()),
    }
}

/// Reads a `HealthCheckResponse`: the status is field 1, and 0 if it is left out. `None` if it is no such
/// message.
fn serving_status(body: &[u8]) -> Option<usize> {
    let (frame, message) = body.split_at_checked(FRAME)?;
    let length = usize::try_from(u32::from_be_bytes(frame[1..].try_into().ok()?)).ok()?;
    if frame[0] != 0 || message.len() != length {
        return None;
    }
    match message {
        [] => Some(0),
        [0x08, status, ..] if *status < 0x80 => Some((*status).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, body: &[u8]) -> CallResponse {
        CallResponse { status: status.to_owned(), message: "nope".to_owned(), body: body.to_owned() }
    }

    #[test]
    fn only_serving_is_success() {
        assert_eq!(refusal(&answer("0", &framed(&[0x08, 1]))), None);
        assert_eq!(refusal(&answer("0", &framed(&[0x08, 2]))).as_deref(), Some("NOT_SERVING"));
        assert_eq!(refusal(&answer("0", &framed(&[]))).as_deref(), Some("UNKNOWN"));
        assert_eq!(refusal(&answer("5", &[])).as_deref(), Some("status 5 nope"));
        assert_eq!(
            refusal(&answer("12", &[])).as_deref(),
            Some("status 12 nope: the server has no health service")
        );
        for strange in
            [&[][..], &[0, 0], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 3, 8, 1], &[0, 0, 0, 0, 2, 9, 1]]
        {
            assert!(refusal(&answer("0", strange)).is_some(), "{strange:?}");
        }
    }

    #[test]
    fn the_service_is_named_as_its_protocol_has_it() {
        assert_eq!(framed(&message(""))[..], [0; 5]);
        assert_eq!(framed(&message("db"))[..], [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        assert_eq!(message(&"x".repeat(200))[..3], [0x0a, 0xc8, 1]);
    }
}
