//! Describes an end of a connection to the other one: how ICE reaches it, and by which certificate DTLS knows it.
//!
//! It has what two ends need that have two data channels between them and nothing else. Descriptions travel as SDP to
//! and from browsers and PeerJS's clients ([`sdp`]), and in a compact form between members. Both forms come from
//! whoever sends signals, so that reading bounds everything, and keeps nothing that is not understood.

pub(crate) mod sdp;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::credentials::Credentials;
use crate::hosts::Fingerprint;

/// The most candidates of one end that are told or tried.
pub(crate) const CANDIDATES_MAX: usize = 16;

/// The longest name and the longest password in ICE that are taken, in bytes. RFC 8445 permits 256; browsers use 32 at
/// most.
pub(crate) const CREDENTIAL_BYTES_MAX: usize = 128;

/// The shortest name and the shortest password (RFC 8839, section 5.4), in bytes.
const UFRAG_BYTES_MIN: usize = 4;
const PASSWORD_BYTES_MIN: usize = 22;

/// The longest name of a section of media that is taken, in bytes (RFC 9143 wants it short).
const MID_BYTES_MAX: usize = 16;

/// The name that all browsers give the only section.
pub(crate) const MID: &str = "0";

/// The bytes of a UUID, which names a host by mDNS.
const UUID_BYTES: usize = 16;

/// What comes after a UUID in the name of a host by mDNS.
const MDNS_SUFFIX: &str = ".local";

/// What an end tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) credentials: Credentials,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) setup: Setup,
    /// It answers checks and makes none (RFC 8445, section 2.5).
    pub(crate) is_lite: bool,
    /// The name of the section of media, which an answer repeats.
    pub(crate) mid: Mid,
    /// At most [`CANDIDATES_MAX`], each another.
    candidates: Vec<IceCandidate>,
}

/// Who begins with DTLS (RFC 8842).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// Either: whoever answers decides. All offers say so.
    ActivePassive,
    Active,
    Passive,
}

/// The name of a section of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mid(String);

/// An address at which an end may be reached, by UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IceCandidate {
    pub(crate) kind: CandidateKind,
    pub(crate) priority: u32,
    pub(crate) host: CandidateHost,
    pub(crate) port: u16,
}

/// How an end knows of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CandidateKind {
    Host,
    ServerReflexive,
    PeerReflexive,
    Relayed,
}

/// Where a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CandidateHost {
    Ip(IpAddr),
    /// A name that only hosts of the same network resolve: browsers hide their addresses so. The bytes are its UUID's.
    Mdns([u8; UUID_BYTES]),
}

impl Description {
    /// Makes the description of an end without candidates.
    pub(crate) fn new(credentials: Credentials, fingerprint: Fingerprint, setup: Setup) -> Self {
        Self {
            credentials,
            fingerprint,
            setup,
            is_lite: false,
            mid: Mid::default(),
            candidates: Vec::new(),
        }
    }

    pub(crate) fn candidates(&self) -> &[IceCandidate] {
        &self.candidates
    }

    /// Returns the description of the same end without its candidates.
    pub(crate) fn without_candidates(&self) -> Self {
        Self {
            credentials: self.credentials.clone(),
            fingerprint: self.fingerprint,
            setup: self.setup,
            is_lite: self.is_lite,
            mid: self.mid.clone(),
            candidates: Vec::new(),
        }
    }

    /// Adds a candidate. Returns false if it is known, or there are too many.
    pub(crate) fn add(&mut self, candidate: IceCandidate) -> bool {
        let is_new = !self.candidates.contains(&candidate);
        let is_added = is_new && self.candidates.len() < CANDIDATES_MAX;
        if is_added {
            self.candidates.push(candidate);
        }
        is_added
    }

    /// Returns true if both are of the same end in the same round of ICE: only candidates may differ.
    pub(crate) fn is_of_same_end(&self, other: &Self) -> bool {
        self.credentials == other.credentials && self.fingerprint == other.fingerprint
    }

