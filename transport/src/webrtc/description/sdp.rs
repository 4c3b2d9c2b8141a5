//! Reads and writes the few lines of SDP (RFC 8866, RFC 8829) that data channels need.
//!
//! What an offer has beside them is never repeated in an answer: an attribute that is echoed without being understood,
//! such as `a=sctp-init` of Chromium, is a promise that is not kept.

use std::fmt::Write as _;

use thiserror::Error;

use super::{
    CandidateHost, CandidateKind, Description, IceCandidate, Mid, Setup, base16, credentials,
};
use crate::hosts::Fingerprint;
use crate::webrtc::limits::PACKET_BYTES_MAX;

/// The longest text that is read, in bytes. Those of browsers have about 600, and 100 more for each candidate.
pub(crate) const SDP_BYTES_MAX: usize = 16 * 1024;

/// The port of SCTP, which means nothing: DTLS has one association alone.
const SCTP_PORT: u16 = 5_000;

/// Why a text describes no end that we connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum SdpError {
    #[error("it has more than {SDP_BYTES_MAX} bytes")]
    TooLong,
    #[error("it has other media than data channels, or none")]
    OtherMedia,
    #[error("it has no name and password for ICE, or they are not as ICE wants them")]
    NoCredentials,
    #[error("it has no SHA-256 fingerprint of a certificate")]
    NoFingerprint,
    #[error("it does not say who begins with DTLS")]
    NoSetup,
    #[error("the name of its section is none")]
    BadMid,
}

impl Description {
    /// Writes it as SDP.
    pub(crate) fn to_sdp(&self) -> String {
        let mid = self.mid.as_str();
        let mut sdp =
            format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mid}\r\n");
        if self.is_lite {
            sdp.push_str("a=ice-lite\r\n");
        }
        let setup = match self.setup {
            Setup::ActivePassive => "actpass",
            Setup::Active => "active",
            Setup::Passive => "passive",
        };
        let digest: Vec<_> = self
            .fingerprint
            .0
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let lines = [
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel".to_owned(),
            "c=IN IP4 0.0.0.0".to_owned(),
            format!("a=ice-ufrag:{}", self.credentials.ufrag),
            format!("a=ice-pwd:{}", self.credentials.password),
            "a=ice-options:trickle".to_owned(),
            format!("a=fingerprint:sha-256 {}", digest.join(":")),
            format!("a=setup:{setup}"),
            format!("a=mid:{mid}"),
            format!("a=sctp-port:{SCTP_PORT}"),
            format!("a=max-message-size:{PACKET_BYTES_MAX}"),
        ];
        for line in lines {
            sdp.push_str(&line);
            sdp.push_str("\r\n");
        }
        for candidate in self.candidates() {
            let written = write!(sdp, "a={}\r\n", candidate.to_sdp());
            written.expect("a text takes all");
        }
        sdp
    }

    /// Reads SDP. Candidates that are not tried, such as those of TCP, are left out.
    pub(crate) fn from_sdp(sdp: &str) -> Result<Self, SdpError> {
        if sdp.len() > SDP_BYTES_MAX {
            return Err(SdpError::TooLong);
        }
        let media = || sdp.lines().filter(|line| line.starts_with("m="));
        let is_ours = |line: &str| {
            line.starts_with("m=application ") && line.ends_with(" webrtc-datachannel")
        };
        if media().count() != 1 || !media().all(|line| is_ours(line.trim_end())) {
            return Err(SdpError::OtherMedia);
        }
        // With one section, what holds for all of them holds for it.
        let values = |name: &'static str| {
            let lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
            lines
                .filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let value = |name| values(name).next().unwrap_or_default();
        let credentials = credentials(value("ice-ufrag"), value("ice-pwd"));
        let credentials = credentials.ok_or(SdpError::NoCredentials)?;
        let fingerprint = values("fingerprint").find_map(read_fingerprint);
        let fingerprint = fingerprint.ok_or(SdpError::NoFingerprint)?;
        let setup = match value("setup") {
            "actpass" => Setup::ActivePassive,
            "active" => Setup::Active,
            "passive" => Setup::Passive,
            _ => return Err(SdpError::NoSetup),
        };
        let mut description = Self::new(credentials, fingerprint, setup);
        description.is_lite = sdp.lines().any(|line| line.trim_end() == "a=ice-lite");
        description.mid = Mid::new(value("mid")).ok_or(SdpError::BadMid)?;
        for candidate in values("candidate").filter_map(IceCandidate::read_sdp) {
            description.add(candidate);
        }
        Ok(description)
    }
}

