//! One function for each promise. Each judges its own promise alone, as far as it can do without the others.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures::future::{Either, select};
use futures::task::AtomicWaker;
use liferaft_platform::now;

use super::Fixture;
use super::group::{Arrived, Detail, Group};
use crate::{DeliveryClass, Event, SendError, ServerId, Transport};

const CLASSES: [DeliveryClass; 2] = [DeliveryClass::Datagram, DeliveryClass::Stream];
const HELLO: Bytes = Bytes::from_static(b"hello");

pub(super) async fn peers_come_up(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 3).await?;
    let peers: BTreeSet<ServerId> = (0..3).map(|end| group.peer(end)).collect();
    if peers.len() < 3 {
        return Err(format!("three ends are only the peers {peers:?}"));
    }
    let silence = fixture.silence();
    for end in 0..3 {
        if let Some(event) = group.event_until(end, now() + silence).await? {
            return Err(format!(
                "{} told {event:?} without a cause",
                group.peer(end)
            ));
        }
    }
    Ok(())
}

pub(super) async fn frames_arrive(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    for class in CLASSES {
        for link in [(0, 1), (1, 0)] {
            group.transfer(link, class, &HELLO, |_| true).await?;
        }
    }
    Ok(())
}

pub(super) async fn receivers_are_true(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 3).await?;
    for class in CLASSES {
        group.transfer((0, 1), class, &HELLO, |_| true).await?;
        for end in [0, 2] {
            if !group.frames_until_silence(end).await?.is_empty() {
                let (peer, receiver) = (group.peer(end), group.peer(1));
                return Err(format!("{peer} heard a {class:?} frame to {receiver}"));
            }
        }
    }
    Ok(())
}

pub(super) async fn senders_are_true(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 3).await?;
    for class in CLASSES {
        for (from, to) in [(0, 2), (1, 2), (2, 0), (1, 0), (0, 1), (2, 1)] {
            let sender = group.peer(from);
            let signed = Bytes::copy_from_slice(&sender.0.to_be_bytes());
            let is_signed = |arrived: &Arrived| arrived.frame == signed;
            let arrived = group
                .transfer((from, to), class, &signed, is_signed)
                .await?;
            if arrived.from != sender {
                return Err(format!(
                    "a frame of {sender} is told to be from {}",
                    arrived.from
                ));
            }
        }
    }
    Ok(())
}

pub(super) async fn classes_are_true(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    for class in CLASSES {
        let named = Bytes::from(format!("{class:?}"));
        let is_named = |arrived: &Arrived| arrived.frame == named;
        let arrived = group.transfer((0, 1), class, &named, is_named).await?;
        if arrived.class != class {
            return Err(format!(
                "a {class:?} frame is told to be a {:?} frame",
                arrived.class
            ));
        }
    }
    Ok(())
}

pub(super) async fn frames_are_whole(fixture: &mut impl Fixture) -> Result<(), Detail> {
    const LENGTHS: [usize; 10] = [1, 2, 3, 100, 1_199, 1_200, 16_383, 16_384, 65_535, 65_536];
    let mut group = Group::connect(fixture, 2).await?;
    let longest = group.end(0).frame_bytes_max();
    let lengths = LENGTHS.into_iter().filter(|length| *length <= longest);
    let frames: Vec<Bytes> = lengths.map(patterned).collect();
    for class in CLASSES {
        for frame in &frames {
            match group.send(0, 1, class, frame) {
                Ok(()) | Err(SendError::QueueFull(_)) => {}
                Err(error) => return Err(format!("a frame of {} bytes: {error}", frame.len())),
            }
        }
        let arrived = group.frames_until_silence(1).await?;
        if let Some(other) = arrived
            .iter()
            .find(|arrived| !frames.contains(&arrived.frame))
        {
            let bytes = other.frame.len();
            return Err(format!(
                "a {class:?} frame of {bytes} bytes arrived that nobody sent"
            ));
        }
    }
    Ok(())
}

