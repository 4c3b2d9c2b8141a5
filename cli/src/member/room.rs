//! Reads where a room of a signaling server is, as people have it: the link of a page that is in it, or its address.

use form_urlencoded::parse;
use liferaft::transport::signaling::SignalingServer;

// The parameters of a link: the room, and its server where the page is from elsewhere.
const ROOM: &str = "channel";
const SERVER: &str = "server";

/// Reads the link of a page (`http://host/?channel=ROOM#firstServer`), or the address of a room (`ws://host/ROOM`).
///
/// What a link has behind `#` is for those who open it: it may be an invitation, which is a secret, so that errors do
/// not repeat it.
///
/// # Errors
/// Says what is wrong, and names right forms.
pub(super) fn read(text: &str) -> Result<SignalingServer, String> {
    let shown = shown(text);
    let wrong = |what: &str| {
        format!(
            "--room {shown}: {what}: it is the link of a room, as https://signaling.example/?channel=ROOM, or its \
             address, as wss://signaling.example/ROOM"
        )
    };
    let address = match shown.split_once("://") {
        Some(("ws" | "wss", _)) => shown.to_owned(),
        Some((scheme @ ("http" | "https"), rest)) => {
            let (page, query) = rest.split_once('?').unwrap_or((rest, ""));
            let of = |name| parse(query.as_bytes()).find(|(known, _)| known == name);
            let Some((_, room)) = of(ROOM) else {
                let server = page.trim_end_matches("/new").trim_end_matches('/');
                let hint = format!("there is no room in it, and {scheme}://{server}/new makes one");
                return Err(wrong(&hint));
            };
            if room.contains('/') {
                return Err(wrong("that is no name of a room"));
            }
            let server = match of(SERVER) {
                Some((_, server)) => server.into_owned(),
                None => {
                    let folder = page.rfind('/').map_or(page, |end| &page[..end]);
                    format!("{scheme}://{folder}")
                }
            };
            let Some(server) = server.strip_prefix("http") else {
                return Err(wrong("its server is none of http:// or https://"));
            };
            format!("ws{}/{room}", server.trim_end_matches('/'))
        }
        _ => {
            return Err(wrong(
                "there is no http://, https://, ws:// or wss:// at its beginning",
            ));
        }
    };
    SignalingServer::at(&address).map_err(|error| wrong(&error.to_string()))
}

/// Returns what may be shown of the link of a room.
pub(super) fn shown(text: &str) -> &str {
    text.split('#').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use liferaft::ServerId;

    use super::*;

    fn address_in(text: &str) -> String {
        let server = read(text).expect(text);
        server.address_of(ServerId::from(7)).to_string()
    }

    #[test]
    fn a_room_is_read_as_people_have_it() {
        let id = "00000000000000000000000000000007";
        let room = "0123456789abcdefghjk";

        for (text, address) in [
            (
                "http://127.0.0.1:9000/?channel={room}#firstServer",
                "rtc+ws://127.0.0.1:9000/{room}/{id}",
            ),
            (
                " https://a.example/?channel={room}\n",
                "rtc+wss://a.example/{room}/{id}",
            ),
            (
                "https://a.example/b/page.html?x=1&channel={room}#AQBp",
                "rtc+wss://a.example/b/{room}/{id}",
            ),
            (
                "http://[::1]:8/p.html?channel={room}&server=http%3A%2F%2F127.0.0.1%3A9000",
                "rtc+ws://127.0.0.1:9000/{room}/{id}",
            ),
            (
                "https://a.example?channel={room}",
                "rtc+wss://a.example/{room}/{id}",
            ),
            ("wss://a.example/peerjs", "rtc+wss://a.example/peerjs/{id}"),
            (
                "ws://127.0.0.1:9000/b/{room}#AQBp",
                "rtc+ws://127.0.0.1:9000/b/{room}/{id}",
            ),
        ] {
            let filled = |text: &str| text.replace("{room}", room).replace("{id}", id);
            assert_eq!(address_in(&filled(text)), filled(address));
        }
    }

    #[test]
    fn what_names_no_room_is_refused_with_a_right_form_and_no_secret() {
        for (wrong, why) in [
            ("", "no http://"),
            ("127.0.0.1:9000", "no http://"),
            ("127.0.0.1:9000/?channel=1", "no http://"),
            (
                "http://127.0.0.1:9000",
                "http://127.0.0.1:9000/new makes one",
            ),
            (
                "http://127.0.0.1:9000/new#SECRET",
                "http://127.0.0.1:9000/new makes one",
            ),
            (
                "https://a.example/b/#SECRET",
                "https://a.example/b/new makes one",
            ),
            ("http://a/?channel=", "no signaling server"),
            ("http://a/?channel=../b", "no name of a room"),
            (
                "http://a/?channel=1&server=ftp://b",
                "its server is none of",
            ),
            ("http:///?channel=1", "no signaling server"),
            ("ws://a.example", "no signaling server"),
            ("rtc+ws://a.example/1/2#SECRET", "no http://"),
        ] {
            let refused = read(wrong).expect_err(wrong);

            assert!(refused.contains(why), "{wrong}: {refused}");
            assert!(refused.contains("?channel=ROOM"), "{wrong}: {refused}");
            assert!(!refused.contains("SECRET"), "{refused}");
        }
    }
}
