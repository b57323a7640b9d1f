//! Probes the workload by one GET, much as the kubelet does. Any status from 200 to 399 is success, and
//! certificates are not checked.
//!
//! The kubelet differs in three points. It names in a `Referer` where a redirection came from. It sends as a
//! password what a redirection has before the host. It reads the whole head of a response, and fails if that
//! is malformed.

mod target;

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::Arc;

use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::Failure;
use super::tcp::{TimeLimit, connect};
use target::{HTTP, HTTPS, Target};

/// More than any response has before its body.
const LONGEST_HEAD: u64 = 64 << 10;
/// The requests of one probe, redirections included: as many as Go's client sends for the kubelet.
const MOST_REQUESTS: usize = 10;

/// The head of a response.
#[derive(Debug)]
struct Response {
    status_line: String,
    location: Option<String>,
}

/// Asks the workload, until `limit`. Follows a redirection on the same host, as the kubelet does; one that
/// leads away is a response like any other.
///
/// # Errors
/// [`Failure`] if there is no response, or it is no success.
pub(super) fn get(action: &HTTPGetAction, limit: TimeLimit) -> Result<(), Failure> {
    let mut target = Target::of(action);
    for _ in 0..MOST_REQUESTS {
        let what = target.to_string();
        let response = ask(&target, action, limit)
            .map_err(|source| Failure::Unreachable { what: what.clone(), source })?;
        match response.leads_to(&target).filter(|next| next.host() == target.host()) {
            Some(next) => target = next,
            None if is_success(&response.status_line) => return Ok(()),
            None => return Err(Failure::Refused { what, answer: response.status_line }),
        }
    }
    Err(Failure::Refused {
        what: Target::of(action).to_string(),
        answer: format!("redirected {MOST_REQUESTS} times"),
    })
}

impl Response {
    /// Where a redirection leads to; `None` if this is none.
    fn leads_to(&self, asked: &Target) -> Option<Target> {
        match status(&self.status_line) {
            Some(301 | 302 | 303 | 307 | 308) => self
                .location
                .as_deref()
                .filter(|location| !location.is_empty())
                .map(|location| asked.resolve(location)),
            _ => None,
        }
    }
}

fn ask(target: &Target, action: &HTTPGetAction, limit: TimeLimit) -> io::Result<Response> {
    let invalid = |why: &str| io::Error::new(ErrorKind::InvalidInput, why.to_owned());
    let stream = || connect(target.host(), target.port(), limit);
    let request = request(target, action);
    match target.scheme.as_str() {
        HTTP => exchange(stream()?, &request),
        HTTPS => {
            let name =
                ServerName::try_from(target.host().to_owned()).map_err(|_| invalid("not a host name"))?;
            let connection = ClientConnection::new(trusting_any_server()?, name).map_err(io::Error::other)?;
            exchange(StreamOwned::new(connection, stream()?), &request)
        }
        other => Err(invalid(&format!("a probe does not speak {other}"))),
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Response> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut lines = BufReader::new(stream.take(LONGEST_HEAD)).split(b'\n');
    final_response(|| {
        lines
            .next()
            .transpose()
            .map(|line| line.map(|line| String::from_utf8_lossy(&line).trim_end().to_owned()))
    })
}

/// Reads the first response that is final.
fn final_response(mut line: impl FnMut() -> io::Result<Option<String>>) -> io::Result<Response> {
    let mut status_line = line()?.unwrap_or_default();
    while is_interim(&status_line) {
        location(&mut line)?;
        status_line = line()?.unwrap_or_default();
    }
    let is_redirection = status(&status_line).is_some_and(|status| (300..400).contains(&status));
    let location = if is_redirection { location(&mut line)? } else { None };
    Ok(Response { status_line, location })
}

/// Reads all headers, and returns the first location among them.
fn location(mut line: impl FnMut() -> io::Result<Option<String>>) -> io::Result<Option<String>> {
    let mut location = None;
    while let Some(header) = line()?.filter(|header| !header.is_empty()) {
        let named = header.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("location"));
        location = location.or(named.map(|(_, value)| value.trim().to_owned()));
    }
    Ok(location)
}