    /// Appends the compact form.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        let setup = match self.setup {
            Setup::ActivePassive => 0,
            Setup::Active => 1,
            Setup::Passive => 2,
        };
        bytes.push(setup | u8::from(self.is_lite) << 2);
        push_text(bytes, &self.credentials.ufrag);
        push_text(bytes, &self.credentials.password);
        bytes.extend(self.fingerprint.0);
        push_text(bytes, &self.mid.0);
        bytes.push(short(self.candidates.len()));
        for candidate in &self.candidates {
            candidate.write(bytes);
        }
    }

    /// Reads the compact form from the beginning of `bytes`, which it takes away; `None` if it is none.
    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let flags = take_byte(bytes)?;
        let setup = match flags & 0b11 {
            0 => Setup::ActivePassive,
            1 => Setup::Active,
            2 => Setup::Passive,
            _ => return None,
        };
        if flags >> 3 != 0 {
            return None;
        }
        let (ufrag, password) = (take_text(bytes)?, take_text(bytes)?);
        let fingerprint = Fingerprint(take(bytes)?);
        let mut description = Self::new(credentials(ufrag, password)?, fingerprint, setup);
        description.is_lite = flags & 0b100 != 0;
        description.mid = Mid::new(take_text(bytes)?)?;
        for _ in 0..take_byte(bytes)? {
            if !description.add(IceCandidate::read(bytes)?) {
                return None;
            }
        }
        Some(description)
    }
}

/// Checks what another end shows in ICE.
pub(crate) fn credentials(ufrag: &str, password: &str) -> Option<Credentials> {
    let is_ice_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    let is_one = |text: &str, bytes_min: usize| {
        (bytes_min..=CREDENTIAL_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_ice_byte)
    };
    let are_both = is_one(ufrag, UFRAG_BYTES_MIN) && is_one(password, PASSWORD_BYTES_MIN);
    are_both.then(|| Credentials {
        ufrag: ufrag.to_owned(),
        password: password.to_owned(),
    })
}

impl Mid {
    /// Makes a name of letters, digits, `-` and `_`; `None` if it is none.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let is_mid_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_mid = (1..=MID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_mid_byte);
        is_mid.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Mid {
    fn default() -> Self {
        Self(MID.to_owned())
    }
}

impl IceCandidate {
    /// Makes a candidate, with the priority that RFC 8445, section 5.1.2.1, gives it: `preference` tells those of a
    /// kind apart, and the greater is tried first.
    pub(crate) fn new(kind: CandidateKind, ip: IpAddr, port: u16, preference: u16) -> Self {
        let of_kind: u32 = match kind {
            CandidateKind::Host => 126,
            CandidateKind::PeerReflexive => 110,
            CandidateKind::ServerReflexive => 100,
            CandidateKind::Relayed => 0,
        };
        Self {
            kind,
            // The component is the only one: 1, of which 255 is left.
            priority: of_kind << 24 | u32::from(preference) << 8 | 255,
            host: CandidateHost::Ip(ip),
            port,
        }
    }

