use super::{layout::VERSION, *};
use crate::{
    hash::HashAlgorithm,
    manifest::{Modified, ShareKind},
    testing,
};
use proptest::prelude::*;

/// Where the fields begin in a ticket's bytes, and where some of them lie.
const FIELDS: usize = 3;
const SIZE: usize = FIELDS + 1 + 32 + 32;
const MODE: usize = SIZE + 8;
const NANOS: usize = MODE + 2 + 8;
const NAME: usize = NANOS + 4;
/// Behind the name, which is "notes.txt".
const TRACKERS: usize = NAME + 1 + 9;
/// Behind one tracker, which is "http://192.168.1.7:8080".
const SEEDERS: usize = TRACKERS + 1 + 1 + 23;
/// Behind one seeder's key and number of addresses.
const ADDRESS: usize = SEEDERS + 1 + 32 + 1;

/// One tracker, one seeder: what `share` prints at home.
fn usual() -> Ticket {
    let (manifest, _) = testing::file(HashAlgorithm::Sha256, "notes.txt", b"hello");
    Ticket {
        manifest,
        trackers: vec!["http://192.168.1.7:8080".into()],
        seeders: vec![Seeder {
            key: testing::identity(1).public_key(),
            addresses: vec!["192.168.1.9:6881".parse().unwrap()],
        }],
        secret: None,
    }
}

fn bytes_of(ticket: &Ticket) -> Vec<u8> {
    BASE64URL_NOPAD
        .decode(&ticket.to_string().as_bytes()[PREFIX.len()..])
        .unwrap()
}

/// The text for bytes that were changed: length and checksum made right again.
fn text_of(mut bytes: Vec<u8>) -> String {
    bytes.truncate(bytes.len() - 4);
    let length = (bytes.len() - FIELDS) as u16;
    bytes[1..3].copy_from_slice(&length.to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
}

/// What a reader says of the usual ticket after a change of its bytes.
fn after(change: impl FnOnce(&mut Vec<u8>)) -> Result<Ticket, TicketError> {
    let mut bytes = bytes_of(&usual());
    change(&mut bytes);
    text_of(bytes).parse()
}

fn field(name: &'static str, reason: FieldError) -> Result<Ticket, TicketError> {
    Err(TicketError::Field { name, reason })
}

#[test]
fn a_usual_ticket_is_short_and_stays_the_same() {
    let text = usual().to_string();
    let expected = concat!(
        "p2p:AQCjACzyTbpfsKMOJug7KsW54p4bFh5cH6dCXnMEM2KTi5gkeGk4mcHHQp5N27xDIA3m2lKfE7biGuLKeALLUVVAvMwAAAAAAAAABQGk",
        "AAAAAGVT8QAHW80VCW5vdGVzLnR4dAEXaHR0cDovLzE5Mi4xNjguMS43OjgwODAB0Jvp0vmQMsl1dxs-EObJrS0KVgVfJwL66f3lqyjBMgYB",
        "BMCoAQka4WaFr8M",
    );
    assert_eq!(text, expected);
    assert!(text.len() <= 240, "{} characters", text.len());
    assert_eq!(text.parse(), Ok(usual()));
}

#[test]
fn a_ticket_with_everything_at_its_limit_is_read() {
    let mut ticket = usual();
    ticket.manifest.name = "n".repeat(255).parse().unwrap();
    ticket.manifest.algorithm = HashAlgorithm::Blake3;
    ticket.manifest.kind = ShareKind::Folder;
    ticket.manifest.size = 1_000;
    ticket.trackers = vec![format!("http://a/{}", "b".repeat(246)); MAX_TRACKERS];
    let address = "[2001:db8::1]:6881".parse().unwrap();
    let key = PublicKey([9; 32]);
    let addresses = vec![address; MAX_ADDRESSES];
    ticket.seeders = vec![Seeder { key, addresses }; MAX_SEEDERS];
    ticket.secret = Some([7; 32]);
    let text = ticket.to_string();
    assert!(text.len() <= MAX_TICKET, "{} characters", text.len());
    assert_eq!(text.parse(), Ok(ticket));
}

#[test]
fn what_a_ticket_has_no_room_or_use_for_is_left_out() {
    let mut ticket = usual();
    let good = ticket.clone();
    ticket.trackers.insert(0, "ftp://nowhere".into());
    let addresses = [
        "0.0.0.0:6881",
        "192.168.1.9:0",
        "224.0.0.1:1",
        "[ff02::1]:1",
        "[::]:1",
        "255.255.255.255:9",
    ];
    ticket.seeders[0]
        .addresses
        .extend(addresses.map(|address| address.parse::<SocketAddr>().unwrap()));
    assert_eq!(ticket.to_string(), good.to_string());

    ticket.trackers = (0..20).map(|i| format!("http://t{i}")).collect();
    ticket.seeders = vec![ticket.seeders[0].clone(); 20];
    let read: Ticket = ticket.to_string().parse().unwrap();
    assert_eq!(read.trackers, ticket.trackers[..MAX_TRACKERS]);
    assert_eq!(read.seeders.len(), MAX_SEEDERS);
}

#[test]
fn spaces_around_it_do_no_harm() {
    assert_eq!(format!("  {}\n", usual()).parse(), Ok(usual()));
}

#[test]
fn text_that_is_no_ticket_is_told_from_a_damaged_one() {
    let text = usual().to_string();
    for other in ["", "p2", "P2P:abc", "magnet:?xt=urn:btih:00", &text[1..], "p2p"] {
        assert_eq!(other.parse::<Ticket>(), Err(TicketError::Prefix), "{other:?}");
    }
    let long = format!("{PREFIX}{}", "A".repeat(MAX_TICKET));
    assert_eq!(long.parse::<Ticket>(), Err(TicketError::TooLong(long.len())));
}

#[test]
fn a_character_that_does_not_belong_there_is_named_with_its_place() {
    let text = usual().to_string();
    for found in [' ', '\n', '+', '/', '=', '.', 'é', '\u{430}', '\x1b'] {
        let broken = format!("{}{found}{}", &text[..20], &text[21..]);
        let error = broken.parse::<Ticket>().unwrap_err();
        assert_eq!(error, TicketError::Character { position: 21, found });
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}

#[test]
fn a_ticket_cut_anywhere_is_called_cut() {
    let text = usual().to_string();
    for got in PREFIX.len()..text.len() {
        let error = text[..got].parse::<Ticket>().unwrap_err();
        assert!(
            matches!(error, TicketError::Truncated { got: says, expected } if says == got && expected <= text.len()),
            "{got}: {error}"
        );
    }
    let expected = text.len();
    assert_eq!(
        text[..100].parse::<Ticket>(),
        Err(TicketError::Truncated { got: 100, expected })
    );
    assert_eq!(
        format!("{text}abc").parse::<Ticket>(),
        Err(TicketError::Trailing { extra: 3, expected })
    );
}

#[test]
fn any_wrong_character_is_noticed() {
    let text = usual().to_string();
    for at in PREFIX.len()..text.len() {
        for other in ['A', 'b', '7', '-', '_'] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, &other.to_string());
            assert!(changed == text || changed.parse::<Ticket>().is_err(), "{changed}");
        }
    }
    let mut swapped = text.clone().into_bytes();
    swapped.swap(60, 61);
    let swapped = String::from_utf8(swapped).unwrap();
    assert_ne!(swapped, text);
    assert_eq!(swapped.parse::<Ticket>(), Err(TicketError::Checksum));
}

