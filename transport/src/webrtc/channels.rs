//! Says what is on the wire: two data channels, agreed upon beforehand, that are never closed and opened again.
//!
//! A binary message is one packet, on either channel. A text on the ordered channel is credit: in decimal, how many
//! bytes of ordered packets its sender takes, counted from the first of the connection. There is nothing else.

/// The stream of the channel for datagrams, which delivers as [`DatagramMode`] says.
pub(super) const DATAGRAMS: u16 = 0;

/// The stream of the channel that loses and reorders nothing.
pub(super) const ORDERED: u16 = 1;

/// The label of both channels, which is not sent.
pub(super) const LABEL: &str = "liferaft";

/// How the channel for datagrams delivers what an end sends. Each end chooses for itself.
///
/// The default is neither ordered nor reliable, and what consensus wants: it sends again what matters and is still
/// true, and takes messages in any order. The other modes are there to be compared with it, as `docs/webrtc.md` in the
/// repository does.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use liferaft::transport::webrtc::{DatagramMode, WebRtcConfig};
///
/// let tcp_like = DatagramMode { is_ordered: true, is_reliable: true };
/// let config = WebRtcConfig::default().with_datagram_mode(tcp_like);
/// # drop(config);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramMode {
    /// No packet overtakes another: what follows a lost one waits until that has arrived, or is given up.
    pub is_ordered: bool,
    /// A lost packet is sent again until it arrives, and not given up.
    pub is_reliable: bool,
}

/// Returns the text that gives credit.
pub(super) fn credit_text(until: u64) -> String {
    until.to_string()
}

/// Reads a text that gives credit; `None` if it is none.
pub(super) fn read_credit(text: &[u8]) -> Option<u64> {
    // A number's parser takes a sign too.
    let is_number = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()?
        .parse()
        .ok()
        .filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_read_as_it_is_written() {
        for until in [0, 65_536, u64::MAX] {
            assert_eq!(read_credit(credit_text(until).as_bytes()), Some(until));
        }
    }

    #[test]
    fn a_text_that_is_no_number_gives_no_credit() {
        for text in [
            "",
            "+1",
            "-1",
            "1 ",
            "0x1",
            "18446744073709551616",
            "\u{661}",
        ] {
            assert_eq!(read_credit(text.as_bytes()), None, "{text}");
        }
    }
}
