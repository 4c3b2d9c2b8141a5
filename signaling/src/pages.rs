//! Holds the pages: those of the folder `pages/`, which are in the program. Nothing is read from a disk.

/// A file of the folder.
#[derive(Debug)]
pub(crate) struct Page {
    /// Where it is.
    path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) content: &'static str,
}

/// The page at `/`.
pub(crate) const START: &Page = &PAGES[0];

const PAGES: [Page; 2] = [
    Page {
        path: "index.html",
        content_type: "text/html; charset=utf-8",
        content: include_str!("../pages/index.html"),
    },
    Page {
        path: "style.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("../pages/style.css"),
    },
];

/// Returns the page of this name: names are compared, not resolved.
pub(crate) fn page(path: &str) -> Option<&'static Page> {
    static PAGES_THERE: &[Page] = &PAGES;
    PAGES_THERE.iter().find(|page| page.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_pages_and_nowhere_else() {
        assert!(page("style.css").is_some());
        for path in ["", ".", "..", "../Cargo.toml", "/style.css", "STYLE.CSS"] {
            assert!(page(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_pages_need_nothing_that_the_policy_forbids() {
        for page in &PAGES {
            for forbidden in ["<script", "style=", "http:", "https:", "onclick", "url("] {
                assert!(
                    !page.content.contains(forbidden),
                    "{} has {forbidden}",
                    page.path
                );
            }
        }
    }
}
