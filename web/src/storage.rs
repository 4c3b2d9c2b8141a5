//! Opens where a member keeps its state: in the browser, or in memory.

use liferaft::storage::{BrowserHandle, BrowserOptions, Taken, hidden_identity};
use liferaft::transport::token::TokenSecret;
use liferaft::{BrowserStorage, ClusterId, MemoryStorage, ServerId, Storage, StorageError};

use crate::options::Options;

/// The room of members that name none.
const ROOM: &str = "default";

/// Where a member keeps its state.
pub(crate) struct Opened<S> {
    pub(crate) storage: S,
    pub(crate) kept: Kept,
}

/// What is known of where a member keeps its state, and reaches it.
#[derive(Debug)]
pub(crate) struct Kept {
    /// `None` in memory.
    pub(crate) browser: Option<BrowserHandle>,
    pub(crate) room: String,
    pub(crate) taken: &'static str,
    /// True if no script can read its key.
    pub(crate) is_key_hidden: bool,
    /// Which stored servers were passed over, and why.
    pub(crate) damaged: Vec<(ServerId, String)>,
    /// Why it is in memory although the browser would have done.
    pub(crate) why: Option<String>,
    /// The token by which it invited others before.
    pub(crate) token: Option<TokenSecret>,
}

impl Kept {
    /// Keeps a token for when the page is loaded anew.
    pub(crate) async fn keep_token(&self, token: &TokenSecret) -> Result<(), StorageError> {
        match &self.browser {
            Some(browser) => browser.keep_token(token).await,
            None => Ok(()),
        }
    }

    /// Forgets a server that is no member for good. Its member has stopped.
    pub(crate) async fn forget(&self, server: ServerId) {
        if self.browser.is_some() {
            // Whoever finds it stored is told once more that it is none.
            let _unless_in_use = BrowserStorage::forget(&self.room, server).await;
        }
    }
}

/// Which of a browser's servers will do.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    /// None that is stored.
    Fresh,
    /// One of this cluster, or of none, or another one.
    Of(ClusterId),
    /// One of any cluster.
    Stored,
}

/// Opens a stored server, or makes one, as the page wants it. `None` if there is none to go on as.
pub(crate) async fn in_browser(
    options: &Options,
    wanted: Wanted,
) -> Result<Option<Opened<BrowserStorage>>, StorageError> {
    let room = options.text("room");
    let room = room.unwrap_or_else(|| ROOM.to_owned());
    let wanted = match wanted {
        Wanted::Fresh => BrowserOptions::fresh(),
        Wanted::Of(cluster) => BrowserOptions::of_cluster(cluster),
        Wanted::Stored => BrowserOptions::resume(),
    };
    let storage = match BrowserStorage::open(&room, wanted).await {
        Ok(storage) => storage,
        Err(StorageError::Blank { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = storage.damaged().iter();
    let kept = Kept {
        browser: Some(storage.handle()),
        damaged: damaged
            .map(|(id, error)| (*id, error.to_string()))
            .collect(),
        room,
        taken: match storage.taken() {
            Taken::Stored => "stored",
            Taken::New => "new",
            Taken::NewAfterLoss => "new-after-loss",
        },
        is_key_hidden: storage.identity().secret_key().is_none(),
        why: None,
        token: storage.token().cloned(),
    };
    Ok(Some(Opened { storage, kept }))
}

/// Makes a server that there was never before, in memory. No script can read its key if the browser keeps it.
pub(crate) async fn in_memory(why: Option<String>) -> Opened<MemoryStorage> {
    let identity = hidden_identity().await;
    let storage = identity.map_or_else(MemoryStorage::default, MemoryStorage::of);
    let kept = Kept {
        browser: None,
        room: String::new(),
        damaged: Vec::new(),
        taken: "new",
        is_key_hidden: storage.identity().secret_key().is_none(),
        why,
        token: None,
    };
    Opened { storage, kept }
}
