//! The web page at `/`: plain HTML, CSS and JavaScript modules that are compiled into the program. It requests all data
//! from the API like any other client and contains no data of records, so its files need no token.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::failure::Failure;

/// The permissions of the page: it may load its own files and send requests to its own origin. Inline scripts, markup
/// from strings and frames around it are forbidden.
const POLICY: &str = include_str!("page/policy.txt");

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page.
struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($name:literal, $kind:expr) => {
        File {
            name: $name,
            kind: $kind,
            text: include_str!(concat!("page/", $name)),
        }
    };
}

const INDEX: File = file!("index.html", HTML);

/// The files that the page loads from `/page/`.
const FILES: [File; 17] = [
    file!("style.css", CSS),
    file!("icon.svg", SVG),
    file!("activities.js", SCRIPT),
    file!("alert.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("entities.js", SCRIPT),
    file!("export.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("list.js", SCRIPT),
    file!("record.js", SCRIPT),
    file!("results.js", SCRIPT),
    file!("router.js", SCRIPT),
    file!("scale.js", SCRIPT),
    file!("status.js", SCRIPT),
    file!("timeline.js", SCRIPT),
];

/// Returns the routes of `/` and of the files under `/page/`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { INDEX.respond(&headers) }))
        .route("/page/{name}", get(asset))
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => file.respond(&headers),
        None => Failure::new(StatusCode::NOT_FOUND, "the page has no file of this name").into_response(),
    }
}

impl File {
    /// Returns the file, or 304 if the browser has it. Browsers revalidate it for each request, so a new version of the
    /// program shows its own page.
    fn respond(&self, request_headers: &HeaderMap) -> Response {
        let tag = self.tag();
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY.trim_ascii_end()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        let is_cached = request_headers
            .get(header::IF_NONE_MATCH)
            .and_then(|tags| tags.to_str().ok())
            .is_some_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
        let mut response = if is_cached {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        } else {
            (headers, self.text).into_response()
        };
        if let Ok(value) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, value);
        }
        response
    }

    /// Returns a tag that changes with the content.
    fn tag(&self) -> String {
        let digest = Sha256::digest(self.text);
        let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{digits}\"")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(response: &Response, name: impl header::AsHeaderName) -> &str {
        response.headers().get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn exactly_the_files_of_the_folder_are_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/page");
        let found: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["index.html", "policy.txt"].contains(&name.as_str()))
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, found);
    }

    #[test]
    fn every_file_comes_with_the_policy_and_its_type() {
        for file in FILES.iter().chain([&INDEX]) {
            let response = file.respond(&HeaderMap::new());
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(text(&response, header::CONTENT_TYPE), file.kind);
            assert_eq!(text(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            let policy = text(&response, header::CONTENT_SECURITY_POLICY);
            for rule in [
                "default-src 'none'",
                "script-src 'self'",
                "require-trusted-types-for 'script'",
            ] {
                assert!(policy.contains(rule), "{rule}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = INDEX.respond(&HeaderMap::new());
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(INDEX.respond(&headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(FILES[0].respond(&headers).status(), StatusCode::OK);
    }

    #[test]
    fn nothing_is_inline_and_nothing_is_loaded_from_elsewhere() {
        for file in FILES.iter().chain([&INDEX]) {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=",
            ] {
                assert!(!file.text.contains(word), "{}: {word}", file.name);
            }
            for (at, _) in file.text.match_indices("http") {
                let rest = &file.text[at..];
                let is_address = rest.starts_with("http://") || rest.starts_with("https://");
                // This is the name of an XML namespace, and nothing is loaded from it.
                assert!(
                    !is_address || rest.starts_with("http://www.w3.org/2000/svg"),
                    "{}: {rest:.60}",
                    file.name
                );
            }
        }
    }
}