fn read_fingerprint(value: &str) -> Option<Fingerprint> {
    let (algorithm, digest) = value.split_once(' ')?;
    let mut bytes = [0; 32];
    let is_digest = algorithm.eq_ignore_ascii_case("sha-256")
        && digest.split(':').all(|byte| byte.len() == 2)
        && base16(&digest.replace(':', ""), &mut bytes);
    is_digest.then_some(Fingerprint(bytes))
}

impl IceCandidate {
    /// Writes it as the value of an attribute of SDP: `candidate:…` (RFC 8839, section 5.1).
    pub(crate) fn to_sdp(&self) -> String {
        let Self {
            kind,
            priority,
            host,
            port,
        } = self;
        // Candidates of one kind and host have one foundation. What a reflexive candidate is the reflection of, only
        // whoever has it needs to know.
        let foundation = priority >> 8;
        let related = match kind {
            CandidateKind::Host => "",
            _ => " raddr 0.0.0.0 rport 0",
        };
        let kind = kind.name();
        format!("candidate:{foundation} 1 udp {priority} {host} {port} typ {kind}{related}")
    }

    /// Reads the value of an attribute of SDP, or what a browser tells of a candidate. `None` if it is none, or one
    /// that is not tried: of TCP, or of another component.
    pub(crate) fn from_sdp(text: &str) -> Option<Self> {
        let text = text.strip_prefix("a=").unwrap_or(text);
        Self::read_sdp(text.strip_prefix("candidate:")?)
    }

