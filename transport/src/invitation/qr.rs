//! Draws a text as a QR code: for a terminal, or as modules that a page draws.

use std::fmt;

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
    let code = encode(text, VERSION_MAX)?;
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

/// Returns the modules of the QR code of a text, for whoever draws it larger than a terminal does. There is room for
/// 2,331 bytes at least.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// let code = liferaft::transport::invitation::qr_modules("liferaft")?;
///
/// assert_eq!(code.rows().count(), 21);
/// assert!(code.rows().all(|row| row.count() == 21));
/// # Ok::<(), liferaft::transport::invitation::InvitationError>(())
/// ```
///
/// # Errors
/// [`InvitationError::QrTooLong`].
pub fn qr_modules(text: &str) -> Result<QrModules, InvitationError> {
    encode(text, Version::MAX.value()).map(QrModules)
}

/// The modules of a QR code, without the light margin of four modules that it needs on each side.
#[derive(Clone, PartialEq, Eq)]
pub struct QrModules(QrCode);

/// A code may show a secret.
impl fmt::Debug for QrModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QrModules").finish_non_exhaustive()
    }
}

impl QrModules {
    /// Returns the rows from the top, each with its modules from the left: true is dark.
    pub fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = bool>> {
        let Self(code) = self;
        let size = code.size();
        (0..size).map(move |y| (0..size).map(move |x| code.get_module(x, y)))
    }
}

/// Makes the code of a text, of this version at most. The least correction has the fewest modules; what is left of them
/// is used for more.
fn encode(text: &str, version_max: u8) -> Result<QrCode, InvitationError> {
    let segments = QrSegment::make_segments(text);
    let code = QrCode::encode_segments_advanced(
        &segments,
        QrCodeEcc::Low,
        Version::MIN,
        Version::new(version_max),
        None,
        true,
    );
    code.map_err(|_| InvitationError::QrTooLong { bytes: text.len() })
}
