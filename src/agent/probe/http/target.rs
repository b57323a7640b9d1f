//! The URL that a probe asks for, and where a redirection leads from there. Well-formed URLs are read as the
//! kubelet reads them, with Go's net/url.

use std::fmt::{self, Write};

use k8s_openapi::api::core::v1::HTTPGetAction;

use super::super::tcp;

/// The schemes that a probe speaks.
pub(super) const HTTP: &str = "http";
/// See [`HTTP`].
pub(super) const HTTPS: &str = "https";

/// A server, and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// In lower case.
    pub(super) scheme: String,
    /// Host and port, as in a URL; empty if a redirection names no server.
    pub(super) authority: String,
    /// The path with its query, as a request line has it.
    pub(super) path: String,
    /// Whether a `Host` of the template is sent: not once a redirection has named a scheme.
    pub(super) has_templates_host: bool,
}

impl Target {
    /// What the template's `action` asks for.
    pub(super) fn of(action: &HTTPGetAction) -> Self {
        let is_https = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTPS));
        let authority = tcp::address(action.host.as_deref(), &action.port);
        let path = without_fragment(action.path.as_deref().unwrap_or_default());
        Self::new(if is_https { HTTPS } else { HTTP }, &authority, path)
    }

    fn new(scheme: &str, authority: &str, path: &str) -> Self {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = escaped(&format!("{slash}{path}"));
        Self {
            scheme: scheme.to_ascii_lowercase(),
            authority: authority.to_owned(),
            path,
            has_templates_host: true,
        }
    }

    /// The host, without the port, and without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        let (host, _) = self
            .authority
            .rsplit_once(':')
            .filter(|(_, port)| !port.contains(']'))
            .unwrap_or((&self.authority, ""));
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port of the authority, or that of the scheme if the authority names none.
    pub(super) fn port(&self) -> &str {
        let default = if self.scheme == HTTPS { "443" } else { "80" };
        self.authority
            .rsplit_once(':')
            .map(|(_, port)| port)
            .filter(|port| !port.contains(']'))
            .unwrap_or(default)
    }

    /// What `location` means in a response of this target (RFC 3986, section 5.2).
    pub(super) fn resolve(&self, location: &str) -> Self {
        let reference = without_fragment(location);
        let named = scheme_of(reference);
        let (scheme, rest) = named.unwrap_or((&self.scheme, reference));
        let target = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                Self::new(scheme, server_of(authority), &without_dots(path))
            }
            None if named.is_some() => Self::new(scheme, "", rest),
            None => Self::new(scheme, &self.authority, &without_dots(&self.merged(rest))),
        };
        Self { has_templates_host: self.has_templates_host && named.is_none(), ..target }
    }

    /// `reference`, which names no server, beside this path.
    fn merged(&self, reference: &str) -> String {
        let (path, _) = split_query(&self.path);
        match reference {
            "" => self.path.clone(),
            query if query.starts_with('?') => format!("{path}{query}"),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => {
                format!("{}/{relative}", path.rsplit_once('/').map_or("", |(directory, _)| directory))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GET {}://{}{}", self.scheme, self.authority, self.path)
    }
}

/// Cuts off the fragment, which only a client needs and which is never sent.
fn without_fragment(reference: &str) -> &str {
    reference.split_once('#').map_or(reference, |(before, _)| before)
}

/// Host and port, without the user, and without a colon that no port follows.
fn server_of(authority: &str) -> &str {
    let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
    server.strip_suffix(':').unwrap_or(server)
}

/// A scheme, and what follows its colon.
fn scheme_of(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(may_be))
        .then_some((scheme, rest))
}

/// A path, and its query from the question mark on.
fn split_query(path: &str) -> (&str, &str) {
    path.split_at(path.find('?').unwrap_or(path.len()))
}

/// Resolves `.` and `..` in a path, never above the root. The query stays as it is.
fn without_dots(path: &str) -> String {
    let (path, query) = split_query(path);
    let mut kept = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}{query}", kept.join("/"))
}

/// Percent-encodes what a request line cannot have.
fn escaped(path: &str) -> String {
    path.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_graphic() {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str) -> Target {
        let action = format!(r#"{{"host":"10.0.0.7","port":8080,"path":"{path}"}}"#);
        Target::of(&serde_json::from_str(&action).expect("an httpGet action"))
    }

    #[test]
    fn a_path_is_asked_for_as_the_kubelet_asks_for_it() {
        for (path, sent) in [
            ("", "/"),
            ("healthz", "/healthz"),
            ("?x", "/?x"),
            ("/a b#c", "/a%20b"),
            ("/%7E", "/%7E"),
            ("/ü", "/%C3%BC"),
            ("/a/../b", "/a/../b"),
        ] {
            assert_eq!(asked(path).to_string(), format!("GET http://10.0.0.7:8080{sent}"));
        }
    }

    /// What Go 1.26 makes of them: `url.Parse("http://10.0.0.7:8080/health/live?full")`, then its `Parse` and
    /// `RequestURI`.
    #[test]
    fn a_redirection_without_a_server_is_resolved_as_go_resolves_it() {
        let paths = [
            ("/ready", "/ready"),
            ("ready?x=1", "/health/ready?x=1"),
            ("?x=1", "/health/live?x=1"),
            ("?", "/health/live?"),
            ("", "/health/live?full"),
            ("#top", "/health/live?full"),
            ("?x=1#top", "/health/live?x=1"),
            ("../ready", "/ready"),
            ("../../../ready", "/ready"),
            ("./ready/.", "/health/ready/"),
            ("a/b/../c", "/health/a/c"),
            ("..", "/"),
            (".", "/health/"),
            ("/a//../b", "/a/b"),
            ("/x/../y?z=../w", "/y?z=../w"),
            ("ready?at=12:30", "/health/ready?at=12:30"),
        ];
        for (location, path) in paths {
            assert_eq!(
                asked("/health/live?full").resolve(location).to_string(),
                format!("GET http://10.0.0.7:8080{path}"),
                "{location:?}"
            );
        }
    }

    #[test]
    fn a_redirection_with_a_server_is_taken_as_it_stands() {
        let leads = |location: &str| asked("/health/live?full").resolve(location).to_string();
        assert_eq!(leads("https://10.0.0.7:8443/a/../ready#top"), "GET https://10.0.0.7:8443/ready");
        assert_eq!(leads("HTTPS://10.0.0.7"), "GET https://10.0.0.7/");
        assert_eq!(leads("http://10.0.0.7:81?x=/y"), "GET http://10.0.0.7:81/?x=/y");
        assert_eq!(leads("//web.example"), "GET http://web.example/");
        assert_eq!(
            leads("http://web:a@b@10.0.0.7/x"),
            "GET http://10.0.0.7/x",
            "who asks is no part of the host"
        );
        assert_eq!(leads("http://10.0.0.7:/x"), "GET http://10.0.0.7/x", "an empty port is the default");
        assert_eq!(
            asked("/").resolve("mailto:web@web.example").host(),
            "",
            "no server, so none that is asked"
        );
    }

    #[test]
    fn hosts_and_ports_are_read_from_an_authority() {
        let of = |authority: &str| Target { authority: authority.to_owned(), ..asked("/") };
        assert_eq!(
            (of("[fd00::1]:80").host(), of("[fd00::1]").host(), of("[fd00::1]").port()),
            ("fd00::1", "fd00::1", "80")
        );
        assert_eq!((of("web.example").host(), of("web.example:90").port()), ("web.example", "90"));
    }
}
