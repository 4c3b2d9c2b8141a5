//! Draws invitations and addresses as QR codes on the terminal, for whoever has a camera.

use console::Term;
use liferaft::Invitation;
use liferaft::configuration::Address;
use liferaft::transport::invitation::qr;

/// Returns the QR code of an invitation, as wide as the terminal at most. **It is a secret as the invitation is.**
///
/// Where a code has no room for all of its addresses, it has the first of them alone, and one by which a member is
/// found in a room if there is one: whoever has the camera may be anywhere. Returns `None` where there is no room for
/// any, or the standard output is no terminal: the text says the same.
pub(crate) fn of(invitation: &Invitation) -> Option<String> {
    let terminal = Term::stdout();
    let (_rows, columns) = terminal.is_term().then(|| terminal.size_checked())??;
    drawn(invitation, columns.into())
}

/// Returns the QR code of a short text, as an address, under the same conditions.
pub(crate) fn of_text(text: &str) -> Option<String> {
    let terminal = Term::stdout();
    let (_rows, columns) = terminal.is_term().then(|| terminal.size_checked())??;
    qr(text).ok().filter(|code| fits(code, columns.into()))
}

fn fits(code: &str, columns: usize) -> bool {
    code.lines().all(|line| line.chars().count() <= columns)
}

fn drawn(invitation: &Invitation, columns: usize) -> Option<String> {
    let mut addresses = invitation.addresses().to_vec();
    loop {
        let shorter = invitation.clone().with_addresses(addresses.clone());
        let code = shorter.ok()?.qr().ok();
        let fitting = code.filter(|code| fits(code, columns));
        if fitting.is_some() || addresses.len() <= 1 {
            return fitting;
        }
        let place = one_too_many(&addresses);
        addresses.remove(place);
    }
}

/// Returns the place of the last address, but of the only one in a room only when there is one other.
fn one_too_many(addresses: &[Address]) -> usize {
    let last = addresses.len() - 1;
    let in_rooms = addresses.iter().filter(|address| address.is_signaled());
    let is_only_room = in_rooms.count() == 1 && addresses[last].is_signaled();
    if is_only_room && last > 1 {
        last - 1
    } else {
        last
    }
}

#[cfg(test)]
mod tests {
    use liferaft::ClusterId;
    use liferaft::platform::PublicKey;

    use super::*;

    /// An invitation by four members, with so many addresses of WebRTC.
    fn invitation(addresses: usize) -> Invitation {
        let inviters = [1, 2, 3, 4].map(|byte| PublicKey([byte; 32]));
        let pin = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        let address = |host| format!("rtc://192.0.2.{host}:4000#sha256={pin}").parse();
        let addresses: Result<Vec<_>, _> = (1..=addresses).map(address).collect();
        let invitation = Invitation::new(ClusterId(u128::MAX), inviters).expect("they are few");
        let addresses = addresses.expect("they are short");
        invitation
            .with_addresses(addresses)
            .expect("they are few as well")
    }

    #[test]
    fn a_code_has_as_many_addresses_as_it_has_room_for() {
        let (one, eight) = (drawn(&invitation(1), 80), drawn(&invitation(8), 80));

        assert!(one.is_some());
        assert!(invitation(8).qr().is_err());
        assert_eq!(eight, drawn(&invitation(2), 80).or(one));
    }

    #[test]
    fn one_address_in_a_room_stays_as_long_as_another_does() {
        let all = [
            "ws://a:1",
            "ws://b:1",
            "rtc+ws://s/room/1",
            "rtc+ws://s/room/2",
        ];
        let read = |text: &&str| text.parse().expect("it is an address");
        let mut left: Vec<Address> = all.iter().map(read).collect();

        let mut removed = Vec::new();
        while !left.is_empty() {
            let place = one_too_many(&left);
            removed.push(left.remove(place).to_string());
        }

        assert_eq!(removed, [all[3], all[1], all[2], all[0]]);
    }

    #[test]
    fn a_terminal_that_is_too_narrow_shows_no_code() {
        assert_eq!(drawn(&invitation(1), 40), None);
    }
}
