//! Gives the façade in `web/js` a member: each call of a page is a call here, with its deadline in milliseconds.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use futures::lock::Mutex;
use js_sys::Promise;
use liferaft::configuration::{Grants, Suffrage};
use liferaft::transport::token::TokenSecret;
use liferaft::{
    BrowserStorage, Events, Handle, Invitation, MemberStatus, OnExpiry, OutboxConfig, ParseIdError,
    ServerId, StopReason, Terms,
};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

use crate::command::{command, keys, query};
use crate::error::Fault;
use crate::machine::{Machine, answer_of, command_of, found, query_of, reply_of};
use crate::options::Options;
use crate::outbox::RawOutbox;
use crate::plain::{array, bytes, list, object, promise, whole};
use crate::reach::Reach;
use crate::starting::{Started, started};
use crate::status::{StatusFeed, id_of, is_removed, of_happening, of_members, of_status};
use crate::storage::Kept;
use crate::watch::RawWatch;
use crate::{qr, reply};

/// How many may join by an invitation, unless the page says otherwise.
const INVITATION_USES: u32 = 64;

/// For how long an invitation is good, unless the page says otherwise.
const INVITATION_VALID_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// The deadline of a call; the member's own, if there is none.
type Timeout = Option<Duration>;

/// A member of a cluster.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RawNode(Rc<Node>);

struct Node {
    member: Handle<Machine>,
    has_machine: bool,
    reach: Reach,
    kept: Kept,
    /// By what its invitations let in.
    token: RefCell<Option<TokenSecret>>,
    events: Mutex<Events>,
    status: Mutex<StatusFeed>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Node").field(&self.member.id()).finish()
    }
}

/// Starts a member. `undefined` if it was to go on as a stored server, and there is none.
#[wasm_bindgen]
#[must_use]
pub fn start(options: JsValue) -> Promise {
    promise(async {
        let started = started(Options::new(options)).await?;
        Ok(started.map_or(JsValue::UNDEFINED, |started| {
            RawNode(Rc::new(Node::of(started))).into()
        }))
    })
}

/// Removes what is stored of a server of a room, for good.
#[wasm_bindgen]
#[must_use]
pub fn forget(room: String, id: &str) -> Promise {
    let server = server(id);
    promise(async move {
        BrowserStorage::forget(&room, server?).await?;
        Ok(JsValue::UNDEFINED)
    })
}

#[wasm_bindgen]
impl RawNode {
    /// Its id, its cluster, its name and its storage.
    #[must_use]
    pub fn facts(&self) -> JsValue {
        let Self(node) = self;
        let kind = match node.kept.browser {
            Some(_) => "indexeddb",
            None => "memory",
        };
        let damaged = node
            .kept
            .damaged
            .iter()
            .map(|(id, why)| object(&[("id", id_of(*id)), ("message", why.as_str().into())]));
        let storage = object(&[
            ("kind", kind.into()),
            ("taken", node.kept.taken.into()),
            ("isKeyHidden", node.kept.is_key_hidden.into()),
            ("damaged", list(damaged)),
            ("why", node.kept.why.clone().into()),
        ]);
        let member = &node.member;
        object(&[
            ("id", id_of(member.id())),
            ("cluster", format!("{:?}", member.cluster()).into()),
            ("name", member.label().into()),
            ("storage", storage),
        ])
    }

    /// Writes.
    #[must_use]
    pub fn write(&self, asked: JsValue, timeout: &JsValue) -> Promise {
        let (node, timeout) = (Rc::clone(&self.0), deadline(timeout));
        promise(async move {
            let command = command(&asked)?;
            command.check()?;
            let reply = within(node.kv()?, timeout).propose(command).await?;
            reply::of_write(reply)
        })
    }

