//! Visitors: clients as PeerJS's own are, which make a channel by themselves.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::super::certificate::WebRtcIdentity;
use super::super::connection::{Connection, Ending, Maker, Turn, UNPROVEN_BYTES_MAX};
use super::super::crypto::provider;
use super::super::gathering::Place;
use super::{STEPS_MAX, WAY};
use crate::carrier::Path;
use crate::signaling::Serialization;
use crate::webrtc::channels::DatagramMode;
use crate::webrtc::credentials::Credentials;
use crate::webrtc::description::{Description, Setup};
use crate::webrtc::ice_servers::IceTransportPolicy;
use crate::webrtc::limits::WebRtcLimits;
use crate::webrtc::meter::WebRtcMeter;
use crate::webrtc::visitors::{REFUSAL, VISIT_TIME_MAX};

/// A client, and the member that it visits.
struct Visit {
    client: Rtc,
    client_due: Instant,
    addresses: [SocketAddr; 2],
    member: Connection,
    began: Instant,
    now: Instant,
    to_member: Vec<Vec<u8>>,
    /// How many bytes the member was sent.
    sent_to_member: usize,
    to_client: Vec<Vec<u8>>,
    open: Vec<ChannelId>,
    /// What the client was told: whether it is binary, and what it is.
    told: Vec<(bool, Vec<u8>)>,
    ending: Option<Ending>,
}

impl Visit {
    /// Begins a visit by a client with some channels.
    fn with_channels(channels: usize, serialization: Serialization) -> Self {
        let now = Instant::now();
        let addresses = ["192.0.2.1:1000", "192.0.2.2:2000"];
        let addresses = addresses.map(|text| text.parse::<SocketAddr>().expect("an address"));
        let maker = Maker {
            identity: WebRtcIdentity::generate(),
            limits: WebRtcLimits::default(),
            delivery: DatagramMode::default().into(),
            meter: WebRtcMeter::default(),
            policy: IceTransportPolicy::All,
        };
        let identity = WebRtcIdentity::generate();
        let own = Credentials::random();
        let mut client = RtcConfig::new()
            .set_crypto_provider(provider())
            .set_dtls_cert(identity.certificate().clone())
            .set_local_ice_credentials(in_str0m(&own))
            .build(now);
        let offer = Description::new(own, identity.fingerprint(), Setup::ActivePassive);
        let path = Path::new(&[], &[1]);
        let received = maker.receive(path, &offer, serialization, now);
        let (member, answer) = received.expect("it is received");

        let [here, there] = addresses.map(|address| {
            let candidate = Candidate::host(address, Protocol::Udp);
            candidate.expect("it is a host's address")
        });
        client.add_local_candidate(here);
        client.add_remote_candidate(there);
        let mut api = client.direct_api();
        api.set_ice_controlling(true);
        api.set_remote_ice_credentials(in_str0m(&answer.credentials));
        api.set_remote_fingerprint(str0m::config::Fingerprint {
            hash_func: "sha-256".to_owned(),
            bytes: answer.fingerprint.0.to_vec(),
        });
        api.start_dtls(false).expect("it has not begun");
        api.start_sctp(false);
        for _ in 0..channels {
            api.create_data_channel(ChannelConfig {
                label: "dc_xk3v".to_owned(),
                ordered: false,
                reliability: Reliability::Reliable,
                negotiated: None,
                protocol: String::new(),
            });
        }
        Self {
            client,
            client_due: now,
            addresses,
            member,
            began: now,
            now,
            to_member: Vec::new(),
            sent_to_member: 0,
            to_client: Vec::new(),
            open: Vec::new(),
            told: Vec::new(),
            ending: None,
        }
    }

    /// Lets one thing after another happen until the member has ended the visit.
    fn run(&mut self) {
        for _ in 0..STEPS_MAX {
            if self.ending.is_some() {
                return;
            }
            self.step();
        }
        panic!("it never ends");
    }

