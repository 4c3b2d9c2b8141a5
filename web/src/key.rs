//! Keeps a server's key where no script can read it: in the browser, which signs asynchronously.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use js_sys::{Array, Reflect, Uint8Array};
use liferaft::platform::PublicKey;
use liferaft::transport::endpoint::Signer;
use liferaft::transport::signing::SIGNATURE_BYTES;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{CryptoKey, SubtleCrypto};

const ALGORITHM: &str = "Ed25519";

/// The most signatures that wait for the browser. More are not made.
const WAITING_MAX: usize = 64;

type Question = (Bytes, oneshot::Sender<[u8; SIGNATURE_BYTES]>);

/// A key of the browser's. It is an object of JavaScript's, which stays with a task: this is what asks that.
pub(crate) struct BrowserKey {
    public_key: PublicKey,
    questions: Mutex<mpsc::Sender<Question>>,
}

impl BrowserKey {
    /// Makes a key that cannot be taken out of the browser. `None` where there are none: in pages that came over plain
    /// HTTP, and in browsers that do not know Ed25519.
    pub(crate) async fn generate() -> Option<Self> {
        let crypto = Reflect::get(&js_sys::global(), &"crypto".into()).ok()?;
        let subtle = Reflect::get(&crypto, &"subtle".into()).ok()?;
        let subtle: SubtleCrypto = subtle.dyn_into().ok()?;
        let uses: Array = ["sign", "verify"].map(JsValue::from).into_iter().collect();
        let pair = subtle.generate_key_with_str(ALGORITHM, false, &uses).ok()?;
        let pair = JsFuture::from(pair).await.ok()?;
        let half = |name: &str| -> Option<CryptoKey> {
            let half = Reflect::get(&pair, &name.into()).ok()?;
            half.dyn_into().ok()
        };
        let (public_key, private_key) = (half("publicKey")?, half("privateKey")?);
        let exported = subtle.export_key("raw", &public_key).ok()?;
        let exported = JsFuture::from(exported).await.ok()?;
        let public_key = Uint8Array::new(&exported).to_vec().try_into().ok()?;
        let (questions, asked) = mpsc::channel(WAITING_MAX);
        spawn_local(answer(subtle, private_key, asked));
        Some(Self {
            public_key: PublicKey(public_key),
            questions: Mutex::new(questions),
        })
    }
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
