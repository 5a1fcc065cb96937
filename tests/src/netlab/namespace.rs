//! One network namespace: a machine of its own as far as networking goes.
//!
//! Promises that nothing of it reaches this machine's own network, and that it is gone when nobody holds it any more: it has no name, it lives as long
//! as the values (and programs) that refer to it, so the kernel takes it back after a panic and after a `kill -9`, too. Two tests
//! cannot meet in one. Whoever wants to look inside uses `nsenter --net=` with [`Namespace::reference`].

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// A network namespace; clones are the same one.
#[derive(Clone)]
pub struct Namespace {
    name: String,
    file: Arc<OwnedFd>,
}

impl Namespace {
    /// A new one with nothing in it but its loopback, which is up. `name` is for people.
    pub fn new(name: &str) -> Self {
        let namespace = Self::make(name).unwrap_or_else(|error| panic!("a network namespace: {error}"));
        namespace.ip("link set lo up");
        namespace
    }

    /// As [`Namespace::new`], bare; an error where this user may not.
    pub(super) fn make(name: &str) -> std::io::Result<Self> {
        // A thread moves alone, and takes its first namespace with it to its end.
        let made = thread::spawn(|| {
            // SAFETY: only the network is unshared, no table of file descriptors.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.join().expect("the thread does not panic")?;
        Ok(Self {
            name: name.to_owned(),
            file: Arc::new(file.into()),
        })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path that leads to it as long as this process lives.
    pub fn reference(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Does something inside, on a thread of its own. A socket that is made there belongs there for good, wherever it is used.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(&self.file).unwrap_or_else(|error| panic!("{self:?}: {error}"));
                act()
            });
            match inside.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Makes `command` start inside.
    pub fn move_in(&self, command: &mut Command) {
        let file = Arc::clone(&self.file);
        // SAFETY: between fork and exec only a system call is made, which allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || enter(&file));
        }
    }

    /// Runs these lines of `ip`, all or panic.
    pub fn ip(&self, lines: &str) {
        self.feed("ip", &["-batch", "-"], lines);
    }

    /// Loads these rules of `nft`, all or panic.
    pub fn nft(&self, rules: &str) {
        self.feed("nft", &["-f", "-"], rules);
    }

    /// What `nft` lists of these rules.
    pub fn list_nft(&self, what: &str) -> String {
        let words: Vec<&str> = what.split(' ').collect();
        self.feed("nft", &[&["list"][..], &words].concat(), "")
    }

    /// Sets a value below `/proc/sys/net`.
    pub fn set(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/net/{key}");
        self.enter(|| std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
    }

    /// What a bridge passes on is not looked at by the rules of what is routed. Where that module is not loaded, it is not anyway.
    pub fn keep_bridges_plain(&self) {
        self.enter(|| {
            for which in ["iptables", "ip6tables", "arptables"] {
                match std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{which}"), "0") {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        panic!("bridge-nf-call-{which}: {error}")
                    }
                    _ => {}
                }
            }
        });
    }

    /// Segments leave as they will be on the wire: no card finishes them. What carries frames by hand needs that.
    pub fn without_offloads(&self, devices: &[&str]) {
        for device in devices {
            let switches = ["tx", "off", "gso", "off", "tso", "off", "gro", "off"];
            self.feed("ethtool", &[&["-K", device][..], &switches].concat(), "");
        }
    }

    fn feed(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.move_in(&mut command);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut pipe = child.stdin.take().expect("piped");
        pipe.write_all(input.as_bytes()).expect("write to a child");
        drop(pipe);
        let said = child.wait_with_output().expect("wait for a child");
        assert!(
            said.status.success(),
            "{self:?}: {program} {arguments:?}\n{input}\n{}",
            String::from_utf8_lossy(&said.stderr)
        );
        String::from_utf8_lossy(&said.stdout).into_owned()
    }
}

fn enter(file: &OwnedFd) -> std::io::Result<()> {
    Ok(move_into_link_name_space(
        file.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.reference())
    }
}
