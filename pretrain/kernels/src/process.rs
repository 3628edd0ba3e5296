//! What a process that trains does before anything else.

/// Lets the process keep memory that it frees, asks for large pages, and lets candle's element-wise operations stay on the
/// calling thread; whether memory is kept.
///
/// A training step allocates what the step before it freed. Left alone, the system's allocator hands large blocks back and
/// gets them anew, page by page, which costs more than what is computed in them. Matrices are read across their rows, each
/// on a page of its own: with pages of 2 MiB a step takes some per cent less. candle's own threads wait busily for one
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
    let is_kept = unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0) != 0
            && libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX) != 0
            && libc::mallopt(libc::M_TOP_PAD, 64 << 20) != 0
    };
    if is_kept {
        ask_for_large_pages();
    }
    is_kept
}

/// Most systems give large pages to those who ask. The heap is asked for as a whole, before anything lies in it: it grows by
/// half of the machine's memory, which takes up none until it is written, is marked, and is given back to the allocator,
/// which now keeps it. Where the system refuses so much the pages stay small.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn ask_for_large_pages() {
    const LARGE: usize = 2 << 20;
    // SAFETY: it only asks for numbers.
    let [pages, page] = [libc::_SC_PHYS_PAGES, libc::_SC_PAGESIZE].map(|name| unsafe { libc::sysconf(name) });
    let (Ok(pages), Ok(page)) = (usize::try_from(pages), usize::try_from(page)) else { return };
    let bytes = pages / 2 * page;
    // SAFETY: the block is neither read nor written, only marked between its first and last whole large page, and freed.
    unsafe {
        let block = libc::malloc(bytes);
        let skipped = block.align_offset(LARGE);
        if !block.is_null() && skipped < bytes {
            let whole = (bytes - skipped) / LARGE * LARGE;
            libc::madvise(block.byte_add(skipped), whole, libc::MADV_HUGEPAGE);
        }
        libc::free(block);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn prepare() -> bool {
    false
}
