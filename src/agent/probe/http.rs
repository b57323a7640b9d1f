//! One GET, as the kubelet does it: any status from 200 to 399 is success, and certificates are not checked.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::{Failure, OWN_ADDRESS, address, connect};

/// More than any status line has.
const LONGEST_STATUS_LINE: u64 = 1024;

/// # Errors
/// [`Failure`] where there is no answer, or one that is no success.
pub(super) fn get(action: &HTTPGetAction, timeout: Duration) -> Result<(), Failure> {
    let scheme = if is_https(action) { "https" } else { "http" };
    let what = format!("GET {scheme}://{}{}", address(action.host.as_deref(), &action.port), path(action));
    match status_line(action, timeout) {
        Ok(line) if is_success(&line) => Ok(()),
        Ok(answer) => Err(Failure::Refused { what, answer }),
        Err(source) => Err(Failure::Unreachable { what, source }),
    }
}

fn status_line(action: &HTTPGetAction, timeout: Duration) -> io::Result<String> {
    let stream = connect(action.host.as_deref(), &action.port, timeout)?;
    if !is_https(action) {
        return exchange(stream, action);
    }
    let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(OWN_ADDRESS);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| io::Error::new(ErrorKind::InvalidInput, "not a host name"))?;
    let connection = ClientConnection::new(trusting_anybody()?, name).map_err(io::Error::other)?;
    exchange(StreamOwned::new(connection, stream), action)
}

fn exchange(mut stream: impl Read + Write, action: &HTTPGetAction) -> io::Result<String> {
    stream.write_all(request(action).as_bytes())?;
    stream.flush()?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST_STATUS_LINE)).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn request(action: &HTTPGetAction) -> String {
    let headers = action.http_headers.as_deref().unwrap_or_default();
    let given = |name: &str| headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    let mut request = format!("GET {} HTTP/1.1\r\nConnection: close\r\n", path(action));
    let defaults = [("Host", address(action.host.as_deref(), &action.port)), ("User-Agent", "kube-probe/singletonjob".to_owned())];
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

fn path(action: &HTTPGetAction) -> String {
    let path = action.path.as_deref().unwrap_or_default();
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn is_https(action: &HTTPGetAction) -> bool {
    action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

fn is_success(status_line: &str) -> bool {
    let status = status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).and_then(|code| code.parse().ok());
    status.is_some_and(|code: u16| (200..400).contains(&code))
}

fn trusting_anybody() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth();
    Ok(Arc::new(config))
}

/// A probe asks whether the workload answers, not who it is.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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

    use super::*;

    fn action(json: &str) -> HTTPGetAction {
        serde_json::from_str(json).expect("an httpGet action")
    }

    #[test]
    fn the_templates_headers_are_sent_and_win() {
        let action = action(r#"{"path":"healthz","port":8080,"httpHeaders":[{"name":"host","value":"web"},{"name":"X-A","value":"1"}]}"#);
        let request = request(&action);
        assert!(request.starts_with("GET /healthz HTTP/1.1\r\n") && request.ends_with("X-A: 1\r\n\r\n"), "{request}");
        assert_eq!(request.to_lowercase().matches("host:").count(), 1);
    }

    #[test]
    fn only_statuses_from_200_to_399_are_success() {
        assert!(is_success("HTTP/1.1 200 OK") && is_success("HTTP/1.0 302 Found"));
        assert!(!is_success("HTTP/1.1 503 Service Unavailable") && !is_success("HTTP/1.1 404") && !is_success("SSH-2.0"));
    }

    #[test]
    fn the_answer_of_a_server_is_what_counts() {
        for (answer, good) in [("HTTP/1.1 204 No Content\r\n\r\n", true), ("HTTP/1.1 500 Oops\r\n\r\n", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            let result = get(&action(&format!(r#"{{"port":{port}}}"#)), Duration::from_secs(1));
            assert_eq!(result.is_ok(), good, "{result:?}");
            server.join().unwrap();
        }
    }
}
