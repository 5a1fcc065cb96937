//! What a running program costs: wall clock, CPU seconds, peak memory.
//!
//! Promises figures of the program itself, from `/proc`: user and system time of all its threads and children (10 ms grain), and the highest
//! resident set (`VmHWM`, which counts the page cache that it maps, too). The clock of a [`Cost`] stops when the
//! process is gone, not when somebody gets round to reading its output.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::process::{Ended, Program};

/// Clock ticks of `/proc/PID/stat` in a second: part of Linux' interface to programs, the same everywhere.
const TICKS: f64 = 100.0;

/// How often the peak memory is read; the last reading before the end counts.
const LOOK: Duration = Duration::from_millis(5);

/// User and system seconds of all threads so far, and of children that it waited for; none when it is gone.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)? + ticks(13)? + ticks(14)?) / TICKS)
}

/// The highest resident set so far, in MiB; none when it is gone.
pub fn peak_mib(pid: u32) -> Option<f64> {
    mib_of(pid, "VmHWM:")
}

/// The resident set, in MiB; none when it is gone.
pub fn resident_mib(pid: u32) -> Option<f64> {
    mib_of(pid, "VmRSS:")
}

fn mib_of(pid: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Bytes that it has read so far, from files and sockets, by its system calls; none when it is gone.
pub fn bytes_read(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines()
        .find_map(|line| line.strip_prefix("rchar: "))?
        .parse()
        .ok()
}

/// What a program that has ended did cost.
#[derive(Debug)]
pub struct Cost {
    /// From spawning it to its exit, in seconds.
    pub wall: f64,
    /// User and system seconds.
    pub cpu: f64,
    /// Peak resident set in MiB.
    pub peak_mib: f64,
    /// How it ended.
    pub ended: Ended,
}

/// Waits for the end of a program and says what it cost.
pub fn until_exit(program: Program) -> Cost {
    let pid = program.pid();
    let peak = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let watch = {
        let (peak, over) = (Arc::clone(&peak), Arc::clone(&over));
        thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                peak.fetch_max(peak_mib(pid).unwrap_or_default().to_bits(), Ordering::AcqRel);
                thread::sleep(LOOK);
            }
        })
    };
    let id = Pid::from_raw(pid.cast_signed()).expect("a process id");
    // NOWAIT: it stays a zombie, whose CPU time can still be read, until `end` reaps it.
    waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("wait for a child");
    let wall = Instant::now().duration_since(program.started()).as_secs_f64();
    let cpu = cpu_seconds(pid).unwrap_or_default();
    over.store(true, Ordering::Release);
    watch.join().expect("the watch");
    let peak_mib = f64::from_bits(peak.load(Ordering::Acquire));
    Cost {
        wall,
        cpu,
        peak_mib,
        ended: program.end(),
    }
}
