//! Draws a text as a QR code for a terminal.

use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

use super::InvitationError;

/// The light margin on each side, in modules: as wide as ISO/IEC 18004 wants it.
const MARGIN: i32 = 4;

/// The version of the largest code that fits with its margin: it has 69 modules on each side.
const VERSION_MAX: u8 = 13;

/// Draws the QR code of a text, as an invitation's link, in lines of at most
/// [`QR_COLUMNS_MAX`](super::QR_COLUMNS_MAX) columns. There is room
/// for 425 bytes at least.
///
/// A character is two modules, one above the other, so that they are square. Light ones are drawn, for terminals with
/// light text on a dark ground; on others the code is inverted, which most readers take as well.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// let code = liferaft::transport::invitation::qr("liferaft")?;
///
/// println!("{code}");
/// # Ok::<(), liferaft::transport::invitation::InvitationError>(())
/// ```
///
/// # Errors
/// [`InvitationError::QrTooLong`].
pub fn qr(text: &str) -> Result<String, InvitationError> {
    let segments = QrSegment::make_segments(text);
    // The least correction has the fewest modules; what is left of them is used for more.
    let least = QrCodeEcc::Low;
    let code = QrCode::encode_segments_advanced(
        &segments,
        least,
        Version::MIN,
        Version::new(VERSION_MAX),
        None,
        true,
    );
    let code = code.map_err(|_| InvitationError::QrTooLong { bytes: text.len() })?;
    let ends = -MARGIN..code.size() + MARGIN;
    let is_light = |x, y| ends.contains(&y) && !code.get_module(x, y);
    let mut drawn = String::new();
    for y in ends.clone().step_by(2) {
        for x in ends.clone() {
            drawn.push(match (is_light(x, y), is_light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        drawn.push('\n');
    }
    Ok(drawn)
}
