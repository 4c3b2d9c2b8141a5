//! Writes all that a newcomer needs as one text, and reads it again: which cluster, where to reach it, whose keys to
//! believe, and the token that lets it in.
//!
//! An [`Invitation`] travels by hand: it is pasted, mailed, or scanned. So it has one text, short and checked, in three
//! forms: alone, behind `liferaft:`, and as the fragment of a link, which browsers never send to the server of the
//! page. What is damaged is told from what was cut short, and nothing in an error repeats the secret.
//!
//! The text says nothing of what its token allows. Role, expiry and uses stand in the replicated table, where they are
//! decided, and may change while the text is under way; a second place for them would be believed by somebody. Who
//! holds a token that is no longer good is told so by the member that it reaches.

#[cfg(feature = "qr")]
mod qr;

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::BufMut;
use liferaft_platform::{ADDRESS_BYTES_MAX, Address, ClusterId, PUBLIC_KEY_BYTES, PublicKey};
use thiserror::Error;
use zeroize::Zeroizing;

#[cfg(feature = "qr")]
pub use self::qr::{QrModules, qr, qr_modules};
use crate::token::{TOKEN_SECRET_BYTES, TokenSecret};

/// The most addresses in an invitation.
pub const INVITATION_ADDRESSES_MAX: usize = 8;

/// The most signaling servers in an invitation.
pub const INVITATION_SIGNALING_MAX: usize = 4;

/// The most keys of inviting members in an invitation.
pub const INVITERS_MAX: usize = 4;

/// The longest name of a room, in bytes.
pub const ROOM_BYTES_MAX: usize = 64;

/// The longest text in which an invitation is looked for, in bytes: with the page of its link and white space.
pub const INVITATION_TEXT_BYTES_MAX: usize = 8 << 10;

/// The longest page of a link, in bytes.
pub const PAGE_BYTES_MAX: usize = 1 << 10;

/// The most columns of the QR code that a terminal shows.
pub const QR_COLUMNS_MAX: usize = 80;

/// What the text begins with where it stands for itself.
const SCHEME: &str = "liferaft:";

/// What the pages of links begin with.
const PAGE_SCHEMES: [&str; 2] = ["https://", "http://"];

/// The version of what the text says. Version and length at its beginning, and the checksum at its end, stay in all
/// versions.
const VERSION: u8 = 1;

/// The length of version and length, in bytes: those of four characters.
const HEAD_BYTES: usize = 3;

/// The length of the checksum, in bytes: CRC-32, to which no change of up to four characters in a row escapes.
const CHECKSUM_BYTES: usize = 4;

/// The longest body, in bytes.
const BODY_BYTES_MAX: usize = size_of::<u128>()
    + 1
    + INVITERS_MAX * PUBLIC_KEY_BYTES
    + 1
    + TOKEN_SECRET_BYTES
    + 1
    + INVITATION_ADDRESSES_MAX * (1 + ADDRESS_BYTES_MAX)
    + 1
    + INVITATION_SIGNALING_MAX * (1 + ADDRESS_BYTES_MAX + 1 + ROOM_BYTES_MAX);

/// What somebody is invited with: to join a cluster, or to be its client.
///
/// **Its text is a secret if it has a token**, since whoever reads it holds the token: [`Display`](fmt::Display),
/// [`link`](Self::link) and the QR code show all of it, and [`Debug`] does not.
///
/// [`FromStr`] takes the text alone, behind `liferaft:`, or as the fragment of a link, with white space anywhere.
///
/// ```
/// # mod liferaft { pub use {liferaft_platform as platform, liferaft_transport as transport}; }
/// use liferaft::platform::{ClusterId, PublicKey};
/// use liferaft::transport::invitation::Invitation;
/// use liferaft::transport::token::TokenSecret;
///
/// let invitation = Invitation::new(ClusterId(7), [PublicKey([3; 32])])?
///     .with_addresses(["udp:192.0.2.7:4000".parse()?])?
///     .with_token(TokenSecret::from_bytes([5; 32]));
///
/// let link = invitation.link("https://example.org/room")?;
/// assert!(link.starts_with("https://example.org/room#"));
/// let pasted: Invitation = format!("  {link}\n").parse()?;
/// assert_eq!(pasted.to_string(), invitation.to_string());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Invitation {
    cluster: ClusterId,
    inviters: Vec<PublicKey>,
    token: Option<TokenSecret>,
    addresses: Vec<Address>,
    signaling: Vec<Signaling>,
}