    /// Appends the compact form.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        let kind = match self.kind {
            CandidateKind::Host => 0,
            CandidateKind::ServerReflexive => 1,
            CandidateKind::PeerReflexive => 2,
            CandidateKind::Relayed => 3,
        };
        let form = match self.host {
            CandidateHost::Ip(IpAddr::V4(_)) => 0,
            CandidateHost::Ip(IpAddr::V6(_)) => 1,
            CandidateHost::Mdns(_) => 2,
        };
        bytes.push(kind | form << 4);
        bytes.extend(self.priority.to_be_bytes());
        match self.host {
            CandidateHost::Ip(IpAddr::V4(ip)) => bytes.extend(ip.octets()),
            CandidateHost::Ip(IpAddr::V6(ip)) => bytes.extend(ip.octets()),
            CandidateHost::Mdns(uuid) => bytes.extend(uuid),
        }
        bytes.extend(self.port.to_be_bytes());
    }

    /// Reads the compact form from the beginning of `bytes`, which it takes away; `None` if it is none.
    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let first = take_byte(bytes)?;
        let kind = match first & 0xf {
            0 => CandidateKind::Host,
            1 => CandidateKind::ServerReflexive,
            2 => CandidateKind::PeerReflexive,
            3 => CandidateKind::Relayed,
            _ => return None,
        };
        let priority = u32::from_be_bytes(take(bytes)?);
        let host = match first >> 4 {
            0 => CandidateHost::Ip(Ipv4Addr::from(take::<4>(bytes)?).into()),
            1 => CandidateHost::Ip(Ipv6Addr::from(take::<16>(bytes)?).into()),
            2 => CandidateHost::Mdns(take(bytes)?),
            _ => return None,
        };
        let port = u16::from_be_bytes(take(bytes)?);
        (port > 0).then_some(Self {
            kind,
            priority,
            host,
            port,
        })
    }
}

impl CandidateHost {
    /// Reads an IP address, or the name that a browser has made for a host.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some(Self::Ip(ip));
        }
        let name = text.strip_suffix(MDNS_SUFFIX)?;
        let groups: Vec<&str> = name.split('-').collect();
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
            return None;
        }
        let digits = groups.concat();
        let mut uuid = [0; UUID_BYTES];
        base16(&digits, &mut uuid).then_some(Self::Mdns(uuid))
    }
}

impl fmt::Display for CandidateHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Mdns(uuid) => {
                for (at, byte) in uuid.iter().enumerate() {
                    let dash = if [4, 6, 8, 10].contains(&at) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                f.write_str(MDNS_SUFFIX)
            }
        }
    }
}

impl CandidateKind {
    /// Returns the name of the kind in SDP (RFC 8839, section 5.1).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        let all = [
            Self::Host,
            Self::ServerReflexive,
            Self::PeerReflexive,
            Self::Relayed,
        ];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// Reads hexadecimal digits. Returns false if they are not as many bytes.
fn base16(digits: &str, bytes: &mut [u8]) -> bool {
    let is_base16 =
        digits.len() == 2 * bytes.len() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_base16 {
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = &digits[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(digits, 16).expect("two hexadecimal digits are a byte");
        }
    }
    is_base16
}

/// Takes a byte from the beginning.
pub(crate) fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    take::<1>(bytes).map(|[byte]| byte)
}

/// Takes as many bytes from the beginning.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// Takes a text of at most 255 bytes, whose length is in the first.
fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(take_byte(bytes)?);
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(short(text.len()));
    bytes.extend(text.as_bytes());
}

