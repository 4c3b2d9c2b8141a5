//! Shows what a member does with a disk that is done at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::poll_fn;
use liferaft_raft::ids::{Index, LogPosition, Round, ServerId, Term};
use liferaft_raft::message::{AppendEntries, Body, Message, ReplyWanted, Token};
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::memory::MemoryTransport;
use liferaft_transport::{self as transport, DeliveryClass, Event, SendError, Transport};

use crate::cluster::{CLUSTER, Cluster, server};
use crate::machine::Journal;

/// A transport that counts how often its member asks it in vain between a frame and the answer.
struct Counted {
    inner: MemoryTransport,
    in_vain: u32,
    before_answer: Arc<AtomicU32>,
}

impl Transport for Counted {
    fn local(&self) -> ServerId {
        self.inner.local()
    }

    fn frame_bytes_max(&self) -> usize {
        self.inner.frame_bytes_max()
    }

    fn send(
        &mut self,
        to: ServerId,
        class: DeliveryClass,
        frame: transport::Frame,
    ) -> Result<(), SendError> {
        self.before_answer.store(self.in_vain, Ordering::Relaxed);
        self.inner.send(to, class, frame)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let polled = self.inner.poll_event(context);
        match &polled {
            Poll::Ready(Some(Event::Frame { .. })) => self.in_vain = 0,
            Poll::Ready(_) | Poll::Pending => self.in_vain += 1,
        }
        polled
    }
}

/// A heartbeat of a term that a follower has to write down before it may answer.
fn heartbeat_of_a_new_term() -> Bytes {
    let append = AppendEntries {
        round: Round(1),
        prev: LogPosition::ZERO,
        commit: Index::ZERO,
        reply: ReplyWanted::AtOnce,
        confirmed: Round::ZERO,
        token: Token::NONE,
        entries: Vec::new().into(),
    };
    let message = Message {
        term: Term(7),
        body: Body::AppendEntries(append),
    };
    Frame {
        cluster: CLUSTER,
        to: server(1),
        content: Content::Message(message),
    }
    .encode()
}

#[tokio::test(start_paused = true)]
async fn what_is_durable_at_once_is_answered_in_the_same_round() {
    let mut cluster = Cluster::founded([1, 2]).await;
    let mut leader = cluster.network.attach(server(2)).unwrap();
    let before_answer = Arc::default();
    let transport = Counted {
        inner: cluster.network.attach(server(1)).unwrap(),
        in_vain: 0,
        before_answer: Arc::clone(&before_answer),
    };
    cluster
        .start_over(1, Journal::default(), transport, |member| member)
        .await;

    leader
        .send(
            server(1),
            DeliveryClass::Datagram,
            heartbeat_of_a_new_term().into(),
        )
        .expect("the link works");
    let answered = loop {
        let event = poll_fn(|context| leader.poll_event(context)).await;
        if let Some(Event::Frame { frame, .. }) = event {
            break Frame::decode(frame.into_bytes())
                .expect("the member sent it")
                .content;
        }
    };

    assert!(
        matches!(
            answered,
            Content::Message(Message {
                term: Term(7),
                body: Body::AppendEntriesReply(_)
            })
        ),
        "{answered:?}"
    );
    let in_vain = before_answer.load(Ordering::Relaxed);
    assert_eq!(in_vain, 1, "the round in which the frame came has sent it");
}
