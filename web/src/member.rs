//! Gives JavaScript a member that keeps lines of text, as a chat.

use std::cell::RefCell;
use std::fmt::Display;
use std::sync::Arc;

use liferaft::platform;
use liferaft::transport::endpoint::Redial;
use liferaft::transport::token::TokenSecret;
use liferaft::transport::webrtc::{ByHand, WebRtcCarrier};
use liferaft::{
    Endpoint, Founding, Handle, Identity, Invitation, Kv, KvHandle, MemberBuilder, MemoryStorage,
    Storage, Terms,
};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::key::BrowserKey;
use crate::network::Network;
use crate::status::Status;

/// The sequence that holds the lines.
const CHAT: &str = "chat";

/// The most lines that are read at once.
const LINES_MAX: usize = 256;

/// How many may join by one invitation.
const INVITATION_USES: u32 = 64;

/// A member of a cluster, which runs until it is stopped or its page is gone. It keeps all in memory.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Member {
    handle: Handle<Kv>,
    kv: KvHandle,
    by_hand: ByHand,
    redial: Redial,
    is_key_hidden: bool,
    /// What its invitations let in by.
    token: RefCell<Option<TokenSecret>>,
}

#[wasm_bindgen]
impl Member {
    /// Founds a closed cluster, of which it is the first member, and is reached by this.
    ///
    /// # Errors
    /// When a room has no such address, or the member cannot start, as a text.
    pub async fn found(network: Network) -> Result<Member, JsError> {
        let mut storage = blank().await;
        let founding = Founding::by(storage.identity()).closed();
        founding.found(&mut storage).await.map_err(error)?;
        Self::start(storage, network, |member| member).await
    }

    /// Asks to join the cluster that an invitation is to: its text, or a link with it. It is reached by this.
    ///
    /// # Errors
    /// When there is no invitation in the text, a room has no such address, or the member cannot start, as a text.
    pub async fn join(invitation: String, network: Network) -> Result<Member, JsError> {
        let invitation: Invitation = invitation.parse().map_err(error)?;
        let storage = blank().await;
        Self::start(storage, network, |member| member.invited(invitation)).await
    }

    /// Returns true if no script can read its key: the browser keeps it.
    #[must_use]
    #[wasm_bindgen(getter, js_name = isKeyHidden)]
    pub fn is_key_hidden(&self) -> bool {
        self.is_key_hidden
    }

    /// Returns where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.handle)
    }

    /// Appends a line, and returns its place among all lines.
    ///
    /// # Errors
    /// When that was not done, or nobody knows, as a text.
    pub async fn say(&self, line: String) -> Result<u64, JsError> {
        Ok(self.kv.append(CHAT, line).await.map_err(error)?.value)
    }

    /// Returns the lines from this place on, as far as the member has them.
    ///
    /// # Errors
    /// When it cannot read any more, as a text.
    pub async fn lines(&self, from: u64) -> Result<Vec<String>, JsError> {
        let read = self.kv.read_sequence_local(CHAT, from, LINES_MAX).await;
        let lines = read.map_err(error)?.answer.value.values;
        let lines = lines.iter();
        Ok(lines
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect())
    }

    /// Returns an invitation to its cluster as that is now, always with the same token, which is made when it is first
    /// asked for. It is a secret: whoever has it may join.
    ///
    /// # Errors
    /// When the cluster does not answer, as a text.
    pub async fn invite(&self) -> Result<String, JsError> {
        let known = self.token.borrow().clone();
        let token = match known {
            Some(token) => token,
            None => {
                let terms = Terms::membership().with_uses(INVITATION_USES);
                let invitation = self.handle.invite(terms).await.map_err(error)?;
                let token = invitation.token().cloned();
                let token = token.ok_or_else(|| JsError::new("the invitation has no token"))?;
                self.token.replace(Some(token.clone()));
                token
            }
        };
        Ok(self.handle.contact().with_token(token).to_string())
    }

    /// Makes an offer: a text for another tab to [`take`](Self::take), which connects both without a server.
    ///
    /// # Errors
    /// When none can be made, as a text.
    pub async fn offer(&self) -> Result<String, JsError> {
        self.by_hand.offer().await.map_err(error)
    }

    /// Takes an offer of another tab, and returns the answer that is to be given to that; or takes an answer.
    ///
    /// # Errors
    /// When it is neither, or nobody waits for it, as a text.
    pub async fn take(&self, text: String) -> Result<Option<String>, JsError> {
        self.by_hand.take(&text).await.map_err(error)
    }

    /// Hands leadership over if it leads, and does not wait for what comes of it: its page is about to stop.
    #[wasm_bindgen(js_name = handOver)]
    pub fn hand_over(&self) {
        if self.handle.status().borrow().is_leader() {
            let handle = self.handle.clone();
            platform::spawn(async move {
                // Whoever would be told is frozen, or gone.
                let _untold = handle.transfer_leadership(None).await;
            });
        }
    }

    /// Dials whom it does not reach at once: its page goes on, or may reach others again.
    pub fn wake(&self) {
        self.redial.now();
    }

    /// Leaves the cluster for good.
    ///
    /// # Errors
    /// When nobody lets it go, as a text.
    pub async fn leave(&self) -> Result<(), JsError> {
        self.handle.leave().await.map_err(error)
    }

    async fn start(
        storage: MemoryStorage,
        network: Network,
        prepare: impl FnOnce(MemberBuilder<Kv>) -> MemberBuilder<Kv>,
    ) -> Result<Self, JsError> {
        let room = network.room()?;
        let addresses = room.map(|room| room.address_of(storage.identity().id()));
        let config = network.config()?;
        let carrier = WebRtcCarrier::dial_only(config);
        let by_hand = carrier.by_hand();
        let mut transport = Endpoint::new(storage.identity().clone(), carrier);
        let redial = transport.redial();
        let is_key_hidden = storage.identity().secret_key().is_none();
        let member = liferaft::Member::builder(Kv::new(), transport, storage).addresses(addresses);
        let handle = prepare(member).start().await.map_err(error)?;
        let kv = KvHandle::new(handle.clone());
        let token = RefCell::new(None);
        Ok(Self {
            handle,
            kv,
            by_hand,
            redial,
            is_key_hidden,
            token,
        })
    }
}

/// Storage of a server that there was never before.
async fn blank() -> MemoryStorage {
    match BrowserKey::generate().await {
        Some(key) => MemoryStorage::of(Identity::by(Arc::new(key))),
        None => MemoryStorage::default(),
    }
}

fn error(error: impl Display) -> JsError {
    JsError::new(&error.to_string())
}
