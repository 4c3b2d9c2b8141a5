//! Asks servers of HTTP for short texts, which take no library: the request says the version before all that is hard.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::super::target::Target;

/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Ends the head of an answer.
const HEAD_END: &str = "\r\n\r\n";

/// Asks for a text of at most so many bytes, on a connection that is there for that alone. By HTTP/1.0 it ends where
/// the connection does (RFC 1945, section 7.2.2).
pub(super) async fn fetch(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    target: &Target,
    bytes_max: usize,
) -> io::Result<String> {
    let Target {
        host,
        port,
        resource,
        ..
    } = target;
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.clone(),
    };
    let request = format!(
        "GET {resource} HTTP/1.0\r\nHost: {host}:{port}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let most = HEAD_BYTES_MAX + bytes_max;
    let mut answer = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    stream.take(limit + 1).read_to_end(&mut answer).await?;
    let refused = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let answer = String::from_utf8(answer).map_err(|_| refused("it answers no text"))?;
    let (head, body) = answer
        .split_once(HEAD_END)
        .ok_or_else(|| refused("it answers no HTTP"))?;
    let status = head.split(' ').nth(1);
    match status {
        Some("200") if head.starts_with("HTTP/1.") && body.len() <= bytes_max => {
            Ok(body.to_owned())
        }
        Some("200") => Err(refused("it says too much")),
        _ => Err(refused("it refuses")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is made of an answer, and what was asked.
    async fn fetched(answer: &str) -> (io::Result<String>, String) {
        let (near, mut far) = tokio::io::duplex(1024 * 1024);
        far.write_all(answer.as_bytes())
            .await
            .expect("there is room");
        far.shutdown().await.expect("it is open");
        let target = Target {
            is_secure: false,
            host: "::1".to_owned(),
            port: 80,
            resource: "/room/peers".to_owned(),
            pin: None,
        };
        let fetched = fetch(near, &target, 16).await;
        let mut asked = String::new();
        far.read_to_string(&mut asked).await.expect("it is text");
        (fetched, asked)
    }

    #[tokio::test]
    async fn a_short_text_is_fetched_by_one_request() {
        let (text, asked) = fetched("HTTP/1.1 200 OK\r\nA: b\r\n\r\n[\"a\"]").await;

        assert_eq!(text.ok().as_deref(), Some("[\"a\"]"));
        assert!(
            asked.starts_with("GET /room/peers HTTP/1.0\r\nHost: [::1]:80\r\n"),
            "{asked}"
        );
        assert!(asked.ends_with(HEAD_END));
    }

    #[tokio::test]
    async fn what_is_no_short_text_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(17));
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "a".repeat(100_000));

        for answer in [
            "",
            "garbage",
            "HTTP/1.1 401 Unauthorized\r\n\r\n[]",
            "FTP/1.1 200 OK\r\n\r\n[]",
            &long,
            &endless,
        ] {
            let (text, _) = fetched(answer).await;
            assert!(text.is_err(), "{text:?}");
        }
    }
}
