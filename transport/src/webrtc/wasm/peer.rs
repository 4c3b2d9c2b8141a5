//! Drives one `RTCPeerConnection` of the browser, and takes what it tells.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures::channel::mpsc;
use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Event, MessageEvent, RtcConfiguration, RtcDataChannel, RtcDataChannelInit, RtcDataChannelState,
    RtcDataChannelType, RtcIceCandidateInit, RtcOfferOptions, RtcPeerConnection,
    RtcPeerConnectionIceEvent, RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use super::super::channels::{
    BULK, BULK_LIFETIME_MS, DATAGRAM_LIFETIME_MS, DATAGRAMS, DatagramMode, LABEL,
};
use super::super::description::Description;
use super::super::flow::UNACKNOWLEDGED_BYTES_MAX;
use super::super::limits::PACKET_BYTES_MAX;
use super::port::Fate;
use super::statistics::selected_pair;
use super::table::End;
use crate::carrier::{Binding, CarrierEvent, Channel};
use crate::hosts::Fingerprint;

/// At so many bytes in the channel for bulk a browser tells that there is room, for any packet.
const LOW_BYTES: usize = UNACKNOWLEDGED_BYTES_MAX - PACKET_BYTES_MAX;

/// A connection of the browser with its two channels.
pub(super) struct Peer {
    connection: RtcPeerConnection,
    datagrams: RtcDataChannel,
    bulk: RtcDataChannel,
    ear: Rc<Ear>,
    own: Cell<Option<Fingerprint>>,
    /// What the browser calls as long as this is here.
    _listeners: Vec<Closure<dyn FnMut(Event)>>,
}

/// What a connection tells its task.
#[derive(Debug)]
pub(super) enum Notice {
    Open,
    /// Another address at which this end may be reached, as an attribute of SDP.
    Candidate(String),
    /// All of them are told.
    Gathered,
    /// What the browser says of the connection. None of it is proof that anybody is there, or not.
    State(RtcPeerConnectionState),
    /// A channel was closed.
    Closed,
    /// What came is no packet.
    Broken(String),
}

/// What hears what a connection tells.
struct Ear {
    end: End,
    notices: mpsc::UnboundedSender<Notice>,
    binding: Cell<Option<Binding>>,
    is_open: Cell<bool>,
    is_broken: Cell<bool>,
}

/// A browser refuses, as it says.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(String);

