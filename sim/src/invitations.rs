//! Names what members of simulated clusters say of themselves, and the tokens by which they come, by small numbers.

use std::time::Duration;

use liferaft_raft::configuration::{
    AccessToken, Configuration, Description, Grants, PROTOCOL_VERSIONS, PublicKey, Scope, TokenKey,
    Versions,
};
use liferaft_raft::consensus::NewToken;
use liferaft_raft::time::ClusterTime;

/// The token by which whoever asks to join comes, if its cluster is closed.
pub(crate) const EVERYBODYS: AccessToken = AccessToken {
    key: TokenKey(PublicKey([0xff; 32])),
    grants: Grants::Membership,
    expires_at: ClusterTime(u64::MAX),
    uses_left: u32::MAX,
    scope: Scope::everything(),
};

/// As many versions of the protocol are spoken by some.
const VERSIONS: u8 = 3;

/// A description: the number is in its address, and in the versions that it speaks.
///
/// # Panics
/// Never: all such addresses are well formed.
#[must_use]
pub(crate) fn description(number: u8) -> Description {
    let address = format!("memory:{number}").parse();
    let versions = Versions {
        min: 1,
        max: 1 + u32::from(number % VERSIONS),
    };
    Description::default()
        .with_addresses([address.expect("it has a scheme and a number")])
        .with_versions(versions)
}

/// The number of a description; `None` if it has none.
#[must_use]
pub(crate) fn number_of(description: &Description) -> Option<u8> {
    let address = description.addresses().first()?;
    let number = address.rest().parse().ok()?;
    (self::description(number) == *description).then_some(number)
}

/// The token with this number: the higher, the longer it is good.
#[must_use]
pub(crate) fn token(number: u8) -> NewToken {
    NewToken {
        key: TokenKey(PublicKey([number; 32])),
        grants: Grants::Membership,
        valid_for: Duration::from_secs(1 + u64::from(number)),
        uses: 1 + u32::from(number) % 3,
        scope: Scope::everything(),
    }
}

/// The number of a token, by its key.
#[must_use]
pub(crate) fn number_of_token(key: TokenKey) -> u8 {
    key.0.0[0]
}

/// What a server says of itself that comes to a cluster of this configuration: nothing, unless it must speak a later
/// version of the protocol.
pub(crate) fn of_later_versions(configuration: &Configuration) -> Option<Description> {
    let is_later = configuration.version() > PROTOCOL_VERSIONS.max;
    is_later.then(|| description(VERSIONS - 1))
}
