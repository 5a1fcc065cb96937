//! Past a proxy: HTTP CONNECT (RFC 9110 section 9.3.6) and SOCKS5 (RFC 1928, with the password of RFC 1929).
//!
//! Promises that after [`pass`] the stream is one to the host that was named, that the proxy looks names up (it may know some that this machine does not), but
//! with `socks5`, where this machine does, and that no byte of what that host says is taken.

use crate::proxy::Intercept;
use std::{
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::lookup_host,
};

/// The longest head of an answer to CONNECT.
const LONGEST_HEAD: usize = 16 * 1024;

/// Has the proxy at the other end of `stream` connect to `host` (an IPv6 address in brackets).
pub(super) async fn pass<S>(stream: &mut S, proxy: &Intercept, host: &str, port: u16) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match proxy.uri().scheme_str() {
        Some("socks5") => {
            let name = host.trim_start_matches('[').trim_end_matches(']');
            let address = lookup_host((name, port)).await?.next();
            let address = address.ok_or_else(|| wrong("the name has no address"))?;
            socks5(stream, proxy.raw_auth(), &Target::Address(address)).await
        }
        Some("socks5h") => {
            let name = host.trim_start_matches('[').trim_end_matches(']');
            let target = match name.parse::<IpAddr>() {
                Ok(ip) => Target::Address(SocketAddr::new(ip, port)),
                Err(_) => Target::Name(name, port),
            };
            socks5(stream, proxy.raw_auth(), &target).await
        }
        Some("http" | "https") => connect(stream, proxy, host, port).await,
        scheme => Err(wrong(&format!("{scheme:?} is not spoken here"))),
    }
}

/// Whether the proxy itself is spoken to encrypted.
pub(super) fn is_encrypted(proxy: &Intercept) -> bool {
    proxy.uri().scheme_str() == Some("https")
}

/// Host and port of the proxy.
pub(super) fn place(proxy: &Intercept) -> (&str, u16) {
    let uri = proxy.uri();
    let usual = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => 1080,
    };
    (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(usual))
}

/// The proxy as people write it, without its password.
pub(crate) fn name(proxy: &Intercept) -> String {
    let (host, port) = place(proxy);
    format!("{}://{host}:{port}", proxy.uri().scheme_str().unwrap_or_default())
}

async fn connect<S>(stream: &mut S, proxy: &Intercept, host: &str, port: u16) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(credentials) = proxy.basic_auth() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(credentials.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    let head = head(stream).await?;
    match status(&head) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(wrong("it wants a user and a password, or others")),
        Some(status) => Err(wrong(&format!("it answers with HTTP status {status}"))),
        None => Err(wrong("it does not answer like an HTTP proxy")),
    }
}

/// The head of an HTTP answer, byte by byte: what follows it is not ours.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD {
            return Err(wrong("its answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok()
}

/// Where a SOCKS proxy is to connect to.
enum Target<'a> {
    Address(SocketAddr),
    Name(&'a str, u16),
}

const NO_PASSWORD: u8 = 0;
const PASSWORD: u8 = 2;

async fn socks5<S>(stream: &mut S, user: Option<(&str, &str)>, target: &Target<'_>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let methods: &[u8] = match user {
        Some(_) => &[5, 2, NO_PASSWORD, PASSWORD],
        None => &[5, 1, NO_PASSWORD],
    };
    stream.write_all(methods).await?;
    match (read_array(stream).await?, user) {
        ([5, NO_PASSWORD], _) => {}
        ([5, PASSWORD], Some((user, password))) => log_in(stream, user, password).await?,
        ([5, _], _) => return Err(wrong("it wants a user and a password")),
        _ => return Err(wrong("it does not answer like a SOCKS5 proxy")),
    }
    let mut request = vec![5, 1, 0];
    request.extend(encode(target)?);
    stream.write_all(&request).await?;
    let [version, reply, _, kind] = read_array(stream).await?;
    if version != 5 || reply != 0 {
        return Err(wrong(refusal(reply)));
    }
    // Where it is connected from, which nobody here asks for.
    let len = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await?),
        _ => return Err(wrong("it does not answer like a SOCKS5 proxy")),
    };
    let mut bound = vec![0; len + 2];
    stream.read_exact(&mut bound).await?;
    Ok(())
}

async fn log_in<S>(stream: &mut S, user: &str, password: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = vec![1];
    for text in [user, password] {
        let len = u8::try_from(text.len()).map_err(|_| wrong("user or password is too long for it"))?;
        request.push(len);
        request.extend_from_slice(text.as_bytes());
    }
    stream.write_all(&request).await?;
    match read_array(stream).await? {
        [_, 0] => Ok(()),
        _ => Err(wrong("it wants another user or password")),
    }
}

/// Type, address and port.
fn encode(target: &Target<'_>) -> io::Result<Vec<u8>> {
    let (mut bytes, port) = match target {
        Target::Address(SocketAddr::V4(address)) => {
            ([&[1], &address.ip().octets()[..]].concat(), address.port())
        }
        Target::Address(SocketAddr::V6(address)) => {
            ([&[4], &address.ip().octets()[..]].concat(), address.port())
        }
        Target::Name(name, port) => {
            let len = u8::try_from(name.len()).map_err(|_| wrong("the name is too long for it"))?;
            ([&[3, len], name.as_bytes()].concat(), *port)
        }
    };
    bytes.extend(port.to_be_bytes());
    Ok(bytes)
}

/// RFC 1928 section 6.
fn refusal(reply: u8) -> &'static str {
    match reply {
        2 => "its rules do not allow it",
        3 => "the network cannot be reached",
        4 => "the host cannot be reached",
        5 => "the connection was refused",
        6 => "no answer in time",
        _ => "it refuses",
    }
}

async fn read_array<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn wrong(why: &str) -> io::Error {
    io::Error::other(why.to_owned())
}
