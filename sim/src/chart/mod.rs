//! Message sequence charts of a story: as text for a terminal and a commit, as a picture for a browser.

mod svg;
mod text;

use std::collections::BTreeSet;

use crate::clock::{MILLI, Nanos};
use crate::story::{Scene, Story};

pub use svg::svg;
pub use text::text;

/// The words of a story that arrive somewhere, heard or not.
fn arriving(story: &Story) -> BTreeSet<usize> {
    let scenes = story.scenes.iter();
    scenes
        .filter_map(|(_, scene)| match scene {
            Scene::Heard(word) | Scene::Unheard(word) => Some(*word),
            _ => None,
        })
        .collect()
}

/// A time in milliseconds.
fn ms(at: Nanos) -> String {
    format!("{}.{:03}", at / MILLI, at / 1000 % 1000)
}

#[cfg(test)]
mod tests {
    use liferaft_raft::consensus::RoleKind;

    use super::*;
    use crate::story::Word;

    /// Member 2 asks the two others for their votes; one request is lost, and the other brings it down.
    fn story() -> Story {
        let mut story = Story::new(3);
        let word = |to, text: &str| Word {
            from: 1,
            to,
            sent: 2 * MILLI,
            text: text.to_owned(),
            is_routine: false,
        };
        story.words = vec![word(0, "Vote? t2 <first>"), word(2, "Vote? t2 second")];
        let became = Scene::Became(1, RoleKind::Candidate, "candidate in term 2".to_owned());
        story.scenes = vec![
            (2 * MILLI, became),
            (2 * MILLI, Scene::Lost(0)),
            (2 * MILLI, Scene::Sent(1)),
            (3 * MILLI, Scene::Heard(1)),
            (4 * MILLI, Scene::Crashed(2)),
            (
                5 * MILLI,
                Scene::Alarm(Some(2), "example: it ends".to_owned()),
            ),
        ];
        story
    }

    #[test]
    fn a_text_chart_has_a_lifeline_for_each_member_and_a_row_for_each_event() {
        let expected = [
            "          ms   1       2       3",
            "       2.000   │       C       │       2 candidate in term 2",
            "       2.000   │   ×───┤       │       Vote? t2 <first> (lost)",
            "       3.000   │       ├──────▶│       Vote? t2 second",
            "       4.000   │       │       ╳       3 crashes",
            "       5.000   │       │       !       ALARM example: it ends",
        ];

        assert_eq!(text(&story()).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_picture_stands_alone_and_escapes_what_it_says() {
        let picture = svg(&story(), "a \"title\" & more");

        assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(picture.ends_with("</svg>\n"));
        assert!(picture.contains("a &quot;title&quot; &amp; more"));
        assert!(picture.contains("Vote? t2 &lt;first&gt;"));
        assert!(!picture.contains("href"));
    }
}