/// A server through which members of the cluster are found, and the room on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signaling {
    server: Address,
    room: Option<Box<str>>,
}

/// Why something cannot be part of an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// There is none of a thing, or more than there may be.
    #[error("an invitation has {min} to {max} {what}, not {count}")]
    Count {
        /// What.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there must be.
        min: usize,
        /// How many there may be.
        max: usize,
    },
    /// The name of a room is empty, too long, or has other characters than visible ASCII.
    #[error("a room has a name of 1 to {ROOM_BYTES_MAX} visible ASCII characters")]
    Room,
    /// A link cannot lead to this page.
    #[error(
        "a link leads to a page https://… or http://…, of at most {PAGE_BYTES_MAX} visible ASCII characters, without #"
    )]
    Page,
    /// A text is too long for a QR code, or for one that a terminal shows.
    #[error("a text of {bytes} bytes is too long for a QR code of {QR_COLUMNS_MAX} columns")]
    QrTooLong {
        /// The length of the text.
        bytes: usize,
    },
}

/// Why a text is no invitation. None of it repeats what the text holds, but for a character that none could have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseInvitationError {
    /// It is empty.
    #[error("there is no invitation: the text is empty")]
    Empty,
    /// It is longer than any invitation.
    #[error("{bytes} bytes are no invitation: it has at most {INVITATION_TEXT_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is a link that has lost its fragment.
    #[error("the link has lost what comes behind #, which is the invitation")]
    NoFragment,
    /// It has a character that no invitation has.
    #[error(
        "{character:?} at byte {position} is in no invitation: copy nothing else than it, from {SCHEME} to its end"
    )]
    BadCharacter {
        /// The first such character.
        character: char,
        /// Where it begins, in bytes from the start of the text.
        position: usize,
    },
    /// Its end is missing.
    #[error("the invitation is cut short: at its end {missing} characters are missing")]
    CutShort {
        /// How many characters are missing, at least.
        missing: usize,
    },
    /// Something follows it.
    #[error("the invitation ends before byte {position}, and the text goes on")]
    Continues {
        /// Where what follows begins, in bytes from the start of the text.
        position: usize,
    },
    /// It is not as it was written, if it ever was an invitation: its checksum does not match.
    #[error(
        "this is no invitation, or a damaged one, of which a character was changed, lost or added: copy it from \
         {SCHEME} to its end"
    )]
    Damaged,
    /// It was made by a version that knows more.
    #[error(
        "the invitation is of version {version}, and this program knows {VERSION}: use a newer one"
    )]
    NewerVersion {
        /// Its version.
        version: u8,
    },
    /// It is as it was written, and makes no sense.
    #[error("the invitation makes no sense: {reason}")]
    Senseless {
        /// Why.
        reason: &'static str,
    },
}

impl Invitation {
    /// Invites to this cluster, without a token as yet. The inviters are the members whose keys are believed: the
    /// newcomer talks to one of them, or to somebody for whom one of them vouches.
    ///
    /// # Errors
    /// When there are no inviters, or more than [`INVITERS_MAX`].
    pub fn new(
        cluster: ClusterId,
        inviters: impl IntoIterator<Item = PublicKey>,
    ) -> Result<Self, InvitationError> {
        let inviters = counted("inviters", 1, INVITERS_MAX, inviters)?;
        Ok(Self {
            cluster,
            inviters,
            token: None,
            addresses: Vec::new(),
            signaling: Vec::new(),
        })
    }

    /// Gives the token, whose terms the cluster knows.
    #[must_use]
    pub fn with_token(mut self, token: TokenSecret) -> Self {
        self.token = Some(token);
        self
    }