pub(super) async fn empty_frames_arrive(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    for class in CLASSES {
        let is_empty = |arrived: &Arrived| arrived.frame.is_empty();
        group
            .transfer((0, 1), class, &Bytes::new(), is_empty)
            .await?;
    }
    Ok(())
}

pub(super) async fn largest_frames_arrive(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    let largest = patterned(group.end(0).frame_bytes_max());
    for class in CLASSES {
        group
            .transfer((0, 1), class, &largest, |arrived| arrived.frame == largest)
            .await?;
    }
    Ok(())
}

pub(super) async fn longer_frames_are_refused(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    let bytes_max = group.end(0).frame_bytes_max();
    let longer = patterned(bytes_max + 1);
    let refusal = Err(SendError::TooLarge {
        bytes: bytes_max + 1,
        bytes_max,
    });
    for class in CLASSES {
        let answer = group.send(0, 1, class, &longer);
        if answer != refusal {
            return Err(format!(
                "a frame of {} bytes is answered by {answer:?}",
                bytes_max + 1
            ));
        }
    }
    let arrived = group.frames_until_silence(1).await?;
    if arrived.is_empty() {
        Ok(())
    } else {
        Err("a frame that was refused arrived".to_owned())
    }
}

pub(super) async fn streams_keep_order(fixture: &mut impl Fixture) -> Result<(), Detail> {
    const FRAMES: u32 = 2_000;
    let mut group = Group::connect(fixture, 2).await?;
    let sent: Vec<Bytes> = (0..FRAMES)
        .map(|number| Bytes::copy_from_slice(&number.to_be_bytes()))
        .collect();

    let mut arrived = group.stream((0, 1), &sent).await?;

    arrived.extend(group.frames_until_silence(1).await?);
    let mut pairs = arrived.iter().map(|arrived| &arrived.frame).zip(&sent);
    if let Some(number) = pairs.position(|(arrived, sent)| arrived != sent) {
        return Err(format!("another frame arrived in place of frame {number}"));
    }
    if arrived.len() != sent.len() {
        return Err(format!("{} frames arrived of {FRAMES}", arrived.len()));
    }
    Ok(())
}

pub(super) async fn strangers_have_no_link(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    no_link(group.end(0), fixture.stranger())
}

pub(super) async fn nobody_has_a_link_to_itself(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    let local = group.peer(0);
    no_link(group.end(0), local)
}

fn no_link(end: &mut impl Transport, peer: ServerId) -> Result<(), Detail> {
    for class in CLASSES {
        let answer = end.send(peer, class, HELLO.into());
        if answer != Err(SendError::NoLink(peer)) {
            return Err(format!("sending to {peer} is answered by {answer:?}"));
        }
    }
    Ok(())
}

pub(super) async fn unread_frames_are_bounded(fixture: &mut impl Fixture) -> Result<(), Detail> {
    for class in CLASSES {
        unread_frames_of_a_class_are_bounded(fixture, class).await?;
    }
    Ok(())
}

async fn unread_frames_of_a_class_are_bounded<F: Fixture>(
    fixture: &mut F,
    class: DeliveryClass,
) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    let unread_bytes_max = fixture.unread_bytes_max();
    let frame = patterned(group.end(0).frame_bytes_max().min(256 * 1024));
    let mut bytes_offered = 0;
    while bytes_offered <= 2 * unread_bytes_max {
        bytes_offered += frame.len();
        match group.send(0, 1, class, &frame) {
            Ok(()) | Err(SendError::QueueFull(_)) => {}
            Err(error) => return Err(format!("to a peer that does not read: {error}")),
        }
    }

    let arrived = group.frames_until_silence(1).await?;
    let lengths = arrived.iter().map(|arrived| arrived.frame.len());
    let bytes_arrived: usize = lengths.sum();
    if bytes_arrived > unread_bytes_max {
        return Err(format!(
            "{bytes_arrived} bytes were kept, {unread_bytes_max} are allowed"
        ));
    }
    group
        .transfer((0, 1), class, &HELLO, |arrived| arrived.frame == HELLO)
        .await?;
    Ok(())
}

