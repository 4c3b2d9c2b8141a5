//! What keys and values are given as.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// What a key, a value, a prefix or a bound of a range can be given as: text or bytes, owned or borrowed.
///
/// What is owned is taken, [`Bytes`] are shared, and what is borrowed is copied, for however long it lives: a literal
/// too, unless it is given as [`Bytes::from_static`].
///
/// ```
/// # mod liferaft { pub use liferaft_kv as kv; }
/// use liferaft::kv::{Keys, Step};
///
/// let tent = String::from("tents/1");
/// let prefix = &tent[..6];
///
/// let steps = [Step::set(&tent, [1, 2, 3]), Step::set(prefix, b"two of them"), Step::get(tent)];
/// assert_eq!(steps[2].key(), steps[0].key());
/// assert!(Keys::prefix(b"tents/").contains(b"tents/1"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can be no key and no value",
    note = "keys and values are text or bytes, owned or borrowed: `&str`, `String`, `&[u8]`, `[u8; N]`, `Vec<u8>`, `Bytes`"
)]
pub trait IntoBytes {
    /// The bytes.
    fn into_bytes(self) -> Bytes;
}

/// What a value that may not exist is given as: whatever [`IntoBytes`] takes, or an `Option<Bytes>` such as
/// [`KvHandle::get`](crate::KvHandle::get) returns. `None` stands for a key that does not exist.
///
/// ```
/// # mod liferaft { pub use liferaft_kv as kv; }
/// use liferaft::kv::Step;
///
/// let name = String::from("Ada");
/// let taken = Step::compare_and_set("leader of the hike", None, &name);
/// let given_back = Step::compare_and_set("leader of the hike", name, None);
/// # let _ = (taken, given_back);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value that may not exist",
    note = "it is given as it is, without `Some`, or as `None`, or as an `Option<Bytes>`"
)]
pub trait IntoOptionalBytes {
    /// The bytes, if there is a value.
    fn into_optional_bytes(self) -> Option<Bytes>;
}

impl<T: IntoBytes> IntoOptionalBytes for T {
    fn into_optional_bytes(self) -> Option<Bytes> {
        Some(self.into_bytes())
    }
}

impl IntoOptionalBytes for Option<Bytes> {
    fn into_optional_bytes(self) -> Option<Bytes> {
        self
    }
}

/// What is taken as it is.
macro_rules! impl_for_owned {
    ($($owned:ty),*) => {$(
        impl IntoBytes for $owned {
            fn into_bytes(self) -> Bytes {
                self.into()
            }
        }
    )*};
}

/// What is copied.
macro_rules! impl_for_borrowed {
    ($($borrowed:ty),*) => {$(
        impl IntoBytes for &$borrowed {
            fn into_bytes(self) -> Bytes {
                Bytes::copy_from_slice(self.as_ref())
            }
        }
    )*};
}

impl_for_owned!(Bytes, BytesMut, Vec<u8>, Box<[u8]>, String);
impl_for_borrowed!(str, &str, String, [u8], &[u8], Vec<u8>);

impl IntoBytes for &Bytes {
    fn into_bytes(self) -> Bytes {
        self.clone()
    }
}

impl IntoBytes for Box<str> {
    fn into_bytes(self) -> Bytes {
        String::from(self).into()
    }
}

impl<const N: usize> IntoBytes for [u8; N] {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self)
    }
}

impl<const N: usize> IntoBytes for &[u8; N] {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl IntoBytes for Cow<'_, str> {
    fn into_bytes(self) -> Bytes {
        match self {
            Cow::Borrowed(text) => text.into_bytes(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl IntoBytes for Cow<'_, [u8]> {
    fn into_bytes(self) -> Bytes {
        match self {
            Cow::Borrowed(bytes) => bytes.into_bytes(),
            Cow::Owned(bytes) => bytes.into(),
        }
    }
}
