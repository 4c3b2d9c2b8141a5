//! Holds the files for browsers: those of the folder `pages/`, or those that a program hands in. All are in memory:
//! nothing is read from a disk, and names are compared, not resolved.

use std::borrow::Cow;

use axum::http::HeaderValue;
use bytes::Bytes;

/// The folder `pages/` shows nothing but its own style sheet, runs nothing, and is shown in no other page.
const OWN_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A page that is a member runs its own scripts, WebAssembly and a worker, and speaks with the signaling servers that
/// its address names.
const MEMBER_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' http: https: ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A file for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is, without a slash before it: `chat.js` or `icons/large.svg`. A browser asks for exactly this.
    pub path: Cow<'static, str>,
    /// What it is, as `text/javascript; charset=utf-8`; as bytes of any kind if a header cannot say this.
    pub content_type: Cow<'static, str>,
    /// What is in it.
    pub bytes: Bytes,
    /// The same in gzip's format (RFC 1952), for browsers that take it.
    pub gzip: Option<Bytes>,
    /// The same name never has other bytes, as of a file that is named after its hash: browsers keep it for a year, and
    /// ask for all others anew.
    pub is_immutable: bool,
}

/// Pages that are members of clusters, to be served by [`Config::with_site`](crate::Config::with_site).
#[derive(Clone, Debug)]
pub struct Site {
    files: Vec<File>,
    /// The place of the page at `/`.
    start: usize,
    pub(crate) policy: HeaderValue,
    /// Whoever comes without a room gets a new one at once.
    pub(crate) opens_rooms: bool,
}

/// A site whose start page is none of its files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the start page `{start}` is not among the files")]
pub struct NoStartPage {
    /// What was given.
    pub start: String,
}

impl Site {
    /// Makes a site of these files. The one whose path is `start` is shown at `/`.
    ///
    /// Of files with the same path the first counts. A file at a path of the protocol, as `peerjs` or `new`, is never
    /// shown.
    ///
    /// # Errors
    /// The start page is not among the files.
    pub fn new(files: Vec<File>, start: &str) -> Result<Self, NoStartPage> {
        let place = files.iter().position(|file| file.path == start);
        let start = place.ok_or_else(|| NoStartPage {
            start: start.to_owned(),
        })?;
        Ok(Self {
            files,
            start,
            policy: MEMBER_POLICY,
            opens_rooms: true,
        })
    }

    /// Returns the file at this path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Returns the page at `/`.
    pub(crate) fn start(&self) -> &File {
        &self.files[self.start]
    }
}

impl Default for Site {
    /// The folder `pages/`.
    fn default() -> Self {
        let file = |path, content_type, text: &'static str| File {
            path: Cow::Borrowed(path),
            content_type: Cow::Borrowed(content_type),
            bytes: Bytes::from_static(text.as_bytes()),
            gzip: None,
            is_immutable: false,
        };
        let page = include_str!("../pages/index.html");
        let style = include_str!("../pages/style.css");
        Self {
            files: vec![
                file("index.html", "text/html; charset=utf-8", page),
                file("style.css", "text/css; charset=utf-8", style),
            ],
            start: 0,
            policy: OWN_POLICY,
            opens_rooms: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_files_and_nowhere_else() {
        let site = Site::default();

        assert!(site.file("style.css").is_some());
        for path in ["", ".", "..", "../Cargo.toml", "/style.css", "STYLE.CSS"] {
            assert!(site.file(path).is_none(), "{path}");
        }
    }

    #[test]
    fn own_pages_need_nothing_that_their_policy_forbids() {
        for file in &Site::default().files {
            let text = String::from_utf8_lossy(&file.bytes);
            for forbidden in ["<script", "style=", "http:", "https:", "onclick", "url("] {
                assert!(!text.contains(forbidden), "{} has {forbidden}", file.path);
            }
        }
    }

    #[test]
    fn a_site_has_its_start_page() {
        let error = Site::new(Vec::new(), "chat.html").expect_err("there are no files");

        let text = "the start page `chat.html` is not among the files";
        assert_eq!(error.to_string(), text);
    }
}
