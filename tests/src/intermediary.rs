//! Proxies as they stand between a network and the world: HTTP (CONNECT, and forwarding of plain requests) and SOCKS5.
//!
//! Promises to connect to one target whatever host it is asked for, to note which that was, and to let in only who
//! knows user and password, if there are any. Keeps to no bounds: what it serves is our own programs.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// What it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP.
    Http,
    /// SOCKS5.
    Socks5,
}

/// A proxy that runs as long as its runtime does.
#[derive(Debug, Clone)]
pub struct Intermediary {
    address: SocketAddr,
    rule: Arc<Rule>,
}

#[derive(Debug)]
struct Rule {
    speaks: Speaks,
    target: SocketAddr,
    /// `user:password`, and the same in Base64.
    login: Option<(&'static str, &'static str)>,
    asked: Mutex<Vec<String>>,
}

impl Intermediary {
    /// Starts one on a free port of the loopback address.
    pub async fn start(
        speaks: Speaks,
        target: SocketAddr,
        login: Option<(&'static str, &'static str)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let rule = Arc::new(Rule {
            speaks,
            target,
            login,
            asked: Mutex::default(),
        });
        let ours = Arc::clone(&rule);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&ours)));
            }
        });
        Self { address, rule }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked to connect to: `CONNECT HOST:PORT`, or the request line of what it forwarded.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.rule.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

impl Rule {
    fn note(&self, what: String) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(what);
    }
}

/// `None`: whoever came is sent away, or went.
async fn serve(mut stream: TcpStream, rule: Arc<Rule>) -> Option<()> {
    let begin = match rule.speaks {
        Speaks::Http => http(&mut stream, &rule).await?,
        Speaks::Socks5 => socks5(&mut stream, &rule).await?,
    };
    let mut target = TcpStream::connect(rule.target).await.ok()?;
    target.write_all(&begin).await.ok()?;
    copy_bidirectional(&mut stream, &mut target).await.ok()?;
    Some(())
}

/// What goes to the target first.
async fn http(stream: &mut TcpStream, rule: &Rule) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let may = rule.login.is_none_or(|(_, encoded)| {
        let header = format!("proxy-authorization: basic {encoded}").to_lowercase();
        text.to_lowercase().contains(&header)
    });
    if !may {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(refusal).await.ok()?;
        return None;
    }
    let line = text.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let is_connect = line.starts_with("CONNECT ");
    rule.note(line);
    if !is_connect {
        return Some(head);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    Some(Vec::new())
}

async fn socks5(stream: &mut TcpStream, rule: &Rule) -> Option<Vec<u8>> {
    let [_, methods] = array(stream).await?;
    let mut offered = vec![0; methods.into()];
    stream.read_exact(&mut offered).await.ok()?;
    let method = if rule.login.is_some() { 2 } else { 0 };
    if !offered.contains(&method) {
        stream.write_all(&[5, 0xff]).await.ok()?;
        return None;
    }
    stream.write_all(&[5, method]).await.ok()?;
    if let Some((login, _)) = rule.login {
        let [_] = array(stream).await?;
        let (user, password) = (text(stream).await?, text(stream).await?);
        let is_right = format!("{user}:{password}") == login;
        stream.write_all(&[1, u8::from(!is_right)]).await.ok()?;
        if !is_right {
            return None;
        }
    }
    let [_, _, _, kind] = array(stream).await?;
    let host = match kind {
        3 => text(stream).await?,
        1 => array::<4>(stream).await?.map(|byte| byte.to_string()).join("."),
        _ => return None,
    };
    let port = stream.read_u16().await.ok()?;
    rule.note(format!("CONNECT {host}:{port}"));
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    Some(Vec::new())
}

async fn text(stream: &mut TcpStream) -> Option<String> {
    let [len] = array(stream).await?;
    let mut bytes = vec![0; usize::from(len)];
    stream.read_exact(&mut bytes).await.ok()?;
    String::from_utf8(bytes).ok()
}

async fn array<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}