    /// Reads: by the leader, or what is known here, if a greatest age is given; if that is infinite, whatever is known.
    #[must_use]
    pub fn read(&self, asked: JsValue, age_max: Option<f64>, timeout: &JsValue) -> Promise {
        let (node, timeout) = (Rc::clone(&self.0), deadline(timeout));
        promise(async move {
            let query = query(&asked)?;
            query.check()?;
            let kv = within(node.kv()?, timeout);
            let local = match age_max {
                None => return reply::of_read(found(kv.read(query).await?)?, None),
                Some(f64::INFINITY) => kv.read_local(query).await?,
                Some(age_max) => {
                    let age_max = Duration::try_from_secs_f64(age_max / 1000.0);
                    let age_max = age_max.unwrap_or_default();
                    kv.read_local_within(query, age_max).await?
                }
            };
            reply::of_read(found(local.answer)?, local.age)
        })
    }

    /// Watches keys, from a revision on if one is given.
    ///
    /// # Errors
    /// When the member has a machine.
    pub fn watch(&self, asked: &JsValue, from: &JsValue) -> Result<RawWatch, JsValue> {
        let member = self.0.kv()?.clone();
        Ok(RawWatch::new(member, keys(asked), whole(from)))
    }

    /// Opens an outbox.
    #[must_use]
    pub fn outbox(
        &self,
        name: String,
        commands_max: Option<u32>,
        bytes_max: Option<u32>,
        continues: bool,
    ) -> Promise {
        let node = Rc::clone(&self.0);
        promise(async move {
            let kv = node.kv()?;
            let mut config = OutboxConfig::default();
            if let Some(commands) = commands_max {
                config = config.commands_max(usize::try_from(commands).unwrap_or(usize::MAX));
            }
            if let Some(bytes) = bytes_max {
                config = config.bytes_max(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            if continues {
                config = config.on_expiry(OnExpiry::Continue);
            }
            if let Some(browser) = &node.kept.browser {
                config = config.store(browser.outbox(&name).await?);
            }
            Ok(RawOutbox::new(kv.outbox(config).await?).into())
        })
    }

    /// Has the machine apply a command.
    #[must_use]
    pub fn propose(&self, given: &JsValue, timeout: &JsValue) -> Promise {
        let (node, command, timeout) = (Rc::clone(&self.0), bytes(given), deadline(timeout));
        promise(async move {
            let command = command_of(command);
            let reply = within(node.machine()?, timeout).propose(command).await?;
            Ok(array(&reply_of(reply)?))
        })
    }

    /// Asks the machine: by the leader, or as this member knows it.
    #[must_use]
    pub fn query(&self, given: &JsValue, is_local: bool, timeout: &JsValue) -> Promise {
        let (node, question, timeout) = (Rc::clone(&self.0), bytes(given), deadline(timeout));
        promise(async move {
            let (machine, question) = (within(node.machine()?, timeout), query_of(question));
            let answer = match is_local {
                true => machine.read_local(question).await?.answer,
                false => machine.read(question).await?,
            };
            Ok(array(&answer_of(answer)?))
        })
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> JsValue {
        let Self(node) = self;
        of_status(&node.member.status().borrow(), node.reach.signaling())
    }

    /// Waits until it stands otherwise than when this was last asked. `undefined` once it has stopped.
    #[must_use]
    #[wasm_bindgen(js_name = nextStatus)]
    pub fn next_status(&self) -> Promise {
        let node = Rc::clone(&self.0);
        promise(async move {
            let mut feed = node.status.lock().await;
            Ok(feed.next(node.reach.signaling()).await)
        })
    }

    /// Waits for what happens next. `undefined` once it has stopped.
    #[must_use]
    #[wasm_bindgen(js_name = nextEvent)]
    pub fn next_event(&self) -> Promise {
        let node = Rc::clone(&self.0);
        promise(async move {
            let next = node.events.lock().await.next().await;
            Ok(next.map_or(JsValue::UNDEFINED, |event| of_happening(&event)))
        })
    }

    /// Waits until it takes part in its cluster.
    #[must_use]
    pub fn joined(&self, timeout: &JsValue) -> Promise {
        let member = self.0.within(deadline(timeout));
        promise(async move {
            let role = match member.joined().await? {
                Suffrage::Voter => "voter",
                Suffrage::Learner => "learner",
            };
            Ok(role.into())
        })
    }

    /// Who is in the cluster.
    #[must_use]
    pub fn members(&self) -> JsValue {
        let member = &self.0.member;
        of_members(member.id(), &member.status().borrow())
    }

    /// Hands leadership to this member, or to the best one.
    #[must_use]
    pub fn transfer(&self, to: Option<String>, timeout: &JsValue) -> Promise {
        let (node, timeout) = (Rc::clone(&self.0), deadline(timeout));
        promise(async move {
            let to = to.as_deref().map(server).transpose()?;
            Ok(id_of(node.within(timeout).transfer_leadership(to).await?))
        })
    }

    /// Removes a member for good.
    #[must_use]
    pub fn remove(&self, id: String, timeout: &JsValue) -> Promise {
        let (node, timeout) = (Rc::clone(&self.0), deadline(timeout));
        promise(async move {
            node.within(timeout).remove_server(server(&id)?).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Invites others: by the token that it has, or by another one if it has none that is good, or if the page says how
    /// often and how long it is to be.
    #[must_use]
    pub fn invite(
        &self,
        page: Option<String>,
        uses: Option<u32>,
        valid_for: &JsValue,
        timeout: &JsValue,
    ) -> Promise {
        let (node, timeout) = (Rc::clone(&self.0), deadline(timeout));
        let valid_for = whole(valid_for).map(Duration::from_millis);
        promise(async move {
            let invitation = node.invite(uses, valid_for, timeout).await?;
            Ok(of_invitation(&invitation, page.as_deref()))
        })
    }

    /// Makes an offer for another tab.
    #[must_use]
    pub fn offer(&self) -> Promise {
        let node = Rc::clone(&self.0);
        promise(async move {
            let offer = node.reach.by_hand()?.offer().await;
            let offer = offer.map_err(|error| Fault::not_done("refused", error))?;
            Ok(offer.into())
        })
    }

    /// Takes an offer or an answer of another tab.
    #[must_use]
    pub fn take(&self, text: String) -> Promise {
        let node = Rc::clone(&self.0);
        promise(async move {
            let taken = node.reach.by_hand()?.take(&text).await;
            let taken = taken.map_err(|error| Fault::not_done("refused", error))?;
            Ok(taken.into())
        })
    }

    /// Hands leadership over if it leads, and does not wait for what comes of it: its page is about to stop.
    #[wasm_bindgen(js_name = handOver)]
    pub fn hand_over(&self) {
        let member = self.0.member.clone();
        if member.status().borrow().is_leader() {
            spawn_local(async move {
                // Whoever would be told is frozen, or gone.
                let _untold = member.transfer_leadership(None).await;
            });
        }
    }

    /// Dials whom it does not reach at once: its page goes on, or may reach others again. Returns false if another page
    /// may have been given its server meanwhile: then it must stop.
    #[must_use]
    pub fn wake(&self) -> Promise {
        let node = Rc::clone(&self.0);
        promise(async move {
            node.reach.dial_now();
            Ok(match &node.kept.browser {
                Some(browser) => browser.is_ours().await.into(),
                None => true.into(),
            })
        })
    }

    /// Leaves the cluster for good.
    #[must_use]
    pub fn leave(&self, timeout: &JsValue) -> Promise {
        let (node, timeout) = (Rc::clone(&self.0), deadline(timeout));
        promise(async move {
            node.within(timeout).leave().await?;
            node.forget().await;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Tells why it has stopped. What it had stored is forgotten first, if it is never a member again.
    #[must_use]
    #[wasm_bindgen(js_name = afterStop)]
    pub fn after_stop(&self) -> Promise {
        let node = Rc::clone(&self.0);
        promise(async move {
            let status = node.member.status().borrow().clone();
            let is_over = is_removed(&status) || status.stopped == Some(StopReason::Forgot);
            if is_over {
                node.forget().await;
            }
            let reason = status.stopped.unwrap_or(StopReason::RuntimeEnded);
            Ok(Fault::from(&reason).into())
        })
    }

    /// Stops.
    #[must_use]
    pub fn stop(&self) -> Promise {
        let member = self.0.member.clone();
        promise(async move {
            member.stop().await;
            Ok(JsValue::UNDEFINED)
        })
    }
}

impl Node {
    fn of(started: Started) -> Self {
        let Started {
            member,
            has_machine,
            reach,
            kept,
            token,
        } = started;
        Self {
            token: RefCell::new(token),
            events: Mutex::new(member.events()),
            status: Mutex::new(StatusFeed::of(member.status())),
            member,
            has_machine,
            reach,
            kept,
        }
    }

    /// Returns its handle with this deadline for each call.
    fn within(&self, timeout: Timeout) -> Handle<Machine> {
        within(&self.member, timeout)
    }

    async fn forget(&self) {
        self.kept.forget(self.member.id()).await;
    }

    fn kv(&self) -> Result<&Handle<Machine>, Fault> {
        match self.has_machine {
            false => Ok(&self.member),
            true => Err(unsupported("a member with a machine has no keys")),
        }
    }

    fn machine(&self) -> Result<&Handle<Machine>, Fault> {
        match self.has_machine {
            true => Ok(&self.member),
            false => Err(unsupported("this member has no machine")),
        }
    }

    async fn invite(
        &self,
        uses: Option<u32>,
        valid_for: Option<Duration>,
        timeout: Timeout,
    ) -> Result<Invitation, Fault> {
        let member = self.within(timeout);
        let is_default = uses.is_none() && valid_for.is_none();
        let known = self.token.borrow().clone();
        let known = known.filter(|token| is_default && is_good(token, &member.status().borrow()));
        if let Some(token) = known {
            return Ok(member.contact().with_token(token));
        }
        let terms = Terms::membership()
            .with_uses(uses.unwrap_or(INVITATION_USES))
            .with_valid_for(valid_for.unwrap_or(INVITATION_VALID_FOR));
        let invitation = member.invite(terms).await?;
        if let Some(token) = invitation.token().filter(|_| is_default) {
            self.token.replace(Some(token.clone()));
            // The cluster knows it. Unless it is stored another one is made after a reload.
            let _unless_stored = self.kept.keep_token(token).await;
        }
        Ok(invitation)
    }
}

/// Returns true if the cluster still lets somebody in by a token.
fn is_good(token: &TokenSecret, status: &MemberStatus) -> bool {
    let raft = &status.raft;
    let known = raft
        .configuration
        .valid_token(token.key(), Grants::Membership, raft.last_stamp);
    known.is_ok()
}

/// Tells an invitation: its text, a link to the page with it, and the code of the link or of the text.
fn of_invitation(invitation: &Invitation, page: Option<&str>) -> JsValue {
    let text = invitation.to_string();
    let link = page.and_then(|page| invitation.link(page).ok());
    let code = qr::of(link.as_deref().unwrap_or(&text));
    object(&[("text", text.into()), ("link", link.into()), ("qr", code)])
}

fn within(member: &Handle<Machine>, timeout: Timeout) -> Handle<Machine> {
    timeout.map_or_else(|| member.clone(), |timeout| member.within(timeout))
}

fn deadline(timeout: &JsValue) -> Timeout {
    whole(timeout).map(Duration::from_millis)
}

fn server(id: &str) -> Result<ServerId, Fault> {
    let parsed = id.parse();
    parsed.map_err(|error: ParseIdError| Fault::not_done("invalid-argument", error))
}

fn unsupported(why: &str) -> Fault {
    Fault::not_done("unsupported", why)
}