    /// Takes the token away: what is left is whom to believe and where to find them, and is no secret.
    #[must_use]
    pub fn without_token(mut self) -> Self {
        self.token = None;
        self
    }

    /// Gives the addresses at which members are reached, the best first. An address may hold whatever its carrier needs
    /// beside the place, as a fingerprint or credentials.
    ///
    /// # Errors
    /// When there are more than [`INVITATION_ADDRESSES_MAX`].
    pub fn with_addresses(
        mut self,
        addresses: impl IntoIterator<Item = Address>,
    ) -> Result<Self, InvitationError> {
        self.addresses = counted("addresses", 0, INVITATION_ADDRESSES_MAX, addresses)?;
        Ok(self)
    }

    /// Gives the signaling servers, the best first.
    ///
    /// # Errors
    /// When there are more than [`INVITATION_SIGNALING_MAX`].
    pub fn with_signaling(
        mut self,
        servers: impl IntoIterator<Item = Signaling>,
    ) -> Result<Self, InvitationError> {
        self.signaling = counted("signaling servers", 0, INVITATION_SIGNALING_MAX, servers)?;
        Ok(self)
    }

    /// Returns the cluster.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns the keys of the inviting members.
    #[must_use]
    pub fn inviters(&self) -> &[PublicKey] {
        &self.inviters
    }

    /// Returns the token, if there is one.
    #[must_use]
    pub const fn token(&self) -> Option<&TokenSecret> {
        self.token.as_ref()
    }

    /// Returns the addresses at which members are reached.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Returns the signaling servers.
    #[must_use]
    pub fn signaling(&self) -> &[Signaling] {
        &self.signaling
    }

    /// Returns a link to this page with the invitation behind `#`: browsers keep that for themselves, and the page
    /// reads it there. **It is a secret if there is a token.** Over `http://`, whoever is on the way can change the
    /// page, and so what becomes of the secret.
    ///
    /// # Errors
    /// When it is no page for links: see [`InvitationError::Page`].
    pub fn link(&self, page: &str) -> Result<String, InvitationError> {
        let is_page = PAGE_SCHEMES.iter().any(|scheme| {
            let host = page.strip_prefix(scheme);
            host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
        });
        let is_written = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !is_page || page.len() > PAGE_BYTES_MAX || !page.bytes().all(is_written) {
            return Err(InvitationError::Page);
        }
        Ok(format!("{page}#{}", *self.encode()))
    }

    /// Draws the QR code of its text: see [`qr`]. **It is a secret if there is a token.**
    ///
    /// # Errors
    /// [`InvitationError::QrTooLong`]: then the text itself is shown.
    #[cfg(feature = "qr")]
    pub fn qr(&self) -> Result<String, InvitationError> {
        qr(&Zeroizing::new(self.to_string()))
    }

