//! A transport with one flaw, around one that has none.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use liferaft_transport::{DeliveryClass, Event, Frame, SendError, ServerId, Transport};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    HidesPeersThatComeUp,
    TellsTwiceOfPeers,
    LosesDatagrams,
    LosesStreamFrames,
    TellsEveryone,
    ForgesSenders,
    ConfusesClasses,
    SplitsFrames,
    MergesFrames,
    DamagesFrames,
    DropsEmptyFrames,
    RefusesLargestFrames,
    AcceptsLongerFrames,
    ReordersStreams,
    RepeatsStreamFrames,
    DropsEveryTenthFrame,
    AcceptsStrangers,
    AcceptsItself,
    KeepsWithoutBound,
    StaysFull,
    ForgetsWakers,
    HidesLeaves,
    AcceptsThoseWhoLeft,
    HearsOnlyThree,
}

pub(crate) struct Flawed<T> {
    inner: T,
    flaw: Flaw,
    peers: Vec<ServerId>,
    sent: usize,
    was_full: bool,
    held: Option<Bytes>,
    kept: VecDeque<(ServerId, DeliveryClass, Bytes)>,
    told_twice: Option<Event>,
}

impl<T: Transport> Flawed<T> {
    pub(crate) fn new(inner: T, flaw: Flaw, peers: Vec<ServerId>) -> Self {
        Self {
            inner,
            flaw,
            peers,
            sent: 0,
            was_full: false,
            held: None,
            kept: VecDeque::new(),
            told_twice: None,
        }
    }

    fn send_all(
        &mut self,
        to: ServerId,
        class: DeliveryClass,
        frames: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), SendError> {
        frames
            .into_iter()
            .try_for_each(|frame| self.inner.send(to, class, frame.into()))
    }

    /// Sends pairs of frames, each pair at once when its second frame comes.
    fn send_in_pairs(
        &mut self,
        to: ServerId,
        class: DeliveryClass,
        frame: Bytes,
        joined: impl Fn(Bytes, Bytes) -> Vec<Bytes>,
    ) -> Result<(), SendError> {
        match self.held.take() {
            Some(earlier) => self.send_all(to, class, joined(earlier, frame)),
            None => {
                self.held = Some(frame);
                Ok(())
            }
        }
    }

    fn flush_kept(&mut self) {
        while let Some((to, class, frame)) = self.kept.pop_front() {
            if self.inner.send(to, class, frame.clone().into()).is_err() {
                self.kept.push_front((to, class, frame));
                return;
            }
        }
    }
}

impl<T: Transport> Transport for Flawed<T> {
    fn local(&self) -> ServerId {
        self.inner.local()
    }

    fn frame_bytes_max(&self) -> usize {
        self.inner.frame_bytes_max()
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        let frame = frame.into_bytes();
        self.sent += 1;
        let is_stream = class == DeliveryClass::Stream;
        let bytes_max = self.frame_bytes_max();
        match self.flaw {
            Flaw::LosesDatagrams if !is_stream => Ok(()),
            Flaw::LosesStreamFrames if is_stream => Ok(()),
            Flaw::TellsEveryone => {
                let local = self.local();
                let others = self.peers.iter().filter(|peer| **peer != local);
                for peer in others {
                    self.inner.send(*peer, class, frame.clone().into())?;
                }
                Ok(())
            }
            Flaw::SplitsFrames if frame.len() > 1_200 => {
                let halves = [frame.slice(..1_200), frame.slice(1_200..)];
                self.send_all(to, class, halves)
            }
            Flaw::MergesFrames => self.send_in_pairs(to, class, frame, |earlier, later| {
                vec![[earlier, later].concat().into()]
            }),
            Flaw::ReordersStreams if is_stream => {
                self.send_in_pairs(to, class, frame, |earlier, later| vec![later, earlier])
            }
            Flaw::RepeatsStreamFrames if is_stream => {
                self.send_all(to, class, [frame.clone(), frame])
            }
            Flaw::DamagesFrames if frame.len() > 16_384 => {
                let mut damaged = frame.to_vec();
                damaged[16_384] ^= 1;
                self.inner.send(to, class, damaged.into())
            }
            Flaw::DropsEmptyFrames if frame.is_empty() => Ok(()),
            Flaw::RefusesLargestFrames if frame.len() == bytes_max => Err(SendError::TooLarge {
                bytes: bytes_max,
                bytes_max,
            }),
            Flaw::AcceptsLongerFrames if frame.len() > bytes_max => {
                self.inner.send(to, class, frame.slice(..bytes_max).into())
            }
            Flaw::DropsEveryTenthFrame if self.sent.is_multiple_of(10) => Ok(()),
            Flaw::AcceptsStrangers if !self.peers.contains(&to) => Ok(()),
            Flaw::AcceptsItself if to == self.local() => Ok(()),
            Flaw::AcceptsThoseWhoLeft if self.peers.contains(&to) && to != self.local() => {
                let _gone = self.inner.send(to, class, frame.into());
                Ok(())
            }
            Flaw::KeepsWithoutBound => {
                self.kept.push_back((to, class, frame));
                self.flush_kept();
                Ok(())
            }
            Flaw::StaysFull if self.was_full => Err(SendError::QueueFull(to)),
            Flaw::StaysFull => {
                let answer = self.inner.send(to, class, frame.into());
                self.was_full = matches!(answer, Err(SendError::QueueFull(_)));
                answer
            }
            _ => self.inner.send(to, class, frame.into()),
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.flush_kept();
        if let Some(event) = self.told_twice.take() {
            return Poll::Ready(Some(event));
        }
        let mut deaf = Context::from_waker(Waker::noop());
        let context = if self.flaw == Flaw::ForgetsWakers {
            &mut deaf
        } else {
            context
        };
        loop {
            let polled = self.inner.poll_event(context);
            let Poll::Ready(Some(event)) = polled else {
                return polled;
            };
            let event = match (self.flaw, event) {
                (Flaw::HidesPeersThatComeUp, Event::PeerUp(_))
                | (Flaw::HidesLeaves, Event::PeerDown(_)) => continue,
                (Flaw::HearsOnlyThree, Event::Frame { from, .. })
                    if !self.peers[..3].contains(&from) =>
                {
                    continue;
                }
                (Flaw::TellsTwiceOfPeers, Event::PeerUp(peer)) if peer == self.peers[2] => {
                    self.told_twice = Some(Event::PeerUp(peer));
                    Event::PeerUp(peer)
                }
                (Flaw::ForgesSenders, Event::Frame { class, frame, .. }) => Event::Frame {
                    from: self.peers[0],
                    class,
                    frame,
                },
                (Flaw::ConfusesClasses, Event::Frame { from, frame, .. }) => Event::Frame {
                    from,
                    class: DeliveryClass::Datagram,
                    frame,
                },
                (_, event) => event,
            };
            return Poll::Ready(Some(event));
        }
    }
}