#[test]
fn a_ticket_of_another_version_says_so() {
    assert_eq!(
        after(|bytes| bytes[0] = VERSION + 1),
        Err(TicketError::Version(VERSION + 1))
    );
    let error = TicketError::Version(2).to_string();
    assert_eq!(
        error,
        "the ticket has version 2, and this program reads version 1: update it"
    );
}

#[test]
fn a_field_that_cannot_be_used_is_named_with_its_reason() {
    let name_error = |name: &str| FieldError::Name(name.parse::<crate::manifest::FileName>().unwrap_err());
    let manifest = |error| field("record", FieldError::Manifest(error));
    let too_large = crate::chunker::TooLarge { size: u64::MAX };
    let modified = Modified {
        seconds: 1_700_000_000,
        nanos: u32::MAX,
    };

    assert_eq!(
        after(|b| b[FIELDS] = 0x80),
        field("flags", FieldError::Flags(0x80))
    );
    assert_eq!(
        after(|b| b[SIZE..SIZE + 8].fill(0xff)),
        manifest(too_large.into())
    );
    assert_eq!(after(|b| b[MODE] = 0x09), manifest(ManifestError::Mode(0o4644)));
    assert_eq!(
        after(|b| b[NANOS..NANOS + 4].fill(0xff)),
        manifest(ManifestError::Modified(modified))
    );
    assert_eq!(
        after(|b| b[FIELDS] = 1),
        manifest(ManifestError::NoIndex { size: 5 })
    );
    assert_eq!(
        after(|b| b[NAME + 1] = b'/'),
        field("name", name_error("/otes.txt"))
    );
    assert_eq!(
        after(|b| b[NAME + 2] = 0x1b),
        field("name", name_error("n\x1btes.txt"))
    );
    assert!(matches!(
        after(|b| b[NAME + 1] = 0xff),
        Err(TicketError::Field {
            name: "name",
            reason: FieldError::Name(NameError::NotUtf8 { .. })
        })
    ));
}

