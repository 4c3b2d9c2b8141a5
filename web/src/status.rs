//! Tells a page where its member stands, and what happens in it: the properties that `web/types/liferaft.d.ts` has.

use std::pin::pin;

use futures::future::{Either, pending, select};
use liferaft::consensus::RoleKind;
use liferaft::driver::LinkStatus;
use liferaft::transport::webrtc::{SignalingMeter, SignalingStatus};
use liferaft::{Exclusion, MemberEvent, MemberStatus, Missed, ServerId};
use tokio::sync::watch::Receiver;
use wasm_bindgen::JsValue;

use crate::error::exclusion;
use crate::plain::{list, number, object};
use crate::reply::milliseconds;

/// What a member tells of itself, as it changes.
pub(crate) struct StatusFeed {
    status: Receiver<MemberStatus>,
    signaling: Vec<SignalingStatus>,
}

impl StatusFeed {
    pub(crate) const fn of(status: Receiver<MemberStatus>) -> Self {
        Self {
            status,
            signaling: Vec::new(),
        }
    }

    /// Waits until something is otherwise than when this was last asked. `undefined` once the member has stopped.
    pub(crate) async fn next(&mut self, signaling: Option<&SignalingMeter>) -> JsValue {
        let Self {
            status,
            signaling: known,
        } = self;
        let other = async {
            match signaling {
                Some(meter) => meter.other_than(known).await,
                None => pending().await,
            }
        };
        // Which of the two it was, and nothing that borrows either.
        let changed = match select(pin!(status.changed()), pin!(other)).await {
            Either::Left((Ok(()), _)) => None,
            Either::Left((Err(_), _)) => return JsValue::UNDEFINED,
            Either::Right((other, _)) => Some(other),
        };
        if let Some(other) = changed {
            *known = other;
        }
        of_status(&status.borrow_and_update(), signaling)
    }
}

/// Tells where a member stands.
pub(crate) fn of_status(status: &MemberStatus, signaling: Option<&SignalingMeter>) -> JsValue {
    let raft = &status.raft;
    let configuration = &raft.configuration;
    let voting = |votes: bool| {
        let members = configuration.members();
        list(members.filter_map(|(id, member)| (member.votes() == votes).then(|| id_of(id))))
    };
    let role = match raft.role {
        RoleKind::Follower => "follower",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        RoleKind::Leader => "leader",
    };
    let excluded = status.exclusion.map_or(JsValue::UNDEFINED, |why| {
        object(&[
            ("reason", exclusion(&why).into()),
            ("message", why.to_string().into()),
            ("isFinal", is_removed(&status).into()),
        ])
    });
    let counters = &status.counters;
    let messages = object(&[
        ("votesSent", number(counters.messages_sent.request_votes)),
        (
            "votesReceived",
            number(counters.messages_received.request_votes),
        ),
        ("appendsSent", number(counters.messages_sent.append_entries)),
        (
            "appendsReceived",
            number(counters.messages_received.append_entries),
        ),
    ]);
    let signaling = signaling.map(SignalingMeter::read).unwrap_or_default();
    let signaling = signaling.into_iter().map(|server| {
        object(&[
            ("address", server.address.into()),
            ("isConnected", server.is_connected.into()),
        ])
    });
    let stalled = status.storage.stalled_for;
    object(&[
        ("role", role.into()),
        ("isLeader", status.is_leader().into()),
        ("term", number(raft.term.0)),
        ("leader", raft.leader.map_or(JsValue::UNDEFINED, id_of)),
        ("voters", voting(true)),
        ("learners", voting(false)),
        ("last", number(raft.last.index.0)),
        ("persisted", number(raft.persisted.0)),
        ("committed", number(raft.commit.0)),
        ("applied", number(raft.applied.0)),
        ("snapshot", number(raft.snapshot.0)),
        ("links", list(status.links.iter().map(of_link))),
        ("signaling", list(signaling)),
        ("messages", messages),
        ("elections", number(counters.elections)),
        ("leaderChanges", number(counters.leader_changes)),
        ("pending", number(status.queues.commands as u64)),
        ("isStorageLow", status.storage.is_low.into()),
        (
            "storageStalledMs",
            stalled.map_or(JsValue::UNDEFINED, milliseconds),
        ),
        ("exclusion", excluded),
        (
            "lastError",
            status.last_error.as_ref().map(ToString::to_string).into(),
        ),
        (
            "stopped",
            status.stopped.as_ref().map(ToString::to_string).into(),
        ),
    ])
}

/// Returns true if a member was removed for good. What others say may be of a configuration that is never committed, or
/// that was followed by another which has the member again; what it has itself, committed, is not.
pub(crate) fn is_removed(status: &MemberStatus) -> bool {
    let raft = &status.raft;
    status.exclusion == Some(Exclusion::Removed)
        && raft.configuration_index <= raft.commit
        && !raft.configuration.is_empty()
        && !raft.configuration.contains(raft.id)
}

/// Tells what has happened in a member, or that some of it was missed.
pub(crate) fn of_happening(event: &Result<MemberEvent, Missed>) -> JsValue {
    let (term, message) = match event {
        Ok(event) => (event.term.0, format!("{:?}", event.what)),
        Err(missed) => (0, format!("Missed: {missed}")),
    };
    let name_end = message.find(|letter: char| !letter.is_ascii_alphanumeric());
    let name = message.get(..name_end.unwrap_or(message.len()));
    object(&[
        ("type", name.into()),
        ("term", number(term)),
        ("message", message.as_str().into()),
    ])
}

/// Tells who is in the cluster, as far as a member knows.
pub(crate) fn of_members(own: ServerId, status: &MemberStatus) -> JsValue {
    let leader = status.leader();
    let members = status.raft.configuration.members();
    list(members.map(|(id, known)| {
        let role = match known.votes() {
            _ if leader == Some(id) => "leader",
            true => "voter",
            false => "learner",
        };
        let description = &known.description;
        let addresses = description.addresses().iter();
        let link = status.links.iter().find(|link| link.peer == id);
        let label = description.label().as_str();
        object(&[
            ("id", id_of(id)),
            ("name", Some(label).filter(|label| !label.is_empty()).into()),
            ("role", role.into()),
            (
                "addresses",
                list(addresses.map(|address| address.to_string().into())),
            ),
            ("link", link.map_or(JsValue::UNDEFINED, of_link)),
            ("isSelf", (id == own).into()),
        ])
    }))
}

/// Returns an id as it is written everywhere.
pub(crate) fn id_of(server: ServerId) -> JsValue {
    format!("{server:?}").into()
}

fn of_link(link: &LinkStatus) -> JsValue {
    let path = link.path.as_ref().map(ToString::to_string);
    object(&[("peer", id_of(link.peer)), ("path", path.into())])
}
