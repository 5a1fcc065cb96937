//! The actors' handlers and their fail points, as the source has them.
//!
//! Promises every `impl Handler<Message> for Actor` and `impl StreamHandler<Item> for Actor` of a program once, with the names of the
//! fail points in its body, and every fail point of every actor (timers and futures of an actor have theirs too). Tests take their
//! lists from here, so a new handler cannot be forgotten.

use std::collections::BTreeSet;

use crate::sources::{self, Source};

/// One handler.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handler {
    /// `tracker` or `peer`.
    pub program: &'static str,
    /// Whose it is.
    pub actor: String,
    /// `Actor::Message`: what its fail point is to be called; of a stream's handler only the actor counts.
    pub name: String,
    /// It handles the items of a stream.
    pub is_stream: bool,
    /// `peer/src/download/actor.rs:120`.
    pub place: String,
    /// The fail points in its body, by name.
    pub fail_points: Vec<String>,
}

impl Handler {
    /// Whether it has a fail point of its own.
    pub fn can_be_made_to_panic(&self) -> bool {
        let begins = format!("{}::", self.actor);
        self.fail_points
            .iter()
            .any(|name| *name == self.name || self.is_stream && name.starts_with(&begins))
    }
}

/// The fail points of all actors of a program, by name. Those that inject errors elsewhere are not among them.
pub fn fail_points_of(program: &'static str) -> BTreeSet<String> {
    let handlers = of(program);
    let actors: BTreeSet<&str> = handlers.iter().map(|handler| handler.actor.as_str()).collect();
    let elsewhere = sources::of(&[program]);
    let written = elsewhere.iter().flat_map(|source| fail_points(&source.live, "$"));
    let of_an_actor = |name: &String| {
        name.split_once("::")
            .is_some_and(|(actor, message)| actors.contains(actor) && message != "$")
    };
    let in_handlers = handlers.iter().flat_map(|handler| handler.fail_points.clone());
    written.chain(in_handlers).filter(of_an_actor).collect()
}

/// All handlers of a program (`tracker` or `peer`).
pub fn of(program: &'static str) -> Vec<Handler> {
    let mut handlers: Vec<Handler> = sources::of(&[program])
        .iter()
        .flat_map(|source| of_source(program, source))
        .collect();
    handlers.sort();
    handlers
}

fn of_source(program: &'static str, source: &Source) -> Vec<Handler> {
    let code = &source.code;
    let mut handlers = Vec::new();
    for (at, _) in code.match_indices("Handler<") {
        let head = code[..at].rfind(['}', ';', '{']).map_or(0, |n| n + 1);
        if !code[head..at].contains("impl") {
            continue;
        }
        let Some((message, actor)) = names(&code[at..]) else {
            continue;
        };
        let is_stream = code[..at].ends_with("Stream");
        let body = &source.live[at..sources::item_end(code, at)];
        let handler = |message: &str, at: usize| {
            let name = format!("{actor}::{message}");
            let place = format!("{}:{}", source.path, sources::line_of(code, at));
            Handler {
                program,
                actor: actor.clone(),
                is_stream,
                fail_points: fail_points(body, message),
                name,
                place,
            }
        };
        if message.starts_with('$') {
            handlers.extend(
                invocations(code, at)
                    .into_iter()
                    .map(|(message, at)| handler(message, at)),
            );
        } else {
            handlers.push(handler(&message, at));
        }
    }
    handlers
}

/// The first word of each use of the macro that is defined around this place, and where it is.
fn invocations(code: &str, at: usize) -> Vec<(&str, usize)> {
    let Some((_, definition)) = code[..at].rsplit_once("macro_rules!") else {
        return Vec::new();
    };
    let call = format!("{}!(", definition.split('{').next().unwrap_or_default().trim());
    let word = |from: usize| {
        let rest = code[from..].trim_start();
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        (&rest[..end], from)
    };
    code.match_indices(&call)
        .map(|(at, _)| word(at + call.len()))
        .collect()
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

/// The names in `fail_point!("Actor::Message")`, and in `fail_point!(concat!("Actor::", stringify!($message)))`.
fn fail_points(body: &str, message: &str) -> Vec<String> {
    let name = |at: usize| {
        let rest = &body[at..];
        let text = rest.split('"').nth(1)?;
        let joined = rest.lines().next()?.contains("stringify!($");
        Some(if joined {
            format!("{text}{message}")
        } else {
            text.to_owned()
        })
    };
    body.match_indices("fail_point!(")
        .filter_map(|(at, _)| name(at))
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

    #[test]
    fn handlers_made_by_a_macro_are_found_by_its_uses() {
        let text = "macro_rules! handle {\n($message:ident, $answer:expr) => {\nimpl Handler<$message> for Registry {\n\
                    fn handle(&mut self) { fail_point!(concat!(\"Registry::\", stringify!($message))); }\n}\n};\n}\n\
                    handle!(Register, |actor| actor.x());\nhandle!(\n    Leave, 1);\n\
                    impl Handler<Plain> for Other { fn handle(&mut self) { fail_point!(\"Other::Plain\"); } }";
        let source = Source {
            path: "a.rs".into(),
            text: text.into(),
            code: text.into(),
            live: text.into(),
            is_test: false,
        };
        let found = of_source("peer", &source);
        let names: Vec<&str> = found.iter().map(|handler| handler.name.as_str()).collect();
        assert_eq!(names, ["Registry::Register", "Registry::Leave", "Other::Plain"]);
        assert!(
            found
                .iter()
                .all(|handler| handler.fail_points == [handler.name.clone()]),
            "{found:?}"
        );
    }
}
