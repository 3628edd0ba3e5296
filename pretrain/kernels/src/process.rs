//! What a process that trains does before anything else.

/// Lets the process keep memory that it frees, and candle's element-wise operations stay on the calling thread; whether
/// both could be done.
///
/// A training step allocates what the step before it freed. Left alone, the system's allocator hands large blocks back and
/// gets them anew, page by page, which costs more than what is computed in them. candle's own threads wait busily for one
/// another, and here all large operations are not candle's.
///
/// It does nothing once the process has several threads, whose environment must not change; so it is called first.
pub fn prepare_process() -> bool {
    prepare()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn prepare() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_alone =
        status.lines().any(|line| line.strip_prefix("Threads:").is_some_and(|count| count.trim() == "1"));
    if !is_alone {
        return false;
    }
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: this is the only thread, as the system has just said, so nobody reads the environment meanwhile.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
    // SAFETY: these set numbers of the allocator; they are meant to be called at the start.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0) != 0
            && libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX) != 0
            && libc::mallopt(libc::M_TOP_PAD, 64 << 20) != 0
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn prepare() -> bool {
    false
}
