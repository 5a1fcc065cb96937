//! What becomes of memory that is freed: it is kept for who needs some next.
//!
//! Promises nothing where the C library is not glibc. Left alone, that gives the end of its heap back to the system whenever 128 KiB of it
//! are free, and takes it again for the next frame of a relay: a page fault for every 4 KiB that pass, a third of what a relayed byte
//! costs.

/// Freed memory at the end of a heap beyond this goes back to the system: several windows of a tunnel.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 8 << 20;

/// What is larger than this is taken from the system by itself, and goes back when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 4 << 20;

/// Keeps freed memory, from now on and up to some MiB a heap. For the beginning of a program.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in [(libc::M_TRIM_THRESHOLD, KEPT), (libc::M_MMAP_THRESHOLD, LARGE)] {
        // SAFETY: it takes two numbers, and may be called at any time.
        let taken = unsafe { libc::mallopt(parameter, value) };
        if taken == 0 {
            tracing::debug!(parameter, value, "the allocator stays as it was");
        }
    }
}