fn short(length: usize) -> u8 {
    u8::try_from(length).expect("what is described is short")
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Describes an end whose name and password in ICE are so long.
    pub(crate) fn of_lengths(ufrag: usize, password: usize) -> Description {
        let credentials = credentials(&"u".repeat(ufrag), &"p".repeat(password));
        let credentials = credentials.expect("they are as ICE wants them");
        Description::new(credentials, Fingerprint([7; 32]), Setup::ActivePassive)
    }

    pub(crate) fn description(number: u8) -> Description {
        let text = |length| char::from(b'a' + number).to_string().repeat(length);
        let credentials = credentials(&text(16), &text(32)).expect("they are as ICE wants them");
        let fingerprint = Fingerprint([number; 32]);
        let mut description = Description::new(credentials, fingerprint, Setup::ActivePassive);
        assert!(description.add(candidate(number)));
        description
    }

    pub(crate) fn candidate(number: u8) -> IceCandidate {
        let ip = IpAddr::from([192, 0, 2, number]);
        IceCandidate::new(CandidateKind::Host, ip, 4_000, 65_535)
    }

    fn candidates() -> impl Strategy<Value = IceCandidate> {
        let host = prop_oneof![
            any::<IpAddr>().prop_map(CandidateHost::Ip),
            any::<[u8; 16]>().prop_map(CandidateHost::Mdns),
        ];
        let kind = prop_oneof![
            Just(CandidateKind::Host),
            Just(CandidateKind::ServerReflexive),
            Just(CandidateKind::PeerReflexive),
            Just(CandidateKind::Relayed),
        ];
        (kind, any::<u32>(), host, 1..=u16::MAX).prop_map(|(kind, priority, host, port)| {
            IceCandidate {
                kind,
                priority,
                host,
                port,
            }
        })
    }

    pub(crate) fn descriptions() -> impl Strategy<Value = Description> {
        let setup = prop_oneof![
            Just(Setup::ActivePassive),
            Just(Setup::Active),
            Just(Setup::Passive)
        ];
        (
            ("[a-zA-Z0-9+/]{4,128}", "[a-zA-Z0-9+/]{22,128}"),
            (any::<[u8; 32]>(), setup, any::<bool>()),
            "[a-zA-Z0-9_-]{1,16}",
            proptest::collection::vec(candidates(), 0..=CANDIDATES_MAX),
        )
            .prop_map(
                |((ufrag, password), (digest, setup, is_lite), mid, candidates)| {
                    let credentials = credentials(&ufrag, &password).expect("ICE wants them so");
                    let mut description = Description::new(credentials, Fingerprint(digest), setup);
                    description.is_lite = is_lite;
                    description.mid = Mid::new(&mid).expect("it is short");
                    for candidate in candidates {
                        description.add(candidate);
                    }
                    description
                },
            )
    }

    #[test]
    fn no_more_candidates_are_kept_than_allowed_and_none_twice() {
        let mut description = description(0);

        let added = (0..=255).filter(|number| description.add(candidate(*number)));

        assert_eq!(added.count(), CANDIDATES_MAX - 1);
    }

    #[test]
    fn a_host_with_a_name_of_its_own_is_none() {
        for text in [
            "example.org",
            "a.local",
            "0f2c9a4e-1111-4222-8333-0123456789zz.local",
            "0f2c9a4e11114222-8333-0123456789ab.local",
            "0f2c9a4e-1111-4222-8333-0123456789ab",
            "",
        ] {
            assert_eq!(CandidateHost::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_is_preferred_to_what_others_have_seen_and_that_to_a_relay() {
        use CandidateKind::{Host, PeerReflexive, Relayed, ServerReflexive};
        let ip = IpAddr::from([192, 0, 2, 1]);

        let priorities = [Host, PeerReflexive, ServerReflexive, Relayed]
            .map(|kind| IceCandidate::new(kind, ip, 1, 65_535).priority);

        assert!(priorities.is_sorted_by(|a, b| a > b));
        // The example of RFC 8445, section 5.1.2.1, with the greatest local preference.
        assert_eq!(priorities[0], 2_130_706_431);
    }

    proptest! {
        #[test]
        fn a_description_is_read_as_it_is_written(description in descriptions()) {
            let mut bytes = Vec::new();
            description.write(&mut bytes);

            let mut rest = &bytes[..];
            let read = Description::read(&mut rest);

            prop_assert_eq!(read, Some(description));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_changed_description_is_read_as_another_or_refused(
            description in descriptions(),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = Vec::new();
            description.write(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] = byte;

            if let Some(read) = Description::read(&mut &bytes[..]) {
                prop_assert!(read.candidates().len() <= CANDIDATES_MAX);
            }
        }

        #[test]
        fn a_name_by_mdns_is_read_as_it_is_written(uuid in any::<[u8; 16]>()) {
            let host = CandidateHost::Mdns(uuid);

            prop_assert_eq!(CandidateHost::parse(&host.to_string()), Some(host));
        }
    }
}
