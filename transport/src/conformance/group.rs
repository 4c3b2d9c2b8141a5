//! Ends that are connected, and the patience to wait for what they tell.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use liferaft_platform::{now, sleep_until};

use super::Fixture;
use crate::{DeliveryClass, Event, Frame, SendError, ServerId, Transport};

/// What happened instead of what was promised.
pub(super) type Detail = String;

/// How long the kit waits before it tries again what may fail by bad luck.
const PAUSE: Duration = Duration::from_millis(20);

/// A frame, as an end tells of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) from: ServerId,
    pub(super) class: DeliveryClass,
    pub(super) frame: Bytes,
}

/// Some ends, known by their number. Whichever is waited for, all of them are polled: a transport may do its I/O then.
pub(super) struct Group<T> {
    ends: Vec<End<T>>,
    patience: Duration,
    silence: Duration,
}

/// An end, with the events that it told while another was waited for; `None` says that it closed.
struct End<T> {
    transport: T,
    told: VecDeque<Option<Event>>,
}

impl<T: Transport> End<T> {
    /// Keeps all events that it has, so that it does its work.
    fn drive(&mut self, context: &mut Context<'_>) {
        while !matches!(self.told.back(), Some(None))
            && let Poll::Ready(event) = self.transport.poll_event(context)
        {
            self.told.push_back(event);
        }
    }
}

impl<T: Transport> Group<T> {
    /// Makes so many ends and waits until each has told that the others are up.
    pub(super) async fn connect(
        fixture: &mut impl Fixture<End = T>,
        number: usize,
    ) -> Result<Self, Detail> {
        let ends = fixture.connect(number).await;
        assert_eq!(
            ends.len(),
            number,
            "the fixture makes as many ends as it is asked for"
        );
        let (patience, silence) = (fixture.patience(), fixture.silence());
        let ends = ends.into_iter().map(|transport| End {
            transport,
            told: VecDeque::new(),
        });
        let mut group = Self {
            ends: ends.collect(),
            patience,
            silence,
        };
        for end in 0..number {
            group.wait_for_others(end).await?;
        }
        Ok(group)
    }