pub(super) async fn waiters_are_woken(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 2).await?;
    let receiver = group.peer(1);
    let deadline = now() + group.patience();
    let mut waiting_end = group.remove(1);
    let mut waiting = pin!(frame_when_woken(&mut waiting_end));
    if poll_once(waiting.as_mut()).await.is_ready() {
        return Err("a frame arrived that nobody sent".to_owned());
    }

    group
        .end(0)
        .send(receiver, DeliveryClass::Stream, HELLO.into())
        .map_err(|error| format!("a stream frame: {error}"))?;

    let told = match select(waiting, pin!(group.event_until(0, deadline))).await {
        Either::Left((arrived, _)) => return arrived,
        Either::Right((told, _)) => told?,
    };
    Err(match told {
        Some(event) => format!("{event:?} was told without a cause"),
        None => "an end that waits was not woken by a frame".to_owned(),
    })
}

pub(super) async fn leaves_are_seen(fixture: &mut impl Fixture) -> Result<(), Detail> {
    let mut group = Group::connect(fixture, 3).await?;
    let deadline = now() + group.patience();
    let leaving = group.peer(2);

    drop(group.remove(2));

    for end in 0..2 {
        match group.event_until(end, deadline).await? {
            Some(Event::PeerDown(peer)) if peer == leaving => {}
            other => {
                return Err(format!(
                    "{leaving} left, and {} told {other:?}",
                    group.peer(end)
                ));
            }
        }
        no_link(group.end(end), leaving)?;
    }
    group
        .transfer((0, 1), DeliveryClass::Stream, &HELLO, |_| true)
        .await?;
    Ok(())
}

pub(super) async fn many_peers_hear_each_other(fixture: &mut impl Fixture) -> Result<(), Detail> {
    const PEERS: usize = 8;
    let mut group = Group::connect(fixture, PEERS).await?;
    let others = |end: usize| (0..PEERS).filter(move |other| *other != end);
    for from in 0..PEERS {
        for to in others(from) {
            group
                .send(from, to, DeliveryClass::Stream, &HELLO)
                .map_err(|error| format!("one of {PEERS} peers: {error}"))?;
        }
    }
    for to in 0..PEERS {
        let mut unheard: BTreeSet<ServerId> = others(to).map(|from| group.peer(from)).collect();
        let deadline = now() + group.patience();
        while !unheard.is_empty() {
            let Some(arrived) = group.frame_until(to, deadline).await? else {
                return Err(format!("{} did not hear {unheard:?}", group.peer(to)));
            };
            unheard.remove(&arrived.from);
        }
    }
    Ok(())
}

/// Bytes in which no part looks like another.
fn patterned(bytes: usize) -> Bytes {
    let words = (0_u64..).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    words.flatten().take(bytes).collect()
}

async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Waits for a frame, and asks only when the end's own waker was called: a timer that happens to go off does not help.
async fn frame_when_woken(end: &mut impl Transport) -> Result<(), Detail> {
    let bell = Arc::new(Bell {
        rung: AtomicBool::new(true),
        owner: AtomicWaker::new(),
    });
    let waker = Waker::from(Arc::clone(&bell));
    poll_fn(|context| {
        bell.owner.register(context.waker());
        while bell.rung.swap(false, Ordering::AcqRel) {
            match end.poll_event(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(Event::Frame { .. })) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(_)) => {
                    bell.rung.store(true, Ordering::Release);
                }
                Poll::Ready(None) => {
                    return Poll::Ready(Err("an end closed by itself".to_owned()));
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}

/// Remembers that it was rung, and passes it on.
struct Bell {
    rung: AtomicBool,
    owner: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.owner.wake();
    }
}
