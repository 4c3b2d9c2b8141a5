//! Keeps a server's key where no script can read it: in the browser, which signs asynchronously, and stores it in a
//! database.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use js_sys::{Array, Uint8Array};
use liferaft_platform::PublicKey;
use liferaft_transport::endpoint::Signer;
use liferaft_transport::signing::SIGNATURE_BYTES;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{CryptoKey, SubtleCrypto};

use super::globals::property;
use crate::identity::Identity;

const ALGORITHM: &str = "Ed25519";

/// The most signatures that wait for the browser. More are not made.
const WAITING_MAX: usize = 64;

type Question = (Bytes, oneshot::Sender<[u8; SIGNATURE_BYTES]>);

/// A key pair of the browser's, whose secret half no script can read. It stays with the page's task.
pub(in crate::storage::browser) struct KeyPair {
    subtle: SubtleCrypto,
    pair: JsValue,
    public_key: PublicKey,
    private_key: CryptoKey,
}

impl KeyPair {
    /// Makes one. `None` where there are none: in pages that came over plain HTTP, and in browsers that do not know
    /// Ed25519.
    pub(in crate::storage::browser) async fn generate() -> Option<Self> {
        let subtle = subtle()?;
        let uses: Array = ["sign", "verify"].map(JsValue::from).into_iter().collect();
        let pair = subtle.generate_key_with_str(ALGORITHM, false, &uses).ok()?;
        Self::of(JsFuture::from(pair).await.ok()?).await
    }

    /// Takes up one that was made, and may have been stored since. `None` if it is none.
    pub(super) async fn of(pair: JsValue) -> Option<Self> {
        let subtle = subtle()?;
        let public_key = subtle.export_key("raw", &half(&pair, "publicKey")?).ok()?;
        let public_key = JsFuture::from(public_key).await.ok()?;
        let public_key = Uint8Array::new(&public_key).to_vec().try_into().ok()?;
        Some(Self {
            private_key: half(&pair, "privateKey")?,
            public_key: PublicKey(public_key),
            subtle,
            pair,
        })
    }

    /// Returns what a database stores.
    pub(super) const fn value(&self) -> &JsValue {
        &self.pair
    }

    /// Returns the identity that signs by it.
    pub(in crate::storage::browser) fn identity(&self) -> Identity {
        let (questions, asked) = mpsc::channel(WAITING_MAX);
        spawn_local(answer(self.subtle.clone(), self.private_key.clone(), asked));
        Identity::by(Arc::new(BrowserKey {
            public_key: self.public_key,
            questions: Mutex::new(questions),
        }))
    }
}

fn subtle() -> Option<SubtleCrypto> {
    let crypto = property(&js_sys::global(), "crypto");
    property(&crypto, "subtle").dyn_into().ok()
}

fn half(pair: &JsValue, name: &str) -> Option<CryptoKey> {
    property(pair, name).dyn_into().ok()
}

/// Asks a key of the browser's to sign, from wherever it is.
struct BrowserKey {
    public_key: PublicKey,
    questions: Mutex<mpsc::Sender<Question>>,
}

impl Signer for BrowserKey {
    fn public_key(&self) -> PublicKey {
        self.public_key
    }

    fn sign(&self, bytes: Bytes) -> BoxFuture<'static, Option<[u8; SIGNATURE_BYTES]>> {
        let (answer, signature) = oneshot::channel();
        let questions = self.questions.lock();
        let mut questions = questions.unwrap_or_else(PoisonError::into_inner);
        // A question that is not taken is dropped, and its answer with it.
        let _full = questions.try_send((bytes, answer));
        Box::pin(async { signature.await.ok() })
    }
}

impl fmt::Debug for BrowserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BrowserKey").field(&self.public_key).finish()
    }
}

/// Signs until the key is dropped. What cannot be signed is not answered.
async fn answer(subtle: SubtleCrypto, key: CryptoKey, mut asked: mpsc::Receiver<Question>) {
    while let Some((bytes, answer)) = asked.next().await {
        if let Some(signature) = sign(&subtle, &key, &bytes).await {
            // Whoever has asked may have gone.
            let _unheard = answer.send(signature);
        }
    }
}

async fn sign(
    subtle: &SubtleCrypto,
    key: &CryptoKey,
    bytes: &[u8],
) -> Option<[u8; SIGNATURE_BYTES]> {
    let bytes = Uint8Array::from(bytes);
    let signature = subtle.sign_with_str_and_buffer_source(ALGORITHM, key, &bytes);
    let signature = JsFuture::from(signature.ok()?).await.ok()?;
    Uint8Array::new(&signature).to_vec().try_into().ok()
}
