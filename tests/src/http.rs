//! Requests by HTTP, made by hand: what is asked, and nothing else, goes over the wire.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::namespace::Namespace;
use crate::wait::PROMPT;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// All of its head, the status included.
    pub head: String,
    /// What follows.
    pub body: String,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A connection to an address of a namespace.
///
/// # Errors
/// When it can't be had, or what waits takes longer than anything may.
pub fn connect(namespace: &Namespace, address: SocketAddr) -> Result<TcpStream> {
    let stream = namespace.enter(|| TcpStream::connect_timeout(&address, PROMPT))??;
    stream.set_read_timeout(Some(PROMPT))?;
    stream.set_write_timeout(Some(PROMPT))?;
    Ok(stream)
}

/// Gets what is at `path`, as a program that names the address as the host.
///
/// # Errors
/// When there is no answer.
pub fn get(namespace: &Namespace, address: SocketAddr, path: &str) -> Result<Answer> {
    ask(namespace, address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// Sends a request as it stands, and reads until the connection ends.
///
/// # Errors
/// When there is no answer.
pub fn ask(namespace: &Namespace, address: SocketAddr, request: &str) -> Result<Answer> {
    let mut stream = connect(namespace, address)?;
    stream.write_all(request.as_bytes())?;
    read(&mut stream)
}

/// Reads an answer until the connection ends.
///
/// # Errors
/// When it is none.
pub fn read(stream: &mut TcpStream) -> Result<Answer> {
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("no answer, but {text:?} ({ended:?})");
    };
    let status = head.split(' ').nth(1).context("an answer without a status")?.parse()?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { joined(body)? } else { body.to_owned() };
    Ok(Answer { status, head: head.to_owned(), body })
}

/// The text of a request or query, as it may stand in a path.
#[must_use]
pub fn escaped(text: &str) -> String {
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(octet).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(octet).collect()
}

/// Chunks put together.
fn joined(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size =
            usize::from_str_radix(size, 16).with_context(|| format!("the size of a chunk: {size:?}"))?;
        let Some(chunk) = after.get(..size).filter(|_| size > 0) else { break };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    Ok(body)
}
