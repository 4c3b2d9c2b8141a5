//! The errors of invitations and of servers that show an old start, with their texts.

use liferaft::ServerId;
use liferaft::boots::OldBoot;
use liferaft::transport::invitation::{InvitationError, ParseInvitationError};

use crate::row::Row;

const ADA: ServerId = ServerId(0x1f);

/// All rows.
pub(crate) fn table() -> Vec<Row> {
    let few = InvitationError::Count {
        what: "inviters",
        count: 0,
        min: 1,
        max: 4,
    };
    let changed = ParseInvitationError::BadCharacter {
        character: '.',
        position: 7,
    };
    causes! {
        "OldBoot::Older": OldBoot::Older { server: ADA, shown: 2, seen: 3 }
            => "boot 2 of server 0x1f is shown, and boot 3 was seen: its storage was set back, or a copy of it is in \
                use";
        "OldBoot::Forked": OldBoot::Forked { server: ADA, shown: 9, seen: 3 }
            => "boot 9 of server 0x1f is shown, with another boot 3 before it than was seen: its storage was set back \
                and started since, or a copy of it is in use";
        "OldBoot::Twin": OldBoot::Twin { server: ADA, number: 3 }
            => "two boots of server 0x1f have number 3: its storage was set back, or two copies of it are in use";
        "InvitationError::Count": few => "an invitation has 1 to 4 inviters, not 0";
        "InvitationError::Room": InvitationError::Room => "a room has a name of 1 to 64 visible ASCII characters";
        "InvitationError::Page": InvitationError::Page => "a link leads to a page https://… or http://…, of at most \
                1024 visible ASCII characters, without #";
        "InvitationError::QrTooLong": InvitationError::QrTooLong { bytes: 426 }
            => "a text of 426 bytes is too long for a QR code of 80 columns";
        "ParseInvitationError::Empty": ParseInvitationError::Empty
            => "there is no invitation: the text is empty";
        "ParseInvitationError::TooLong": ParseInvitationError::TooLong { bytes: 9_000 }
            => "9000 bytes are no invitation: it has at most 8192";
        "ParseInvitationError::NoFragment": ParseInvitationError::NoFragment
            => "the link has lost what comes behind #, which is the invitation";
        "ParseInvitationError::BadCharacter": changed
            => "'.' at byte 7 is in no invitation: copy nothing else than it, from liferaft: to its end";
        "ParseInvitationError::CutShort": ParseInvitationError::CutShort { missing: 5 }
            => "the invitation is cut short: at its end 5 characters are missing";
        "ParseInvitationError::Continues": ParseInvitationError::Continues { position: 99 }
            => "the invitation ends before byte 99, and the text goes on";
        "ParseInvitationError::Damaged": ParseInvitationError::Damaged
            => "this is no invitation, or a damaged one, of which a character was changed, lost or added: copy it from liferaft: to its end";
        "ParseInvitationError::NewerVersion": ParseInvitationError::NewerVersion { version: 2 }
            => "the invitation is of version 2, and this program knows 1: use a newer one";
        "ParseInvitationError::Senseless": ParseInvitationError::Senseless { reason: "why" }
            => "the invitation makes no sense: why";
    }
}
