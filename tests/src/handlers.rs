//! The actors' handlers and their fail points, as the source has them.
//!
//! Promises every `impl Handler<Message> for Actor` of tracker and peer once, with the names of the fail points in its
//! body. Tests take their lists from here, so a new handler cannot be forgotten.

use crate::sources;

/// One handler.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handler {
    /// `tracker` or `peer`.
    pub program: &'static str,
    /// `Actor::Message`: what its fail point is to be called.
    pub name: String,
    /// `peer/src/download/actor.rs:120`.
    pub place: String,
    /// The fail points in its body, by name.
    pub fail_points: Vec<String>,
}

/// All handlers of a program (`tracker` or `peer`).
pub fn of(program: &'static str) -> Vec<Handler> {
    let mut handlers = Vec::new();
    for source in sources::of(&[program]) {
        for (at, _) in source.code.match_indices("Handler<") {
            let head = source.code[..at].rfind(['}', ';']).map_or(0, |n| n + 1);
            let before = source.code[head..at].trim();
            if !before.contains("impl") {
                continue;
            }
            let Some((message, actor)) = names(&source.code[at..]) else {
                continue;
            };
            let end = sources::item_end(&source.code, at);
            handlers.push(Handler {
                program,
                name: format!("{actor}::{message}"),
                place: format!("{}:{}", source.path, sources::line_of(&source.code, at)),
                fail_points: fail_points(&source.text[at..end]),
            });
        }
    }
    handlers.sort();
    handlers
}

/// Message and actor of `Handler<path::Message> for Actor {`.
fn names(code: &str) -> Option<(String, String)> {
    let head = &code[..code.find('{')?];
    let (left, right) = head.rsplit_once(" for ")?;
    let message = left.strip_prefix("Handler<")?.trim_end().strip_suffix('>')?;
    let actor = right.split(" where").next()?;
    Some((last_word(message), last_word(actor)))
}

/// `a::b::C<D>` is `C`.
fn last_word(path: &str) -> String {
    let path = path.split('<').next().unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path).trim().to_owned()
}

fn fail_points(body: &str) -> Vec<String> {
    body.match_indices("fail_point!(")
        .filter_map(|(at, _)| body[at..].split('"').nth(1).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_actor_are_read_from_the_impl_line() {
        let found = names("Handler<messages::RequestChunks> for DownloadCoordinator {");
        assert_eq!(
            found,
            Some(("RequestChunks".into(), "DownloadCoordinator".into()))
        );
        let found = names("Handler<Probe<u8>> for actor::Store<T>\nwhere T: X {");
        assert_eq!(found, Some(("Probe".into(), "Store".into())));
    }
}