    async fn wait_for_others(&mut self, end: usize) -> Result<(), Detail> {
        let peers = self.ends.iter().map(|end| end.transport.local());
        let mut missing: Vec<ServerId> = peers
            .enumerate()
            .filter(|(other, _)| *other != end)
            .map(|(_, peer)| peer)
            .collect();
        let deadline = now() + self.patience;
        while !missing.is_empty() {
            match self.event_until(end, deadline).await? {
                Some(Event::PeerUp(peer)) if missing.contains(&peer) => {
                    missing.retain(|other| *other != peer);
                }
                // Whoever was dialed before it was there is dialed again.
                Some(Event::NotLinked { .. }) => {}
                Some(event) => {
                    let peer = self.peer(end);
                    return Err(format!("{peer} told {event:?} before {missing:?} came up"));
                }
                None => {
                    let peer = self.peer(end);
                    return Err(format!("{peer} did not tell that {missing:?} came up"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn peer(&self, end: usize) -> ServerId {
        self.ends[end].transport.local()
    }

    pub(super) fn end(&mut self, end: usize) -> &mut T {
        &mut self.ends[end].transport
    }

    /// Takes out an end, whose followers move up.
    pub(super) fn remove(&mut self, end: usize) -> T {
        self.ends.remove(end).transport
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Sends a frame, in two parts: where they are cut must not show.
    pub(super) fn send(
        &mut self,
        from: usize,
        to: usize,
        class: DeliveryClass,
        frame: &Bytes,
    ) -> Result<(), SendError> {
        let to = self.peer(to);
        let head_bytes = frame.len() / 3;
        let parts = Frame::new(frame.slice(..head_bytes), frame.slice(head_bytes..));
        self.end(from).send(to, class, parts)
    }

    /// The next event of an end, or `None` when there is none by `deadline`.
    pub(super) async fn event_until(
        &mut self,
        end: usize,
        deadline: Duration,
    ) -> Result<Option<Event>, Detail> {
        let ends = &mut self.ends;
        let event = poll_fn(|context| {
            ends.iter_mut().for_each(|end| end.drive(context));
            ends[end]
                .told
                .pop_front()
                .map_or(Poll::Pending, Poll::Ready)
        });
        match select(pin!(event), pin!(sleep_until(deadline))).await {
            Either::Left((Some(event), _)) => Ok(Some(event)),
            Either::Left((None, _)) => Err("an end closed by itself".to_owned()),
            Either::Right(((), _)) => Ok(None),
        }
    }

    /// The next frame that arrives at an end, or `None` when there is none by `deadline`. No peer may go down.
    pub(super) async fn frame_until(
        &mut self,
        end: usize,
        deadline: Duration,
    ) -> Result<Option<Arrived>, Detail> {
        loop {
            match self.event_until(end, deadline).await? {
                Some(Event::Frame { from, class, frame }) => {
                    let frame = frame.into_bytes();
                    return Ok(Some(Arrived { from, class, frame }));
                }
                Some(Event::PeerUp(_) | Event::Writable(_) | Event::NotLinked { .. }) => {}
                Some(Event::PeerDown(peer)) => {
                    return Err(format!("the link to {peer} went down without a reason"));
                }
                None => return Ok(None),
            }
        }
    }

    /// All frames that arrive at an end until it has been silent for some time.
    pub(super) async fn frames_until_silence(
        &mut self,
        end: usize,
    ) -> Result<Vec<Arrived>, Detail> {
        let mut arrived = Vec::new();
        while let Some(frame) = self.frame_until(end, now() + self.silence).await? {
            arrived.push(frame);
        }
        Ok(arrived)
    }

    /// Sends one frame until one arrives that is `wanted`, and returns that. A datagram frame is sent again and again,
    /// a stream frame once.
    pub(super) async fn transfer(
        &mut self,
        (from, to): (usize, usize),
        class: DeliveryClass,
        frame: &Bytes,
        wanted: impl Fn(&Arrived) -> bool,
    ) -> Result<Arrived, Detail> {
        let deadline = now() + self.patience;
        let mut accepted = false;
        while now() < deadline {
            if !(accepted && class == DeliveryClass::Stream) {
                match self.send(from, to, class, frame) {
                    Ok(()) => accepted = true,
                    Err(SendError::QueueFull(_)) => {}
                    Err(error) => {
                        let bytes = frame.len();
                        return Err(format!("a {class:?} frame of {bytes} bytes: {error}"));
                    }
                }
            }
            let pause = deadline.min(now() + PAUSE);
            while let Some(arrived) = self.frame_until(to, pause).await? {
                if wanted(&arrived) {
                    return Ok(arrived);
                }
            }
        }
        let bytes = frame.len();
        Err(format!(
            "a {class:?} frame of {bytes} bytes did not arrive in {:?}",
            self.patience
        ))
    }

    /// Sends frames of a stream as fast as they are accepted, and returns what arrives meanwhile and after: as many
    /// frames, or fewer when no more came.
    pub(super) async fn stream(
        &mut self,
        (from, to): (usize, usize),
        frames: &[Bytes],
    ) -> Result<Vec<Arrived>, Detail> {
        let mut left = frames.iter().peekable();
        let mut arrived = Vec::new();
        let mut deadline = now() + self.patience;
        while arrived.len() < frames.len() && now() < deadline {
            while let Some(frame) = left.peek() {
                match self.send(from, to, DeliveryClass::Stream, frame) {
                    Ok(()) => left.next(),
                    Err(SendError::QueueFull(_)) => break,
                    Err(error) => return Err(format!("a stream frame: {error}")),
                };
            }
            let pause = deadline.min(now() + PAUSE);
            if let Some(frame) = self.frame_until(to, pause).await? {
                arrived.push(frame);
                deadline = now() + self.patience;
            }
        }
        Ok(arrived)
    }
}