impl Refusal {
    pub(super) fn of(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

impl From<JsValue> for Refusal {
    fn from(error: JsValue) -> Self {
        let message = Reflect::get(&error, &"message".into());
        let message = message.ok().and_then(|message| message.as_string());
        Self(message.unwrap_or_else(|| format!("{error:?}")))
    }
}

impl Peer {
    /// Makes a connection and both of its channels, so that none of their messages is missed.
    pub(super) fn new(
        configuration: &RtcConfiguration,
        mode: DatagramMode,
        end: End,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Notice>), Refusal> {
        let connection = RtcPeerConnection::new_with_configuration(configuration)?;
        let options = |stream, is_ordered| {
            let options = RtcDataChannelInit::new();
            options.set_negotiated(true);
            options.set_id(stream);
            options.set_ordered(is_ordered);
            options
        };
        let of_datagrams = options(DATAGRAMS, mode.is_ordered);
        if !mode.is_reliable {
            of_datagrams.set_max_packet_life_time(DATAGRAM_LIFETIME_MS);
        }
        let of_bulk = options(BULK, true);
        of_bulk.set_max_packet_life_time(BULK_LIFETIME_MS);
        let [datagrams, bulk] = [of_datagrams, of_bulk].map(|options| {
            let channel = connection.create_data_channel_with_data_channel_dict(LABEL, &options);
            channel.set_binary_type(RtcDataChannelType::Arraybuffer);
            channel
        });
        let low = u32::try_from(LOW_BYTES).expect("it is short");
        bulk.set_buffered_amount_low_threshold(low);
        let (notices, noticed) = mpsc::unbounded();
        let ear = Rc::new(Ear {
            end,
            notices,
            binding: Cell::new(None),
            is_open: Cell::new(false),
            is_broken: Cell::new(false),
        });
        let mut peer = Self {
            connection,
            datagrams,
            bulk,
            ear,
            own: Cell::new(None),
            _listeners: Vec::new(),
        };
        peer.listen();
        Ok((peer, noticed))
    }

    fn listen(&mut self) {
        let listeners = RefCell::new(Vec::new());
        let hears = |hear: fn(&Ear, Event)| {
            let ear = Rc::clone(&self.ear);
            let closure = Closure::<dyn FnMut(Event)>::new(move |event| hear(&ear, event));
            let function = closure.as_ref().unchecked_ref::<js_sys::Function>().clone();
            listeners.borrow_mut().push(closure);
            function
        };
        let on_open = hears(|ear, _| ear.on_open());
        let on_close = hears(|ear, _| ear.tell(Notice::Closed));
        for channel in [&self.datagrams, &self.bulk] {
            channel.set_onopen(Some(&on_open));
            channel.set_onclose(Some(&on_close));
        }
        let on_datagram = hears(|ear, event| ear.on_message(Channel::Datagram, &event));
        self.datagrams.set_onmessage(Some(&on_datagram));
        let on_bulk = hears(|ear, event| ear.on_message(Channel::Ordered, &event));
        self.bulk.set_onmessage(Some(&on_bulk));
        let on_room = hears(|ear, _| ear.end.port.on_room());
        self.bulk.set_onbufferedamountlow(Some(&on_room));
        let on_state = hears(|ear, event| {
            let connection = event.target();
            if let Some(connection) = connection {
                let connection: RtcPeerConnection = connection.unchecked_into();
                ear.tell(Notice::State(connection.connection_state()));
            }
        });
        self.connection.set_onconnectionstatechange(Some(&on_state));
        let on_candidate = hears(|ear, event| {
            let event: &RtcPeerConnectionIceEvent = event.unchecked_ref();
            // The last one is none, or in some browsers an empty one before that.
            ear.tell(match event.candidate() {
                Some(candidate) => Notice::Candidate(candidate.candidate()),
                None => Notice::Gathered,
            });
        });
        self.connection.set_onicecandidate(Some(&on_candidate));
        self._listeners = listeners.into_inner();
    }

    /// Uses other servers when it gathers addresses next.
    pub(super) fn configure(&self, configuration: &RtcConfiguration) -> Result<(), Refusal> {
        let configured = self
            .connection
            .set_configuration_with_configuration(configuration);
        Ok(configured?)
    }

    /// Makes an offer, which may restart ICE, and begins to gather addresses. Returns the description.
    pub(super) async fn offer(&self, is_restart: bool) -> Result<String, Refusal> {
        let options = RtcOfferOptions::new();
        options.set_ice_restart(is_restart);
        let offer = self
            .connection
            .create_offer_with_rtc_offer_options(&options);
        let offer: RtcSessionDescriptionInit = JsFuture::from(offer).await?.unchecked_into();
        let sdp = offer.get_sdp().unwrap_or_default();
        self.own.set(Some(fingerprint_in(&sdp)?));
        JsFuture::from(self.connection.set_local_description(&offer)).await?;
        Ok(sdp)
    }

    /// Takes an offer of the other end, and answers it. Returns the answer.
    pub(super) async fn take_offer(
        &self,
        offer: &str,
        theirs: Fingerprint,
    ) -> Result<String, Refusal> {
        self.take(RtcSdpType::Offer, offer).await?;
        let answer = JsFuture::from(self.connection.create_answer()).await?;
        let answer: RtcSessionDescriptionInit = answer.unchecked_into();
        let sdp = answer.get_sdp().unwrap_or_default();
        self.own.set(Some(fingerprint_in(&sdp)?));
        self.bind(theirs)?;
        JsFuture::from(self.connection.set_local_description(&answer)).await?;
        Ok(sdp)
    }

    /// Takes the answer of the other end. The connection may open at any time after this.
    pub(super) async fn take_answer(
        &self,
        answer: &str,
        theirs: Fingerprint,
    ) -> Result<(), Refusal> {
        self.bind(theirs)?;
        self.take(RtcSdpType::Answer, answer).await
    }

    /// Takes one more address at which the other end may be reached.
    pub(super) async fn add_candidate(&self, candidate: &str) -> Result<(), Refusal> {
        let init = RtcIceCandidateInit::new(candidate);
        init.set_sdp_m_line_index(Some(0));
        let added = self
            .connection
            .add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&init));
        JsFuture::from(added).await?;
        Ok(())
    }

    async fn take(&self, kind: RtcSdpType, sdp: &str) -> Result<(), Refusal> {
        let description = RtcSessionDescriptionInit::new(kind);
        description.set_sdp(sdp);
        JsFuture::from(self.connection.set_remote_description(&description)).await?;
        Ok(())
    }

    /// Ties the connection to the certificates of both ends, of which that of the other end stays the same.
    fn bind(&self, theirs: Fingerprint) -> Result<(), Refusal> {
        let own = self.own.get().ok_or(Refusal::of("it is not described"))?;
        let binding = Binding {
            own: own.0,
            peer: theirs.0,
        };
        match self.ear.binding.replace(Some(binding)) {
            Some(earlier) if earlier != binding => {
                Err(Refusal::of("the other end has shown another certificate"))
            }
            _ => Ok(()),
        }
    }

