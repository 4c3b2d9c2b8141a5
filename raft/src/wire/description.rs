//! Encodes what servers say of themselves, in configurations and in the requests that lead to them.

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;

use super::field::{self, List, required};
use super::{DecodeError, proto};
use crate::configuration::{
    ADDRESSES_MAX, Address, Description, Label, PublicKey, SIGNATURE_BYTES, Versions, Voucher,
};

const PART: &str = "description of a server";

pub(super) fn encode_description(description: &Description) -> Bytes {
    proto_description(description).encode_to_vec().into()
}

pub(super) fn proto_description(description: &Description) -> proto::Description {
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let addresses = description.addresses().iter();
    proto::Description {
        public_key: description.public_key().as_ref().map(key_bytes),
        label: text(description.label().as_str()),
        addresses: addresses.map(|address| text(address.as_str())).collect(),
        version_min: Some(description.versions().min),
        version_max: Some(description.versions().max),
    }
}

/// Reads a description, which may hold unknown fields. Nothing of the frame that brought it is kept in memory.
pub(super) fn description(value: Option<Bytes>) -> Result<Description, DecodeError> {
    let list = List {
        items: "addresses",
        field: proto::Description::ADDRESSES,
        count_max: ADDRESSES_MAX,
    };
    let bytes = required(value, PART)?;
    let read: proto::Description = field::decode_list(bytes, PART, &list)?;
    let addresses = read.addresses.iter();
    let addresses = addresses.map(|bytes| text::<Address>(bytes, "address"));
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    let versions = Versions {
        min: required(read.version_min, "lowest version")?,
        max: required(read.version_max, "highest version")?,
    };
    let described = match read.public_key {
        Some(public_key) => Description::of(key(Some(public_key), "public key")?),
        None => Description::default(),
    };
    Ok(described
        .with_label(text::<Label>(&read.label, "label")?)
        .with_addresses(addresses)
        .with_versions(versions))
}

/// A text that keeps to the rules of its type.
fn text<T: core::str::FromStr>(bytes: &[u8], part: &'static str) -> Result<T, DecodeError> {
    let text = core::str::from_utf8(bytes).ok();
    let parsed = text.and_then(|text| text.parse().ok());
    parsed.ok_or(DecodeError::Malformed { part })
}

pub(super) fn proto_voucher(voucher: &Voucher) -> proto::Voucher {
    proto::Voucher {
        by: Some(key_bytes(&voucher.by)),
        signature: Some(Bytes::copy_from_slice(&voucher.signature)),
    }
}

pub(super) fn voucher(read: proto::Voucher) -> Result<Voucher, DecodeError> {
    Ok(Voucher {
        by: key(read.by, "key of a voucher")?,
        signature: field::array::<SIGNATURE_BYTES>(read.signature, "signature of a voucher")?,
    })
}

pub(super) fn key_bytes(key: &PublicKey) -> Bytes {
    Bytes::copy_from_slice(&key.0)
}

/// An Ed25519 key of exactly 32 bytes.
pub(super) fn key(value: Option<Bytes>, field: &'static str) -> Result<PublicKey, DecodeError> {
    field::array(value, field).map(PublicKey)
}
