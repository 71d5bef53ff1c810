//! The console's pages: files that are part of the program. Knows their names and types, and nothing of what they show: they
//! hold no data, so that anybody may load them; what they ask the API for needs a log-in.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::guard::answer;

/// What a page may do: run and show what comes from here, ask only here, and make no markup from text.
///
/// `require-trusted-types-for` with no policy allowed makes every sink for markup or code refuse strings
/// (W3C Trusted Types 4.1.1), so that a mistake in a page becomes an error, not a hole.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);

/// What a page needs of the browser: nothing but the screen.
const PERMISSIONS: HeaderValue =
    HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()");

/// A file of `web/`.
struct File {
    /// Within `/assets/`.
    name: &'static str,
    body: &'static [u8],
    /// Of its content, quoted, as RFC 9110 8.8.3 says.
    tag: HeaderValue,
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../web/", $name)).as_slice())),+]
    };
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let all = files![
        "api.js",
        "app.js",
        "base.css",
        "favicon.svg",
        "format.js",
        "h.js",
        "icons.svg",
        "index.html",
        "keys.js",
        "landing.js",
        "live.js",
        "pages.css",
        "pages/approval.js",
        "pages/approvals.js",
        "pages/audit.js",
        "pages/data.js",
        "pages/delegations.js",
        "pages/health.js",
        "pages/identities.js",
        "pages/overview.js",
        "pages/policy.js",
        "pages/record.js",
        "pages/sessions.js",
        "parts.css",
        "parts.js",
        "plot.js",
        "shapes.js",
        "shown.js",
        "theme.js",
    ];
    all.into_iter().map(|(name, body)| File { name, body, tag: tag(body) }).collect()
});

/// The one document, for every path: what a path means is for `app.js` to say.
const INDEX: &str = "index.html";

/// Paths of pages.
const PAGES: [&str; 14] = [
    "/",
    "/approvals",
    "/approvals/{number}",
    "/sessions",
    "/audit",
    "/audit/{seq}",
    "/identities",
    "/identities/{issuer}/{subject}",
    "/data",
    "/data/{database}",
    "/policy",
    "/policy/{database}",
    "/health",
    "/delegations",
];

/// Serves the pages, and what they are made of under `/assets/`.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let pages = PAGES.iter().fold(Router::new(), |router, path| router.route(path, get(page)));
    pages.route("/assets/{*name}", get(asset))
}

async fn page(headers: HeaderMap) -> Response {
    serve(INDEX, &headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&name, &headers)
}

fn serve(name: &str, asked: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return answer(StatusCode::NOT_FOUND, "there is no such file");
    };
    let known = asked.get_all(header::IF_NONE_MATCH).iter().any(|it| it == file.tag);
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { file.body.into_response() };
    let headers = response.headers_mut();
    if !known {
        headers.insert(header::CONTENT_TYPE, kind(name));
    }
    headers.insert(header::ETAG, file.tag.clone());
    // Kept, but asked for again: after an update of the gateway, no page is made of old and new parts.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert("permissions-policy", PERMISSIONS);
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

fn kind(name: &str) -> HeaderValue {
    let kind = match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    };
    HeaderValue::from_static(kind)
}

fn tag(body: &[u8]) -> HeaderValue {
    let digest = hex::encode(Sha256::digest(body));
    let quoted = format!("\"{digest}\"");
    HeaderValue::from_str(&quoted).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn on_disk(folder: &Path, within: &str, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{within}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                on_disk(&entry.path(), &format!("{name}/"), names);
            } else {
                names.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_console_is_served_with_its_type() {
        let mut names = BTreeSet::new();
        on_disk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("web"), "", &mut names);
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, names);
        for file in FILES.iter() {
            assert_ne!(kind(file.name), "application/octet-stream", "{}", file.name);
            assert_eq!(file.tag.len(), 66);
        }
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let first = serve("app.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone())]);
        assert_eq!(serve("app.js", &asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(serve("h.js", &asked).status(), StatusCode::OK);
        assert_eq!(serve("../Cargo.toml", &asked).status(), StatusCode::NOT_FOUND);
    }

    /// What a browser would refuse to run under [`POLICY`], or what would fetch from elsewhere, is in no file.
    #[test]
    fn pages_make_no_markup_of_text_and_fetch_nothing_from_elsewhere() {
        let sinks = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "eval(",
            "Function(",
            "srcdoc",
            "javascript:",
            "createContextualFragment",
            "setHTML",
            "import(",
            " style=\"",
            "<style",
        ];
        for file in FILES.iter() {
            let text = std::str::from_utf8(file.body).unwrap();
            for sink in sinks {
                assert!(!text.contains(sink), "{} has {sink}", file.name);
            }
            for address in text.split("://").skip(1) {
                assert!(address.starts_with("www.w3.org/2000/svg"), "{} names an address", file.name);
            }
        }
    }
}