fn request(target: &Target, action: &HTTPGetAction) -> String {
    let all = action.http_headers.as_deref().unwrap_or_default();
    let is_sent = |name: &str| target.has_templates_host || !name.eq_ignore_ascii_case("host");
    let headers: Vec<_> = all.iter().filter(|header| is_sent(&header.name)).collect();
    let given = |name: &str| headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    let mut request = format!("GET {} HTTP/1.1\r\nConnection: close\r\n", target.path);
    let defaults = [("Host", target.authority.as_str()), ("User-Agent", "kube-probe/singletonjob")];
    for (name, value) in defaults.iter().filter(|(name, _)| !given(name)) {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    if !given("Accept") {
        request.push_str("Accept: */*\r\n");
    }
    for header in headers {
        let _ = write!(request, "{}: {}\r\n", header.name, header.value);
    }
    request + "\r\n"
}

/// `None` if the line is no HTTP.
fn status(status_line: &str) -> Option<u16> {
    status_line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

/// Whether another response follows. 101 is final, because what follows it is no HTTP.
fn is_interim(status_line: &str) -> bool {
    status(status_line).is_some_and(|status| (100..200).contains(&status) && status != 101)
}

fn is_success(status_line: &str) -> bool {
    status(status_line).is_some_and(|status| (200..400).contains(&status))
}

fn trusting_any_server() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Accepts every certificate: a probe asks whether the workload answers, not who it is.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn action(json: &str) -> HTTPGetAction {
        serde_json::from_str(json).expect("an httpGet action")
    }

    #[test]
    fn the_templates_headers_are_sent_and_win() {
        let action = action(
            r#"{"path":"healthz","port":8080,"httpHeaders":[{"name":"host","value":"web"},{"name":"X-A","value":"1"}]}"#,
        );
        let request = request(&Target::of(&action), &action);
        assert!(
            request.starts_with("GET /healthz HTTP/1.1\r\n") && request.ends_with("X-A: 1\r\n\r\n"),
            "{request}"
        );
        assert_eq!(request.to_lowercase().matches("host:").count(), 1);
    }

    #[test]
    fn the_templates_host_is_sent_until_a_redirection_names_a_scheme() {
        let action = action(
            r#"{"host":"10.0.0.7","port":80,"httpHeaders":[{"name":"Host","value":"web"},{"name":"X-A","value":"1"}]}"#,
        );
        let relative = Target::of(&action).resolve("/x").resolve("//10.0.0.7/y");
        let absolute = relative.resolve("http://10.0.0.7/z");
        let hosts = [&relative, &absolute, &absolute.resolve("/x")].map(|target| {
            let request = request(target, &action);
            assert!(request.contains("X-A: 1\r\n"), "{request}");
            request
                .lines()
                .find_map(|line| line.strip_prefix("Host: ").map(str::to_owned))
                .expect("there is always one")
        });
        assert_eq!(hosts, ["web", "10.0.0.7", "10.0.0.7"]);
    }

    #[test]
    fn only_statuses_from_200_to_399_are_success() {
        assert!(is_success("HTTP/1.1 200 OK") && is_success("HTTP/1.0 302 Found"));
        assert!(
            !is_success("HTTP/1.1 503 Service Unavailable")
                && !is_success("HTTP/1.1 404")
                && !is_success("SSH-2.0")
        );
    }

    /// A server that gives these answers, one for each connection; how the probe ends, and what was asked
    /// for.
    fn probed(answers: Vec<String>) -> (Result<(), Failure>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                if length == 0 {
                    break;
                }
                stream.write_all(answer.replace("PORT", &port.to_string()).as_bytes()).unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                asked.push(request.split(' ').nth(1).unwrap().to_owned());
            }
            asked
        });
        let result = get(
            &action(&format!(r#"{{"host":"127.0.0.1","port":{port},"path":"/a/b?c#d"}}"#)),
            TimeLimit::after(Duration::from_secs(1)),
        );
        let _ = std::net::TcpStream::connect(("127.0.0.1", port));
        (result, served.join().unwrap())
    }

    fn to(location: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\n\r\n")
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\n\r\n";
    const BAD: &str = "HTTP/1.1 500 Oops\r\n\r\n";

    #[test]
    fn redirections_on_the_same_host_are_followed_and_others_are_success() {
        let (result, asked) = probed(vec![
            to("/ready"),
            to("http://me:secret@127.0.0.1:PORT?x"),
            to("../c/./d#e"),
            GOOD.to_owned(),
        ]);
        assert!(result.is_ok() && asked == ["/a/b?c", "/ready", "/?x", "/c/d"], "{result:?}: {asked:?}");
        assert!(
            matches!(probed(vec![to("/ready"), BAD.to_owned()]), (Err(Failure::Refused { .. }), asked) if asked.len() == 2)
        );
        for away in ["http://elsewhere.example/", "mailto:web@elsewhere.example", "//elsewhere.example?x", ""]
        {
            let (result, asked) = probed(vec![to(away), BAD.to_owned()]);
            assert!(result.is_ok() && asked.len() == 1, "{away}: {result:?}");
        }
    }

    #[test]
    fn a_probe_asks_ten_times_at_most() {
        let (result, asked) = probed(vec![to("/"); 12]);
        assert_eq!((result.is_err(), asked.len()), (true, 10));
        let (result, asked) = probed([vec![to("/"); 9], vec![GOOD.to_owned()]].concat());
        assert_eq!((result.is_ok(), asked.len()), (true, 10));
    }

    #[test]
    fn the_first_of_several_locations_counts() {
        let twice = "HTTP/1.1 302 Found\r\nLocation: /x\r\nLocation: /y\r\n\r\n".to_owned();
        assert_eq!(probed(vec![twice, GOOD.to_owned()]).1, ["/a/b?c", "/x"]);
    }

    #[test]
    fn the_answer_of_a_server_is_what_counts() {
        for (answer, good) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.1 500 Oops\r\n\r\n", false),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                true,
            ),
            ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 Oops\r\n\r\n", false),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            let result = get(
                &action(&format!(r#"{{"host":"127.0.0.1","port":{port}}}"#)),
                TimeLimit::after(Duration::from_secs(1)),
            );
            assert_eq!(result.is_ok(), good, "{result:?}");
            server.join().unwrap();
        }
    }

    /// How the probe ends of a server that sends its answers byte by byte, a tenth of a second apart.
    fn probed_slowly(answer: &'static str) -> Result<(), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Ok(1..) = stream.read(&mut [0; 1024]) else { return };
                // The probe does not wait for the end.
                let _ = answer.bytes().try_for_each(|byte| {
                    thread::sleep(Duration::from_millis(100));
                    stream.write_all(&[byte])
                });
            }
        };
        let server = thread::spawn(serve);
        let result = get(
            &action(&format!(r#"{{"host":"127.0.0.1","port":{port}}}"#)),
            TimeLimit::after(Duration::from_secs(1)),
        );
        drop(std::net::TcpStream::connect(("127.0.0.1", port)));
        server.join().unwrap();
        result
    }

    #[test]
    fn the_timeout_is_that_of_all_that_is_asked_and_read() {
        let slow = [GOOD, "HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n"].map(probed_slowly);
        for result in slow {
            assert!(
                matches!(&result, Err(Failure::Unreachable { source, .. }) if source.kind() == ErrorKind::TimedOut),
                "{result:?}"
            );
        }
    }
}
