//! What a controller asks of the API server.

use hyper::body::Bytes;
use kube::client::Body;

/// One request, taken apart.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Lower case plural, with the subresource if there is one.
    pub resource: String,
    pub name: Option<String>,
    pub is_watch: bool,
    /// Whether nothing comes of it.
    pub is_dry: bool,
    /// Whether it asks for all namespaces.
    pub is_everywhere: bool,
    pub body: Bytes,
}

impl Asked {
    /// Takes `request` apart; what is returned with it is the request as it was, but for `namespace` only.
    pub async fn of(
        request: http::Request<Body>,
        namespace: &str,
    ) -> kube::Result<(Self, http::Request<Body>)> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        // Nodes are in no namespace.
        let is_everywhere =
            !parts.uri.path().contains("/namespaces/") && !parts.uri.path().starts_with("/api/v1/nodes");
        if is_everywhere {
            parts.uri = narrowed(&parts.uri, namespace);
        }
        let asked = Self { is_everywhere, ..Self::read(parts.method.as_str(), &parts.uri, body.clone()) };
        Ok((asked, http::Request::from_parts(parts, Body::from(body))))
    }

    fn read(method: &str, uri: &http::Uri, body: Bytes) -> Self {
        let (_, local) = uri.path().split_once("/namespaces/").unwrap_or_default();
        let mut steps = local.split('/').skip(1).map(str::to_owned);
        let (plural, name, sub) = (steps.next().unwrap_or_default(), steps.next(), steps.next());
        let is_watch = uri.query().is_some_and(|query| query.contains("watch=true"));
        let is_dry = uri.query().is_some_and(|query| query.contains("dryRun=All"));
        let resource = sub.map_or(plural.clone(), |sub| format!("{plural}/{sub}"));
        Self { method: method.to_owned(), resource, name, is_watch, is_dry, is_everywhere: false, body }
    }

    /// Whether it is this `method` on this `resource`.
    pub fn is(&self, method: &str, resource: &str) -> bool {
        self.method == method && self.resource == resource
    }

    pub fn is_list(&self) -> bool {
        self.method == "GET" && self.name.is_none() && !self.is_watch
    }

    /// The body as JSON; null where there is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// `/api/v1/pods` is `/api/v1/namespaces/<namespace>/pods` to a client that may see no other.
fn narrowed(uri: &http::Uri, namespace: &str) -> http::Uri {
    let (group, plural) = uri.path().rsplit_once('/').unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{group}/namespaces/{namespace}/{plural}{query}").parse().expect("a path that was one before")
}