    /// The text alone.
    fn encode(&self) -> Zeroizing<String> {
        // No vector with the secret grows and leaves a copy behind.
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES_MAX));
        body.put_u128(self.cluster.0);
        put_count(&mut body, self.inviters.len());
        for inviter in &self.inviters {
            body.put_slice(&inviter.0);
        }
        put_count(&mut body, usize::from(self.token.is_some()));
        if let Some(token) = &self.token {
            body.put_slice(token.as_bytes());
        }
        put_count(&mut body, self.addresses.len());
        for address in &self.addresses {
            put_text(&mut body, address.as_str());
        }
        put_count(&mut body, self.signaling.len());
        for Signaling { server, room } in &self.signaling {
            put_text(&mut body, server.as_str());
            put_text(&mut body, room.as_deref().unwrap_or_default());
        }
        let length = u16::try_from(body.len()).expect("a body is at most BODY_BYTES_MAX long");
        let whole = HEAD_BYTES + body.len() + CHECKSUM_BYTES;
        let mut bytes = Zeroizing::new(Vec::with_capacity(whole));
        bytes.put_u8(VERSION);
        bytes.put_u16(length);
        bytes.put_slice(&body);
        let checksum = crc32fast::hash(&bytes);
        bytes.put_u32(checksum);
        Zeroizing::new(Base64UrlUnpadded::encode_string(&bytes))
    }

    /// Takes the body apart.
    fn decode(mut body: &[u8]) -> Result<Self, ParseInvitationError> {
        let body = &mut body;
        let cluster = ClusterId(u128::from_be_bytes(take_array(body)?));
        let mut inviters = Vec::new();
        for _ in 0..take_count(body, INVITERS_MAX)? {
            inviters.push(PublicKey(take_array(body)?));
        }
        let mut token = None;
        if take_count(body, 1)? == 1 {
            token = Some(TokenSecret::from_bytes(take_array(body)?));
        }
        let mut addresses = Vec::new();
        for _ in 0..take_count(body, INVITATION_ADDRESSES_MAX)? {
            addresses.push(take_address(body)?);
        }
        let mut signaling = Vec::new();
        for _ in 0..take_count(body, INVITATION_SIGNALING_MAX)? {
            let server = take_address(body)?;
            let room = Some(take_text(body)?).filter(|room| !room.is_empty());
            let signaled = Signaling::new(server, room);
            signaling.push(signaled.map_err(|_| senseless("a room has an impossible name"))?);
        }
        if inviters.is_empty() {
            return Err(senseless("nobody invites"));
        }
        if !body.is_empty() {
            return Err(senseless("something follows all that it has"));
        }
        Ok(Self {
            cluster,
            inviters,
            token,
            addresses,
            signaling,
        })
    }
}

impl Signaling {
    /// A signaling server, as `wss://example.org/signal`, and the room on it where members of the cluster are found.
    ///
    /// # Errors
    /// [`InvitationError::Room`] if no room can have that name.
    pub fn new(server: Address, room: Option<&str>) -> Result<Self, InvitationError> {
        let is_name = |room: &str| {
            (1..=ROOM_BYTES_MAX).contains(&room.len())
                && room.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !room.is_none_or(is_name) {
            return Err(InvitationError::Room);
        }
        let room = room.map(Box::from);
        Ok(Self { server, room })
    }

    /// Returns where the server is reached.
    #[must_use]
    pub const fn server(&self) -> &Address {
        &self.server
    }

    /// Returns the room, if one is named.
    #[must_use]
    pub fn room(&self) -> Option<&str> {
        self.room.as_deref()
    }
}

/// The whole text behind `liferaft:`. **It is a secret if there is a token.**
impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", *self.encode())
    }
}

/// Reads the text alone, behind `liferaft:`, or behind the `#` of a link. White space counts for nothing, wherever it
/// is.
impl FromStr for Invitation {
    type Err = ParseInvitationError;

    fn from_str(text: &str) -> Result<Self, ParseInvitationError> {
        if text.len() > INVITATION_TEXT_BYTES_MAX {
            return Err(ParseInvitationError::TooLong { bytes: text.len() });
        }
        let from = beginning(text)?;
        let mut characters = Zeroizing::new(Vec::with_capacity(text.len()));
        let mut positions = Vec::with_capacity(text.len());
        for (at, character) in text[from..].char_indices() {
            if character.is_whitespace() {
                continue;
            }
            let position = from + at;
            if !(character.is_ascii_alphanumeric() || matches!(character, '-' | '_')) {
                return Err(ParseInvitationError::BadCharacter {
                    character,
                    position,
                });
            }
            characters.push(u8::try_from(character).expect("it is ASCII"));
            positions.push(position);
        }
        if characters.is_empty() {
            return Err(ParseInvitationError::Empty);
        }
        let (version, length) = head(&characters)?;
        let whole = HEAD_BYTES + length + CHECKSUM_BYTES;
        let count = characters_of(whole);
        if let Some(missing) = count.checked_sub(characters.len() + 1) {
            let missing = missing + 1;
            return Err(ParseInvitationError::CutShort { missing });
        }
        if let Some(position) = positions.get(count).copied() {
            return Err(ParseInvitationError::Continues { position });
        }
        let mut bytes = Zeroizing::new(vec![0; whole]);
        Base64UrlUnpadded::decode(&*characters, &mut bytes)
            .map_err(|_| ParseInvitationError::Damaged)?;
        let (checked, checksum) = bytes.split_at(whole - CHECKSUM_BYTES);
        if crc32fast::hash(checked).to_be_bytes() != checksum {
            return Err(ParseInvitationError::Damaged);
        }
        if version != VERSION {
            return Err(ParseInvitationError::NewerVersion { version });
        }
        Self::decode(&checked[HEAD_BYTES..])
    }
}

