//! The laboratory by itself: which of TCP and a plain UDP hole punch get through, held against the rules of the kinds.

use crate::{Options, Pair};
use p2p_tests::netlab::{Kind, Net, Plan, probe};
use p2p_tests::side_by_side::side_by_side;
use std::net::SocketAddr;

/// What got through between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Through {
    /// A connection from A to B, and from B to A.
    tcp: [bool; 2],
    udp: bool,
}

/// Prints the table. Whether all of it is as the kinds say.
pub(crate) fn table(options: &Options) -> bool {
    let pairs = options.pairs();
    let found = side_by_side(&pairs, options.at_once.unwrap_or(8), |pair| {
        (*pair, allowed(*pair), find(*pair))
    });
    println!(
        "> A dials B, < B dials A, ~ a UDP hole punch gets through, . nothing does; ! is not what the kinds say\n"
    );
    grid(&found);
    let wrong: Vec<_> = found
        .iter()
        .filter(|(_, allowed, found)| allowed != found)
        .collect();
    for (pair, allowed, found) in &wrong {
        println!("{}: {found:?}, and the kinds say {allowed:?}", pair.name());
    }
    println!("\n{} pairs, {} not as the kinds say", found.len(), wrong.len());
    wrong.is_empty()
}

fn grid(found: &[(Pair, Through, Through)]) {
    let mut rows: Vec<Option<Kind>> = Vec::new();
    let mut columns: Vec<Kind> = Vec::new();
    for (pair, _, _) in found {
        rows.extend((!rows.contains(&pair.a)).then_some(pair.a));
        columns.extend((!columns.contains(&pair.b)).then_some(pair.b));
    }
    print!("{:<12}", "A \\ B");
    columns.iter().for_each(|b| print!("{b:<11}"));
    println!();
    for a in rows {
        print!(
            "{:<12}",
            a.map_or_else(|| "same LAN".to_owned(), |kind| kind.to_string())
        );
        for b in &columns {
            let cell = found.iter().find(|(pair, _, _)| pair.a == a && pair.b == *b);
            print!(
                "{:<11}",
                cell.map_or_else(String::new, |(_, allowed, found)| found.text(*allowed))
            );
        }
        println!();
    }
}

impl Through {
    fn text(self, allowed: Self) -> String {
        let marks = [(self.tcp[0], '>'), (self.tcp[1], '<'), (self.udp, '~')];
        let mut text: String = marks
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, mark)| *mark)
            .collect();
        if text.is_empty() {
            text.push('.');
        }
        text + if self == allowed { "" } else { " !" }
    }
}

fn allowed(pair: Pair) -> Through {
    match pair.a {
        Some(a) => Through {
            tcp: [a.reaches(pair.b), pair.b.reaches(a)],
            udp: a.punches(pair.b),
        },
        None => Through {
            tcp: [true; 2],
            udp: true,
        },
    }
}

fn find(pair: Pair) -> Through {
    match pair.a {
        Some(a) => between(&Plan::of(&[a, pair.b]).build()),
        None => inside(&Plan::of(&[pair.b]).peers(2).build()),
    }
}

fn between(net: &Net) -> Through {
    let [a, b] = [&net.sites[0], &net.sites[1]];
    let dial = |from: &p2p_tests::netlab::Site, to: &p2p_tests::netlab::Site| {
        // A family that the other one has not is no way at all.
        from.kind.is_v6 == to.kind.is_v6
            && probe::dials(
                &from.peers[0],
                &to.peers[0],
                SocketAddr::new(to.dialled(1), probe::INSIDE),
                from.kind.reaches(to.kind),
            )
    };
    Through {
        tcp: [dial(a, b), dial(b, a)],
        udp: probe::punch(net, a.kind.punches(b.kind)).is_some(),
    }
}

/// Two peers of one network, at their inside addresses.
fn inside(net: &Net) -> Through {
    let site = &net.sites[0];
    let at = |n: usize| SocketAddr::new(site.address(n as u8 + 1), probe::INSIDE);
    let dial = |from: usize, to: usize| probe::dials(&site.peers[from], &site.peers[to], at(to), true);
    let sockets = [0, 1].map(|n: usize| probe::socket(&site.peers[n], site.kind.is_v6, probe::INSIDE));
    Through {
        tcp: [dial(0, 1), dial(1, 0)],
        udp: probe::between(&sockets, [at(1), at(0)], true).is_some(),
    }
}
