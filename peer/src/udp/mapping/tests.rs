//! Routers of a few lines that speak NAT-PMP, PCP and UPnP, on loopback addresses of their own.

use super::{gateway::Gateway, *};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// What the routers add to a port's number, so that a test sees whose number it is.
const SHIFT: u16 = 1000;
const TCP: u16 = 6881;
const UDP: u16 = 6882;

/// Ports by protocol, as a router has them open: inside to outside.
type Table = Arc<Mutex<BTreeMap<(&'static str, u16), u16>>>;

/// A mapper that asks this router and no other. The router's own address keeps tests apart: PCP has one port.
fn mapper(router: Ipv4Addr, ssdp: SocketAddr) -> Mapper {
    let local = Ipv4Addr::LOCALHOST;
    Mapper {
        gateway: Some(Gateway { router, local }),
        ssdp,
    }
}

fn any(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// A loopback address that no other test of this process uses, nor, most likely, of another.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Nobody answers here.
fn nowhere() -> SocketAddr {
    (own_address(), 9).into()
}

/// A router that speaks NAT-PMP, and PCP if it is told to; grants `lifetime` seconds.
async fn pmp_router(speaks_pcp: bool, lifetime: u32) -> (Ipv4Addr, Table) {
    let address = own_address();
    let socket = UdpSocket::bind((address, crab_nat::GATEWAY_PORT)).await.unwrap();
    let table = Table::default();
    let open = Arc::clone(&table);
    tokio::spawn(async move {
        let mut buffer = [0; 1100];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let answer = match buffer[0] {
                2 if speaks_pcp => pcp_answer(&buffer[..len], lifetime, &open),
                2 => vec![0, 0x80, 0, 1, 0, 0, 0, 9],
                _ => pmp_answer(&buffer[..len], lifetime, &open),
            };
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (address, table)
}

/// RFC 6886, 3.2 and 3.3.
fn pmp_answer(request: &[u8], lifetime: u32, table: &Table) -> Vec<u8> {
    let operation = request[1];
    let head = [0, 0x80 | operation, 0, 0, 0, 0, 0, 9];
    if operation == 0 {
        return [&head[..], &OUTSIDE.octets()].concat();
    }
    let name = if operation == 1 { "UDP" } else { "TCP" };
    let word = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
    let wanted = u32::from_be_bytes([request[8], request[9], request[10], request[11]]);
    let (outside, granted) = change(table, name, word(4), wanted, lifetime);
    [
        &head[..],
        &request[4..6],
        &outside.to_be_bytes(),
        &granted.to_be_bytes(),
    ]
    .concat()
}

/// RFC 6887, 7.2 and 11.1.
fn pcp_answer(request: &[u8], lifetime: u32, table: &Table) -> Vec<u8> {
    let name = if request[36] == 17 { "UDP" } else { "TCP" };
    let wanted = u32::from_be_bytes([request[4], request[5], request[6], request[7]]);
    let inside = u16::from_be_bytes([request[40], request[41]]);
    let (outside, granted) = change(table, name, inside, wanted, lifetime);
    let head = [2, 0x81, 0, 0];
    let rest = [&[0, 0, 0, 9][..], &[0; 12], &request[24..42]].concat();
    let ip = OUTSIDE.to_ipv6_mapped().octets();
    [
        &head[..],
        &granted.to_be_bytes(),
        &rest,
        &outside.to_be_bytes(),
        &ip,
    ]
    .concat()
}

fn change(table: &Table, name: &'static str, inside: u16, wanted: u32, lifetime: u32) -> (u16, u32) {
    let mut table = table.lock().unwrap();
    if wanted == 0 {
        table.remove(&(name, inside));
        return (0, 0);
    }
    table.insert((name, inside), inside + SHIFT);
    (inside + SHIFT, lifetime)
}

fn is_open(table: &Table, name: &'static str, inside: u16) -> bool {
    table.lock().unwrap().contains_key(&(name, inside))
}

/// Where the router has the ports open.
fn shifted(port: u16) -> SocketAddr {
    (OUTSIDE, port + SHIFT).into()
}

async fn opened(mapper: &Mapper) -> Mapped {
    mapper.ask(any(TCP), any(UDP)).await.unwrap()
}

#[tokio::test]
async fn a_router_with_nat_pmp_opens_both_ports_and_takes_them_back() {
    let (router, table) = pmp_router(false, 3600).await;
    let mapper = mapper(router, nowhere());
    let mapped = opened(&mapper).await;
    assert_eq!(
        (mapped.protocol, mapped.tcp, mapped.udp),
        (Protocol::NatPmp, Some(shifted(TCP)), shifted(UDP))
    );
    assert!(is_open(&table, "TCP", TCP) && is_open(&table, "UDP", UDP));
    mapper.release(&mapped).await;
    assert_eq!(*table.lock().unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn a_router_with_pcp_opens_both_ports_and_takes_them_back() {
    let (router, table) = pmp_router(true, 3600).await;
    let mapper = mapper(router, nowhere());
    let mapped = opened(&mapper).await;
    assert_eq!(
        (mapped.protocol, mapped.tcp, mapped.udp),
        (Protocol::Pcp, Some(shifted(TCP)), shifted(UDP))
    );
    assert!(is_open(&table, "TCP", TCP) && is_open(&table, "UDP", UDP));
    mapper.release(&mapped).await;
    assert_eq!(*table.lock().unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn a_mapping_is_renewed_before_it_ends() {
    let (router, table) = pmp_router(true, 130).await;
    let mapper = mapper(router, nowhere());
    let status = watch::Sender::new(MappingStatus::Off);
    let mut seen = status.subscribe();
    let keeping = async move { mapper.keep(any(TCP), any(UDP), &status).await };
    let keeping = tokio::spawn(keeping);
    let is_mapped = |status: &MappingStatus| matches!(status, MappingStatus::Mapped(_));
    seen.wait_for(is_mapped).await.unwrap();
    // The router restarts, and has forgotten everything; 65 s later it is asked again.
    table.lock().unwrap().clear();
    tokio::time::pause();
    seen.changed().await.unwrap();
    assert!(is_mapped(&seen.borrow()));
    assert!(is_open(&table, "TCP", TCP) && is_open(&table, "UDP", UDP));
    keeping.abort();
}

#[tokio::test]
async fn without_a_router_that_answers_the_reason_is_told_and_nothing_is_mapped() {
    let mapper = mapper(own_address(), nowhere());
    let why = mapper.ask(any(TCP), any(UDP)).await.unwrap_err();
    assert!(
        why.contains("PCP and NAT-PMP: ") && why.contains("UPnP: "),
        "{why}"
    );
}

/// A router with UPnP: answers searches, describes itself, opens and closes ports.
async fn igd_router() -> (SocketAddr, Table) {
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = http.local_addr().unwrap();
    let ssdp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let searched = ssdp.local_addr().unwrap();
    tokio::spawn(async move {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://{at}/root.xml\r\n\r\n"
        );
        while let Ok((_, from)) = ssdp.recv_from(&mut [0; 1500]).await {
            ssdp.send_to(answer.as_bytes(), from).await.unwrap();
        }
    });
    let table = Table::default();
    let open = Arc::clone(&table);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = http.accept().await {
            let open = Arc::clone(&open);
            tokio::spawn(async move {
                let request = read_request(&mut stream).await;
                let body = igd_answer(&request, &open);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            });
        }
    });
    (searched, table)
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        assert!(
            stream.read_buf(&mut bytes).await.unwrap() > 0,
            "half a request: {text}"
        );
    }
}

const ROOT: &str = "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device>\
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device>\
<deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList><device>\
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>\
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/ctl</controlURL>\
<SCPDURL>/scpd.xml</SCPDURL></service></serviceList></device></deviceList></device></deviceList></device></root>";

const SCPD: &str = "<?xml version=\"1.0\"?><scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"><actionList>\
<action><name>AddPortMapping</name><argumentList>\
<argument><name>NewRemoteHost</name><direction>in</direction></argument>\
<argument><name>NewExternalPort</name><direction>in</direction></argument>\
<argument><name>NewProtocol</name><direction>in</direction></argument>\
<argument><name>NewInternalPort</name><direction>in</direction></argument>\
<argument><name>NewInternalClient</name><direction>in</direction></argument>\
<argument><name>NewEnabled</name><direction>in</direction></argument>\
<argument><name>NewPortMappingDescription</name><direction>in</direction></argument>\
<argument><name>NewLeaseDuration</name><direction>in</direction></argument></argumentList></action>\
<action><name>DeletePortMapping</name><argumentList>\
<argument><name>NewRemoteHost</name><direction>in</direction></argument>\
<argument><name>NewExternalPort</name><direction>in</direction></argument>\
<argument><name>NewProtocol</name><direction>in</direction></argument></argumentList></action></actionList></scpd>";

fn igd_answer(request: &str, table: &Table) -> String {
    if request.starts_with("GET /root.xml") {
        return ROOT.to_owned();
    }
    if request.starts_with("GET") {
        return SCPD.to_owned();
    }
    let tag = |name: &str| {
        let rest = request
            .split_once(&format!("<{name}>"))
            .map_or("", |(_, rest)| rest);
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    let said = |name: &str, inner: &str| {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
             <u:{name} xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\">{inner}</u:{name}></s:Body></s:Envelope>"
        )
    };
    let protocol = if tag("NewProtocol") == "UDP" { "UDP" } else { "TCP" };
    let outside = tag("NewExternalPort").parse().unwrap_or(0);
    if request.contains("#GetExternalIPAddress") {
        said(
            "GetExternalIPAddressResponse",
            &format!("<NewExternalIPAddress>{OUTSIDE}</NewExternalIPAddress>"),
        )
    } else if request.contains("#AddPortMapping") {
        let inside = tag("NewInternalPort").parse().unwrap();
        table.lock().unwrap().insert((protocol, inside), outside);
        said("AddPortMappingResponse", "")
    } else {
        table
            .lock()
            .unwrap()
            .retain(|(name, _), open| (*name, *open) != (protocol, outside));
        said("DeletePortMappingResponse", "")
    }
}

#[tokio::test]
async fn a_router_with_upnp_opens_both_ports_under_their_own_numbers_and_takes_them_back() {
    let (ssdp, table) = igd_router().await;
    // Its descriptions come from loopback, which only the router itself may name.
    let mapper = mapper(Ipv4Addr::LOCALHOST, ssdp);
    let mapped = opened(&mapper).await;
    let at = |port| SocketAddr::from((OUTSIDE, port));
    assert_eq!(
        (mapped.protocol, mapped.tcp, mapped.udp),
        (Protocol::Upnp, Some(at(TCP)), at(UDP))
    );
    assert!(is_open(&table, "TCP", TCP) && is_open(&table, "UDP", UDP));
    mapper.release(&mapped).await;
    assert_eq!(*table.lock().unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn a_device_that_speaks_for_somebody_else_is_not_listened_to() {
    let (ssdp, table) = igd_router().await;
    let mapper = mapper(own_address(), ssdp);
    let why = mapper.ask(any(TCP), any(UDP)).await.unwrap_err();
    assert!(why.contains("UPnP: "), "{why}");
    assert_eq!(*table.lock().unwrap(), BTreeMap::new());
}

#[test]
fn what_became_of_the_port_is_told_in_words() {
    let failed = MappingStatus::Failed("nobody is there".to_owned());
    assert_eq!(
        failed.to_string(),
        "the router does not let others in: nobody is there"
    );
    assert!(MappingStatus::Off.to_string().contains("not asked"));
}