/// Where the text alone begins, behind what stands before it.
fn beginning(text: &str) -> Result<usize, ParseInvitationError> {
    let start = text.len() - text.trim_start().len();
    // Some keyboards begin every line with a capital.
    let begins_with = |scheme: &str| {
        let beginning = text[start..].get(..scheme.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(scheme))
    };
    let is_link = PAGE_SCHEMES.iter().any(|scheme| begins_with(scheme));
    if is_link {
        let fragment = text.find('#').ok_or(ParseInvitationError::NoFragment)?;
        return Ok(fragment + 1);
    }
    Ok(start + if begins_with(SCHEME) { SCHEME.len() } else { 0 })
}

/// Reads the version, and the length of the body.
fn head(characters: &[u8]) -> Result<(u8, usize), ParseInvitationError> {
    let count = characters_of(HEAD_BYTES);
    let Some(first) = characters.get(..count) else {
        let missing = count - characters.len();
        return Err(ParseInvitationError::CutShort { missing });
    };
    let mut head = [0; HEAD_BYTES];
    Base64UrlUnpadded::decode(first, &mut head).map_err(|_| ParseInvitationError::Damaged)?;
    let [version, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    // The length of one that this version wrote, if it is not damaged; others say for themselves how long they are.
    let is_too_long = characters_of(HEAD_BYTES + length) > INVITATION_TEXT_BYTES_MAX;
    if is_too_long || version == VERSION && length > BODY_BYTES_MAX {
        return Err(ParseInvitationError::Damaged);
    }
    Ok((version, length))
}

/// How many characters write this many bytes.
const fn characters_of(bytes: usize) -> usize {
    (4 * bytes).div_ceil(3)
}

/// Collects as many as there may be.
fn counted<T>(
    what: &'static str,
    min: usize,
    max: usize,
    things: impl IntoIterator<Item = T>,
) -> Result<Vec<T>, InvitationError> {
    let things: Vec<T> = things.into_iter().take(max + 1).collect();
    let count = things.len();
    if (min..=max).contains(&count) {
        Ok(things)
    } else {
        Err(InvitationError::Count {
            what,
            count,
            min,
            max,
        })
    }
}

fn put_count(body: &mut Vec<u8>, count: usize) {
    body.put_u8(u8::try_from(count).expect("there are never so many of anything"));
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    put_count(body, text.len());
    body.put_slice(text.as_bytes());
}

fn take_count(body: &mut &[u8], max: usize) -> Result<usize, ParseInvitationError> {
    let [count] = take_array(body)?;
    let count = usize::from(count);
    if count <= max {
        Ok(count)
    } else {
        Err(senseless("it has more of something than there may be"))
    }
}

fn take_array<const COUNT: usize>(body: &mut &[u8]) -> Result<[u8; COUNT], ParseInvitationError> {
    let (taken, rest) = body.split_first_chunk().ok_or(TOO_SHORT)?;
    *body = rest;
    Ok(*taken)
}

fn take_text<'a>(body: &mut &'a [u8]) -> Result<&'a str, ParseInvitationError> {
    let [length] = take_array(body)?;
    let (text, rest) = body.split_at_checked(length.into()).ok_or(TOO_SHORT)?;
    *body = rest;
    std::str::from_utf8(text).map_err(|_| senseless("it has a text that is none"))
}

fn take_address(body: &mut &[u8]) -> Result<Address, ParseInvitationError> {
    let address = take_text(body)?.parse();
    address.map_err(|_| senseless("it has an address that is none"))
}

const TOO_SHORT: ParseInvitationError = senseless("it ends within something");

const fn senseless(reason: &'static str) -> ParseInvitationError {
    ParseInvitationError::Senseless { reason }
}