#[test]
fn a_tracker_or_address_that_nobody_should_dial_is_refused() {
    let url = |url: &str, reason| {
        field(
            "tracker",
            FieldError::Tracker {
                url: url.into(),
                reason,
            },
        )
    };
    let at = TRACKERS + 2;
    assert_eq!(
        after(|b| b[at..at + 4].copy_from_slice(b"file")),
        url("file://192.168.1.7:8080", TrackerUrlError::Scheme)
    );
    assert_eq!(
        after(|b| b[at + 9] = b'@'),
        url("http://19@.168.1.7:8080", TrackerUrlError::User)
    );
    assert_eq!(after(|b| b[at] = 0xff), field("tracker", FieldError::NotUtf8));
    let too_many = |got, most| FieldError::TooMany { got, most };
    assert_eq!(after(|b| b[TRACKERS] = 9), field("tracker", too_many(9, 8)));
    assert_eq!(after(|b| b[SEEDERS] = 255), field("seeder", too_many(255, 8)));
    assert_eq!(after(|b| b[ADDRESS - 1] = 9), field("seeder", too_many(9, 8)));

    let address = |text: &str| field("seeder", FieldError::Address(text.parse().unwrap()));
    assert_eq!(
        after(|b| b[ADDRESS] = 5),
        field("seeder", FieldError::AddressKind(5))
    );
    assert_eq!(
        after(|b| b[ADDRESS + 5..ADDRESS + 7].fill(0)),
        address("192.168.1.9:0")
    );
    assert_eq!(
        after(|b| b[ADDRESS + 1..ADDRESS + 5].fill(0)),
        address("0.0.0.0:6881")
    );
    assert_eq!(
        after(|b| b[ADDRESS + 1..ADDRESS + 5].fill(255)),
        address("255.255.255.255:6881")
    );
    assert_eq!(after(|b| b[ADDRESS + 1] = 224), address("224.168.1.9:6881"));
}

#[test]
fn a_whole_ticket_whose_fields_do_not_fit_names_the_one_that_is_missing() {
    let cut_to = |length: usize| {
        after(|bytes| {
            bytes.truncate(length);
            bytes.extend([0; 4]);
        })
    };
    let missing = |name| field(name, FieldError::Missing);
    assert_eq!(cut_to(FIELDS), missing("flags"));
    assert_eq!(cut_to(FIELDS + 20), missing("hash"));
    assert_eq!(cut_to(FIELDS + 40), missing("Merkle root"));
    assert_eq!(cut_to(SIZE + 7), missing("size"));
    assert_eq!(cut_to(MODE), missing("mode"));
    assert_eq!(cut_to(NANOS), missing("time of last change"));
    assert_eq!(cut_to(NAME + 3), missing("name"));
    assert_eq!(cut_to(TRACKERS), missing("tracker"));
    assert_eq!(cut_to(TRACKERS + 10), missing("tracker"));
    assert_eq!(cut_to(SEEDERS), missing("seeder"));
    assert_eq!(cut_to(ADDRESS + 3), missing("seeder"));
    assert_eq!(after(|b| b[FIELDS] = 4), missing("secret"));
    let longer = after(|bytes| bytes.extend([0; 3]));
    assert_eq!(longer, field("end", FieldError::Unknown(3)));
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let text = usual().to_string();
    for (ticket, message) in [
        (
            "hello".to_owned(),
            "this is no ticket: a ticket begins with \"p2p:\"",
        ),
        (
            text[..50].to_owned(),
            "the ticket is cut short: it has 50 characters of 231",
        ),
        (
            text.replacen('A', "B", 1),
            "the ticket is damaged: its checksum does not fit; copy it again",
        ),
    ] {
        assert_eq!(ticket.parse::<Ticket>().unwrap_err().to_string(), message);
    }
}

#[test]
fn the_secret_is_in_the_text_and_in_no_log() {
    let mut ticket = usual();
    ticket.secret = Some([0xab; 32]);
    assert_eq!(ticket.to_string().parse(), Ok(ticket.clone()));
    let log = format!("{ticket:?}").to_lowercase();
    assert!(!log.contains("ab, ab") && !log.contains("171"), "{log}");
}

proptest! {
    #[test]
    fn tickets_read_back(ticket in testing::ticket()) {
        let text = ticket.to_string();
        prop_assert!(text.len() <= MAX_TICKET);
        prop_assert_eq!(text.parse(), Ok(ticket));
    }

    #[test]
    fn fields_of_any_bytes_are_refused_or_mean_exactly_themselves(
        ticket in testing::ticket(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes_of(&ticket);
        let end = bytes.len() - 4;
        for (at, byte) in changes {
            bytes[FIELDS + at.index(end - FIELDS)] = byte;
        }
        let text = text_of(bytes);
        if let Ok(other) = text.parse::<Ticket>() {
            prop_assert_eq!(other.to_string(), text);
        }
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "p2p:[A-Za-z0-9_-]{0,200}|\\PC{0,50}|p2p:\\PC{0,50}") {
        prop_assert!(text.parse::<Ticket>().is_err());
    }
}
