//! Runs connections: makes them, opens them, moves what waits, and ends them.

use std::fmt;

use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, select_biased};
use js_sys::{Object, Reflect};
use liferaft_platform::{now, sleep_until};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{RtcPeerConnection, RtcPeerConnectionState};

use super::super::address::Target;
use super::super::channels::DatagramMode;
use super::listener::{answer_of, fingerprint_in};
use super::peer::{Notice, Peer, Refusal};
use super::table::End;
use crate::carrier::{Binding, CarrierEvent, OpenFailure};

/// Makes the connections that are dialed, for as long as there is the carrier.
pub(super) async fn dial_all(
    mut dialed: mpsc::UnboundedReceiver<(Target, End)>,
    mode: DatagramMode,
) {
    let mut certificate = None;
    while let Some((target, end)) = dialed.next().await {
        // Made once: it takes some time.
        if certificate.is_none() {
            match generate_certificate().await {
                Ok(made) => certificate = Some(made),
                Err(refusal) => tell_end(&end, false, &Ending::Refused(refusal)),
            }
        }
        if let Some(certificate) = certificate.clone() {
            spawn_local(run(certificate, mode, target, end));
        }
    }
}

/// Why a connection ended.
#[derive(Debug)]
enum Ending {
    ByUs,
    ByPeer,
    Silent,
    TooLong,
    /// What came is no packet.
    NoPacket(String),
    /// The browser has given it up.
    GivenUp,
    Refused(Refusal),
}

async fn generate_certificate() -> Result<JsValue, Refusal> {
    let algorithm = Object::new();
    for (name, value) in [("name", "ECDSA"), ("namedCurve", "P-256")] {
        Reflect::set(&algorithm, &name.into(), &value.into())?;
    }
    let made = RtcPeerConnection::generate_certificate_with_object(&algorithm)?;
    Ok(JsFuture::from(made).await?)
}

/// Opens a connection, and runs it to its end.
async fn run(certificate: JsValue, mode: DatagramMode, target: Target, end: End) {
    let (is_open, ending) = match Peer::new(&certificate, mode, end.clone()) {
        Ok((peer, mut notices)) => {
            let ending = match open(&peer, &target, &mut notices, &end).await {
                Ok(()) => drive(&peer, &mut notices, &end).await,
                Err(ending) => ending,
            };
            (peer.is_open(), ending)
        }
        Err(refusal) => (false, Ending::Refused(refusal)),
    };
    tell_end(&end, is_open, &ending);
}

fn tell_end(end: &End, is_open: bool, ending: &Ending) {
    let path = end.path;
    tracing::debug!(?path, %ending, is_open, "a connection has ended");
    let tally = end.meter.tally();
    match ending {
        _ if !is_open => tally.unopened.add_one(),
        Ending::NoPacket(_) => tally.broken.add_one(),
        Ending::Silent => tally.silent.add_one(),
        _ => {}
    }
    end.tell(if is_open {
        CarrierEvent::Closed { path }
    } else {
        let why = ending.into();
        CarrierEvent::Unopened { path, why }
    });
}

/// Returns once the connection is open.
async fn open(
    peer: &Peer,
    target: &Target,
    notices: &mut mpsc::UnboundedReceiver<Notice>,
    end: &End,
) -> Result<(), Ending> {
    let opened = async {
        connect(peer, target).await?;
        loop {
            match notices.select_next_some().await {
                Notice::Open => return Ok(()),
                notice => ending_of(notice).map_or(Ok(()), Err)?,
            }
        }
    };
    select_biased! {
        () = end.port.closed().fuse() => Err(Ending::ByUs),
        opened = Box::pin(opened).fuse() => opened,
        () = sleep_until(now() + end.limits.opening_time_max).fuse() => Err(Ending::TooLong),
    }
}

/// Asks a listener, whose answer is known.
async fn connect(peer: &Peer, listener: &Target) -> Result<(), Refusal> {
    let offer = peer.offer().await?;
    let own = fingerprint_in(&offer).ok_or_else(Refusal::no_fingerprint)?;
    let binding = Binding {
        own: own.0,
        peer: listener.fingerprint.0,
    };
    peer.take_answer(&answer_of(listener), binding).await
}

async fn drive(peer: &Peer, notices: &mut mpsc::UnboundedReceiver<Notice>, end: &End) -> Ending {
    let ended = async {
        loop {
            if let Some(ending) = ending_of(notices.select_next_some().await) {
                return ending;
            }
        }
    };
    select_biased! {
        ending = Box::pin(ended).fuse() => ending,
        ending = Box::pin(write(peer, end)).fuse() => ending,
        () = Box::pin(silence(end)).fuse() => Ending::Silent,
    }
}

/// Returns what a notice ends a connection with, if it does.
fn ending_of(notice: Notice) -> Option<Ending> {
    match notice {
        // Whether anybody is there, links find out themselves.
        Notice::Open | Notice::State(RtcPeerConnectionState::Disconnected) => None,
        Notice::State(RtcPeerConnectionState::Failed | RtcPeerConnectionState::Closed) => {
            Some(Ending::GivenUp)
        }
        Notice::State(_) => None,
        Notice::Closed => Some(Ending::ByPeer),
        Notice::Broken(what) => Some(Ending::NoPacket(what)),
    }
}

/// Gives the browser what waits, until the connection is to be closed.
async fn write(peer: &Peer, end: &End) -> Ending {
    loop {
        if let Err(refusal) = peer.flush() {
            return Ending::Refused(refusal);
        }
        if end.port.is_closed() {
            return Ending::ByUs;
        }
        if end.port.take_description_wanted() {
            peer.find_out_pair();
        }
        end.port.changed().await;
    }
}

/// Waits until for too long no packet has come, or none was to be sent.
///
/// Links answer whoever means them, and keep those alive that are up: a peer that gets nothing has said nothing that
/// means anything, and is not to keep a place by that.
async fn silence(end: &End) {
    loop {
        sleep_until(now() + end.limits.idle_time_max).await;
        if !end.port.take_alive() {
            return;
        }
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why a connection that was dialed is not opened.
impl From<&Ending> for OpenFailure {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::TooLong => Self::TimedOut,
            Ending::NoPacket(_) => Self::OtherProtocol(ending.to_string()),
            _ => Self::NotConnected(ending.to_string()),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByUs => f.write_str("closed by this end"),
            Self::ByPeer => f.write_str("closed by the other end"),
            Self::Silent => f.write_str("no packet came, or none was to be sent, for too long"),
            Self::TooLong => f.write_str("it took too long"),
            Self::NoPacket(what) => write!(f, "what came is no packet: {what}"),
            Self::GivenUp => f.write_str("the browser has given it up"),
            Self::Refused(refusal) => write!(f, "the browser refuses: {refusal}"),
        }
    }
}