    fn read_sdp(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let _foundation = words.next()?;
        let is_only_component = words.next()? == "1";
        let is_udp = words.next()?.eq_ignore_ascii_case("udp");
        let priority = words.next()?.parse().ok()?;
        let host = CandidateHost::parse(words.next()?)?;
        let port = words.next()?.parse().ok().filter(|port| *port > 0)?;
        let is_typed = words.next()? == "typ";
        let kind = CandidateKind::of_name(words.next()?)?;
        (is_only_component && is_udp && is_typed).then_some(Self {
            kind,
            priority,
            host,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::descriptions;
    use super::*;

    /// What Chromium 156 offers for a data channel, with names by mDNS and `a=sctp-init` of SNAP.
    const OFFER_OF_CHROMIUM: &str = "v=0\r\n\
        o=- 2890844526199712453 2 IN IP4 127.0.0.1\r\n\
        s=-\r\n\
        t=0 0\r\n\
        a=group:BUNDLE 0\r\n\
        a=extmap-allow-mixed\r\n\
        a=msid-semantic: WMS\r\n\
        m=application 51313 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        c=IN IP4 192.0.2.9\r\n\
        a=candidate:2880323124 1 udp 2113937151 5a1f9d2c-5c5e-4b4d-9f49-8b0a6f6a6d11.local 51313 typ host generation 0 network-cost 999\r\n\
        a=candidate:842163049 1 udp 1677729535 198.51.100.3 51313 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-cost 999\r\n\
        a=candidate:3 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active generation 0\r\n\
        a=ice-ufrag:4ZcD\r\n\
        a=ice-pwd:2/1muCWoOi3uLifh0NuRHlK+\r\n\
        a=ice-options:trickle\r\n\
        a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
        a=setup:actpass\r\n\
        a=mid:0\r\n\
        a=sctp-port:5000\r\n\
        a=max-message-size:262144\r\n\
        a=sctp-init:AQAAAAAAAAAAAP//\r\n";

    /// What Firefox answers: the certificate holds for the whole description.
    const ANSWER_OF_FIREFOX: &str = "v=0\n\
        o=mozilla...THIS_IS_SDPARTA-99.0 5124 0 IN IP4 0.0.0.0\n\
        s=-\n\
        t=0 0\n\
        a=fingerprint:sha-256 1F:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\n\
        a=group:BUNDLE 0\n\
        a=ice-options:trickle\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n\
        c=IN IP4 0.0.0.0\n\
        a=sendrecv\n\
        a=ice-pwd:bd37b1b95d1e4cd8a1c0d5e1b6c5a2f0\n\
        a=ice-ufrag:8a2f1c9e\n\
        a=mid:0\n\
        a=setup:active\n\
        a=sctp-port:5000\n\
        a=max-message-size:1073741823\n";

    #[test]
    fn an_offer_of_chromium_is_understood() {
        let offer = Description::from_sdp(OFFER_OF_CHROMIUM).expect("it describes an end");

        assert_eq!(offer.credentials.ufrag, "4ZcD");
        assert_eq!(offer.credentials.password, "2/1muCWoOi3uLifh0NuRHlK+");
        assert_eq!(offer.fingerprint.0[31], 0x1f);
        assert_eq!(offer.setup, Setup::ActivePassive);
        assert_eq!(offer.mid.as_str(), "0");
        let hosts: Vec<_> = offer
            .candidates()
            .iter()
            .map(|it| it.host.to_string())
            .collect();
        assert_eq!(
            hosts,
            ["5a1f9d2c-5c5e-4b4d-9f49-8b0a6f6a6d11.local", "198.51.100.3"]
        );
    }

    #[test]
    fn an_answer_of_firefox_is_understood() {
        let answer = Description::from_sdp(ANSWER_OF_FIREFOX).expect("it describes an end");

        assert_eq!(answer.credentials.ufrag, "8a2f1c9e");
        assert_eq!(answer.fingerprint.0[0], 0x1f);
        assert_eq!(answer.setup, Setup::Active);
        assert_eq!(answer.candidates(), []);
    }

    /// Chromium 151 broke answerers that repeated `a=sctp-init` of its offers.
    #[test]
    fn nothing_that_is_not_understood_is_echoed() {
        let offer = Description::from_sdp(OFFER_OF_CHROMIUM).expect("it describes an end");

        let written = offer.to_sdp();

        for unknown in [
            "sctp-init",
            "extmap",
            "msid",
            "generation",
            "tcp",
            "2890844526",
        ] {
            assert!(!written.contains(unknown), "{unknown} in {written}");
        }
    }

    #[test]
    fn what_is_written_has_the_lines_that_browsers_want() {
        let written = super::super::tests::description(0).to_sdp();

        let lines = [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            "a=ice-ufrag:aaaaaaaaaaaaaaaa",
            "a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "a=ice-options:trickle",
            "a=fingerprint:sha-256 00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00",
            "a=setup:actpass",
            "a=mid:0",
            "a=sctp-port:5000",
            "a=max-message-size:16384",
            "a=candidate:8323071 1 udp 2130706431 192.0.2.0 4000 typ host",
        ];
        assert_eq!(written.split_terminator("\r\n").collect::<Vec<_>>(), lines);
    }

    #[test]
    fn what_is_missing_or_other_is_told() {
        let error = |from: &str, to: &str| {
            let changed = OFFER_OF_CHROMIUM.replace(from, to);
            Description::from_sdp(&changed).expect_err("it describes no end")
        };

        assert_eq!(error("m=application", "m=audio"), SdpError::OtherMedia);
        assert_eq!(
            error("a=mid:0", "m=video 9 X 1\r\na=mid:0"),
            SdpError::OtherMedia
        );
        assert_eq!(error("a=ice-ufrag", "a=x"), SdpError::NoCredentials);
        assert_eq!(error("4ZcD", "4Zc<"), SdpError::NoCredentials);
        assert_eq!(error("4ZcD", &"a".repeat(129)), SdpError::NoCredentials);
        assert_eq!(error("sha-256 00:", "sha-1 00:"), SdpError::NoFingerprint);
        assert_eq!(error(":1F\r\n", "\r\n"), SdpError::NoFingerprint);
        assert_eq!(error(":1E:1F", ":1:E1F"), SdpError::NoFingerprint);
        assert_eq!(error("actpass", "holdconn"), SdpError::NoSetup);
        assert_eq!(error("a=mid:0", "a=mid:<b>"), SdpError::BadMid);
        assert_eq!(error("s=-", &"s".repeat(SDP_BYTES_MAX)), SdpError::TooLong);
    }

    #[test]
    fn a_candidate_is_read_as_browsers_tell_it() {
        let told =
            "candidate:842163049 1 UDP 1677729535 2001:db8::3 51313 typ relay raddr :: rport 0";

        let candidate = IceCandidate::from_sdp(told).expect("it is one");

        assert_eq!(candidate.kind, CandidateKind::Relayed);
        assert_eq!(candidate.host.to_string(), "2001:db8::3");
        assert_eq!(IceCandidate::from_sdp(""), None);
        assert_eq!(
            IceCandidate::from_sdp("candidate:1 2 udp 1 192.0.2.1 1 typ host"),
            None
        );
        assert_eq!(
            IceCandidate::from_sdp("candidate:1 1 udp 1 192.0.2.1 0 typ host"),
            None
        );
    }

    proptest! {
        #[test]
        fn sdp_is_read_as_it_is_written(description in descriptions()) {
            let read = Description::from_sdp(&description.to_sdp());

            prop_assert_eq!(read, Ok(description));
        }

        #[test]
        fn any_text_is_read_or_refused(
            lines in proptest::collection::vec("(a=|m=)?[a-z0-9: .=-]{0,40}", 0..20),
        ) {
            let text = lines.join("\r\n") + "\r\nm=application 9 X webrtc-datachannel";

            let _any = Description::from_sdp(&text);
        }

        #[test]
        fn a_text_that_is_cut_is_read_or_refused(at in 0..OFFER_OF_CHROMIUM.len()) {
            let _any = Description::from_sdp(&OFFER_OF_CHROMIUM[..at]);
        }
    }
}
