//! Has the pages for browsers that the program was built with, if there are any (`build.rs`).

use bytes::Bytes;
use liferaft_signaling::{File, Site};

/// A path, the bytes, and those compressed.
type Page = (&'static str, &'static [u8], Option<&'static [u8]>);

const PAGES: &[Page] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page that is shown first.
const START: &str = "chat.html";

/// So many hexadecimal digits at the end of a name, behind a hyphen, are a hash of what is in the file.
const HASH_DIGITS_MIN: usize = 8;

/// Returns the pages, if there are any.
pub(crate) fn site() -> Option<Site> {
    let files = PAGES.iter().map(|(path, bytes, gzip)| File {
        path: (*path).into(),
        content_type: content_type(path).into(),
        bytes: Bytes::from_static(bytes),
        gzip: gzip.map(Bytes::from_static),
        is_immutable: has_hash(path),
    });
    Site::new(files.collect(), START).ok()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, kind)| kind) {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// Returns true if a file is named after what is in it, as `member-0a1b2c3d.wasm`.
fn has_hash(path: &str) -> bool {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    stem.rsplit_once('-').is_some_and(|(_, hash)| {
        let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        hash.len() >= HASH_DIGITS_MIN && hash.bytes().all(is_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_of_the_kind_that_browsers_ask_for() {
        assert_eq!(content_type("chat.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("a/member.v2.wasm"), "application/wasm");
        assert_eq!(content_type("LICENSE"), "application/octet-stream");
    }

    #[test]
    fn a_file_is_kept_if_its_name_is_that_of_its_bytes() {
        assert!(has_hash("js/liferaft_web-0a1b2c3d4e5f.wasm"));
        for changing in ["chat.js", "a-face.js", "service-worker.js", "0a1b2c3d.js"] {
            assert!(!has_hash(changing), "{changing}");
        }
    }
}