    /// Gives the browser all that may be sent now.
    pub(super) fn flush(&self) -> Result<(), Refusal> {
        let End { port, meter, .. } = &self.ear.end;
        if self.datagrams.ready_state() == RtcDataChannelState::Open {
            self.flush_datagrams()?;
        }
        if self.bulk.ready_state() != RtcDataChannelState::Open {
            return Ok(());
        }
        let buffered = || usize::try_from(self.bulk.buffered_amount()).unwrap_or(usize::MAX);
        while let Some(packet) = port.next_bulk(buffered()) {
            let peak = &meter.tally().ordered_unacknowledged_peak;
            peak.raise_to(buffered() + packet.len());
            send(&self.bulk, packet.into_bytes())?;
        }
        if port.take_writable() {
            let path = self.ear.end.path;
            self.ear.end.tell(CarrierEvent::Writable { path });
        }
        Ok(())
    }

    fn flush_datagrams(&self) -> Result<(), Refusal> {
        let End {
            port,
            meter,
            limits,
            ..
        } = &self.ear.end;
        while let Some(packet) = port.next_datagram() {
            let buffered = usize::try_from(self.datagrams.buffered_amount()).unwrap_or(usize::MAX);
            if buffered.saturating_add(packet.len()) > limits.datagram_bytes_max {
                meter.tally().datagrams_dropped.add_one();
                continue;
            }
            send(&self.datagrams, packet.into_bytes())?;
        }
        Ok(())
    }

    /// Has the port told by which pair of addresses the connection runs, as soon as the browser says it.
    pub(super) fn find_out_pair(&self) {
        let figures = self.connection.get_stats();
        let port = Arc::clone(&self.ear.end.port);
        spawn_local(async move {
            if let Ok(report) = JsFuture::from(figures).await {
                port.describe(selected_pair(report.unchecked_ref()));
            }
        });
    }

    pub(super) fn is_open(&self) -> bool {
        self.ear.is_open.get()
    }
}

/// The closures may be called no more, and the browser is to forget the connection.
impl Drop for Peer {
    fn drop(&mut self) {
        for channel in [&self.datagrams, &self.bulk] {
            channel.set_onopen(None);
            channel.set_onclose(None);
            channel.set_onmessage(None);
            channel.set_onbufferedamountlow(None);
        }
        self.connection.set_onconnectionstatechange(None);
        self.connection.set_onicecandidate(None);
        self.connection.close();
    }
}

impl Ear {
    fn tell(&self, notice: Notice) {
        // Nobody waits for it any more if this is refused.
        let _unheard = self.notices.unbounded_send(notice);
    }

    /// Both channels open at once. The first that is heard of tells.
    fn on_open(&self) {
        if self.is_open.replace(true) {
            return;
        }
        self.end.meter.tally().opened.add_one();
        self.end.tell(CarrierEvent::Opened {
            path: self.end.path,
            binding: self.binding.get(),
        });
        self.tell(Notice::Open);
    }

    fn on_message(&self, channel: Channel, event: &Event) {
        if self.is_broken.get() {
            return;
        }
        self.on_open();
        let message: &MessageEvent = event.unchecked_ref();
        if let Err(what) = self.take(channel, &message.data()) {
            self.is_broken.set(true);
            self.tell(Notice::Broken(what));
        }
    }

    fn take(&self, channel: Channel, data: &JsValue) -> Result<(), String> {
        let End { port, path, .. } = &self.end;
        if !data.is_instance_of::<ArrayBuffer>() {
            return Err("a text".to_owned());
        }
        let bytes = Uint8Array::new(data);
        let length = usize::try_from(bytes.length()).unwrap_or(usize::MAX);
        if length > PACKET_BYTES_MAX {
            return Err(format!("{length} bytes"));
        }
        match port.on_packet(length) {
            Fate::Waits => self.end.tell(CarrierEvent::Packet {
                path: *path,
                channel,
                packet: Bytes::from(bytes.to_vec()).into(),
            }),
            Fate::Dropped => self.end.meter.tally().datagrams_dropped.add_one(),
        }
        Ok(())
    }
}

fn send(channel: &RtcDataChannel, packet: Bytes) -> Result<(), JsValue> {
    // A copy: the browser may send it when this memory holds something else.
    channel.send_with_array_buffer(&Uint8Array::from(&*packet).buffer())
}

/// Returns the fingerprint of this end's certificate, as the browser describes it.
fn fingerprint_in(description: &str) -> Result<Fingerprint, Refusal> {
    let description = Description::from_sdp(description).map_err(Refusal::of)?;
    Ok(description.fingerprint)
}
