//! Reads the servers of STUN and TURN that a file names, in the form in which browsers take them (`RTCIceServer`). It
//! is read whenever they are needed, so that whoever renews credentials writes them there, and none is in the arguments
//! of a process, which everybody sees.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use liferaft::transport::webrtc::IceServer;
use serde::Deserialize;

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A server, as browsers name it. What else there is, as a type of the credential, is for browsers.
#[derive(Deserialize)]
struct Named {
    urls: Urls,
    username: Option<String>,
    credential: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Urls {
    One(String),
    Several(Vec<String>),
}

/// Reads all servers of a file.
///
/// # Errors
/// If it cannot be read, is too long, or has another form, or if one of the servers is none.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<IceServer>> {
    let mut text = String::new();
    // A pipe has nothing more to read the second time, and keeps whoever opens it waiting.
    ensure!(
        file.metadata().is_ok_and(|metadata| metadata.is_file()),
        "{} is no file",
        file.display()
    );
    let reading = || format!("cannot read {}", file.display());
    let opened = File::open(file).with_context(reading)?;
    let mut start = opened.take(FILE_BYTES_MAX + 1);
    start.read_to_string(&mut text).with_context(reading)?;
    ensure!(
        text.len() as u64 <= FILE_BYTES_MAX,
        "{} has more than {FILE_BYTES_MAX} bytes",
        file.display()
    );
    parse(&text).with_context(|| {
        format!(
            "{} is no list of servers, as [{{\"urls\": \"stun:stun.example\"}}, {{\"urls\": \"turn:turn.example\", \
             \"username\": \"van\", \"credential\": \"SECRET\"}}]",
            file.display()
        )
    })
}

/// Returns what the file names by now; nothing, and says so in the log, if it cannot be read.
pub(super) fn read_again(file: &Path) -> Vec<IceServer> {
    read(file).unwrap_or_else(|error| {
        tracing::warn!("no servers of STUN and TURN: {error:#}");
        Vec::new()
    })
}

/// Says where a text is wrong, and not how: that repeats what stands there, which may be a secret.
fn parse(text: &str) -> anyhow::Result<Vec<IceServer>> {
    let named: Vec<Named> = serde_json::from_str(text)
        .map_err(|error| anyhow!("line {}, column {}", error.line(), error.column()))?;
    let servers = named.into_iter().zip(1..).map(|(named, place)| {
        let mut server = IceServer::stun("");
        server.urls = match named.urls {
            Urls::One(url) => vec![url],
            Urls::Several(urls) => urls,
        };
        server.username = named.username;
        server.credential = named.credential;
        let checked = server.check();
        checked.with_context(|| format!("server {place} of the list"))?;
        Ok(server)
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_browsers_name_them() {
        let text = r#"[
            {"urls": "stun:stun.example"},
            {"urls": ["turn:a.example", "turn:b.example"], "username": "van", "credential": "secret",
             "credentialType": "password"}
        ]"#;

        let servers = parse(text).expect("it is well made");

        let mut of_turn = IceServer::turn("turn:a.example", "van", "secret");
        of_turn.urls.push("turn:b.example".to_owned());
        assert_eq!(servers, [IceServer::stun("stun:stun.example"), of_turn]);
    }

    #[test]
    fn what_is_no_list_of_servers_is_refused_without_its_secrets() {
        for text in [
            "",
            "{}",
            r#""secret""#,
            r#"[{"credential": "secret"}]"#,
            r#"[{"urls": "turn:a.example", "credential": ["secret"]}]"#,
            r#"[{"urls": "turn:a.example", "secret", "#,
            r#"[{"urls": 1}]"#,
            r#"[{"urls": []}]"#,
            r#"[{"urls": "http://secret.example"}]"#,
            r#"[{"urls": "turn:a.example", "credential": "secret"}]"#,
        ] {
            let error = format!("{:#}", parse(text).expect_err(text));

            assert!(!error.contains("secret"), "{error}");
        }
    }
}