    fn step(&mut self) {
        let is_quiet = self.to_member.is_empty() && self.to_client.is_empty();
        let due = self.client_due.min(self.member.deadline());
        self.now = if is_quiet {
            due.max(self.now) + WAY
        } else {
            self.now + WAY
        };
        let [client, member] = self.addresses;
        for datagram in std::mem::take(&mut self.to_client) {
            let received = Receive::new(Protocol::Udp, member, client, &datagram);
            let received = received.expect("it is of WebRTC");
            let taken = self.client.handle_input(Input::Receive(self.now, received));
            taken.expect("the client takes it");
            self.drain_client();
        }
        let taken = self.client.handle_input(Input::Timeout(self.now));
        taken.expect("the client takes the time");
        self.drain_client();
        let mut turn = Turn::default();
        for datagram in std::mem::take(&mut self.to_member) {
            let from = (Place::Shared(0), client);
            self.member
                .on_datagram(from, &datagram, self.now, &mut turn);
            self.sent_to_member += datagram.len();
        }
        if self.member.deadline() <= self.now {
            self.member.on_time(self.now, &mut turn);
        }
        assert!(turn.events.is_empty(), "nobody learns of a visitor");
        let datagrams = turn.datagrams.into_iter();
        self.to_client
            .extend(datagrams.map(|(_, _, datagram)| datagram));
        self.ending = turn.ending;
    }

    fn drain_client(&mut self) {
        loop {
            match self.client.poll_output().expect("the client is well") {
                Output::Transmit(datagram) => self.to_member.push(datagram.contents.into()),
                Output::Event(Event::ChannelOpen(id, _)) => self.open.push(id),
                Output::Event(Event::ChannelData(data)) => {
                    self.told.push((data.binary, data.data));
                }
                Output::Event(_) => {}
                Output::Timeout(due) => {
                    self.client_due = due;
                    return;
                }
            }
        }
    }
}

fn in_str0m(credentials: &Credentials) -> str0m::IceCreds {
    str0m::IceCreds {
        ufrag: credentials.ufrag.clone(),
        pass: credentials.password.clone(),
    }
}

#[test]
fn a_visitor_is_told_what_it_takes_to_join() {
    for serialization in [
        Serialization::BinaryPack,
        Serialization::Json,
        Serialization::Raw,
    ] {
        let mut visit = Visit::with_channels(1, serialization);

        visit.run();

        assert_eq!(visit.told, [serialization.write(REFUSAL)]);
        assert!(matches!(visit.ending, Some(Ending::Refused)));
        assert!(visit.now < visit.began + Duration::from_secs(2));
        let sent = visit.sent_to_member;
        assert!(sent <= UNPROVEN_BYTES_MAX / 4, "{sent} bytes");
    }
}

#[test]
fn a_visitor_that_makes_no_channel_is_seen_off_in_time() {
    let mut visit = Visit::with_channels(0, Serialization::Raw);

    visit.run();

    assert!(matches!(visit.ending, Some(Ending::TooLong)));
    assert!(visit.now <= visit.began + VISIT_TIME_MAX + Duration::from_secs(1));
}

#[test]
fn a_visitor_that_makes_many_channels_is_told_on_one() {
    let mut visit = Visit::with_channels(20, Serialization::Raw);

    visit.run();

    assert!(matches!(visit.ending, Some(Ending::NoPacket(_))));
    assert!(visit.told.len() <= 1);
}

#[test]
fn a_visitor_that_sends_without_end_is_seen_off() {
    let mut visit = Visit::with_channels(0, Serialization::Raw);
    // The member does not learn of it, and has nobody to tell.
    let channel = visit
        .client
        .direct_api()
        .create_data_channel(ChannelConfig {
            negotiated: Some(1),
            ..ChannelConfig::default()
        });

    while visit.ending.is_none() {
        if let Some(mut channel) = visit.client.channel(channel) {
            channel.write(true, &[7; 1_000]).expect("it is open");
            visit.drain_client();
        }
        visit.step();
    }

    let ending = visit.ending;
    assert!(matches!(ending, Some(Ending::NoPacket(_))), "{ending:?}");
    let sent = visit.sent_to_member;
    assert!(sent <= 2 * UNPROVEN_BYTES_MAX, "{sent} bytes");
}

#[test]
fn garbage_ends_no_visit() {
    let mut visit = Visit::with_channels(1, Serialization::Raw);
    // It looks like DTLS.
    let garbage = vec![0x17; 1_200];

    while visit.ending.is_none() {
        visit.to_member.extend(vec![garbage.clone(); 10]);
        visit.step();
    }

    assert_eq!(visit.told, [Serialization::Raw.write(REFUSAL)]);
    assert!(matches!(visit.ending, Some(Ending::Refused)));
}
