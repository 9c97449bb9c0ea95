//! What the operating system knows of this process, for INFO.

/// Processor time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// In the kernel.
    pub system_seconds: f64,
    /// Outside of it.
    pub user_seconds: f64,
}

/// Processor time of this process, its children or the calling thread (`RUSAGE_…`).
pub fn usage(who: libc::c_int) -> Usage {
    // SAFETY: rusage is plain data, for which all zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid and lives through the call.
    if unsafe { libc::getrusage(who, &mut usage) } != 0 {
        return Usage::default();
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Usage {
        system_seconds: seconds(usage.ru_stime),
        user_seconds: seconds(usage.ru_utime),
    }
}

/// Bytes of memory that are resident.
pub fn resident_bytes() -> u64 {
    memory_pages()[1] * page_bytes()
}

/// Bytes of memory that are resident and no mapped file, such as the program itself.
pub fn anonymous_bytes() -> u64 {
    let [_, resident, shared] = memory_pages();
    resident.saturating_sub(shared) * page_bytes()
}

/// Size, resident and shared pages; zeros where the system does not say.
fn memory_pages() -> [u64; 3] {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split_whitespace().map(|word| word.parse().unwrap_or(0));
    std::array::from_fn(|_| pages.next().unwrap_or(0))
}

fn page_bytes() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

/// Bytes of memory of the machine.
pub fn system_memory_bytes() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let (pages, page_bytes) = unsafe {
        (
            libc::sysconf(libc::_SC_PHYS_PAGES),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    u64::try_from(pages).unwrap_or(0) * u64::try_from(page_bytes).unwrap_or(0)
}

/// Name, release and machine of the operating system, as `uname` tells them.
pub fn system() -> String {
    // SAFETY: utsname is plain data, for which all zeroes are valid.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `names` is valid and lives through the call.
    if unsafe { libc::uname(&mut names) } != 0 {
        return "Linux".to_owned();
    }
    let text = |field: &[libc::c_char]| -> String {
        let bytes = field.iter().map(|byte| *byte as u8);
        let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    format!(
        "{} {} {}",
        text(&names.sysname),
        text(&names.release),
        text(&names.machine)
    )
}

/// Raises the limit of open files as far as allowed, so that `maxclients` fits; returns the limit.
pub fn raise_open_files(wanted: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid and lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return wanted;
    }
    if limit.rlim_cur < wanted {
        limit.rlim_cur = wanted.min(limit.rlim_max);
        // SAFETY: `limit` is valid and lives through the call.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
    limit.rlim_cur
}

/// Lets no crash of this process leave its memory in a file; nothing but root can take that back.
///
/// # Errors
/// The system refuses.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is valid and lives through the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Bytes that nobody can guess, from the operating system's random source.
pub fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0_u8; BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        // SAFETY: the pointer and length name the unfilled part of `bytes`.
        let count = unsafe { libc::getrandom(bytes[filled..].as_mut_ptr().cast(), bytes.len() - filled, 0) };
        filled += usize::try_from(count).unwrap_or(0);
    }
    bytes
}

/// A number that nobody can guess.
pub fn random_u128() -> u128 {
    u128::from_le_bytes(random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_answers() {
        assert!(resident_bytes() > 1 << 20);
        assert!((1..resident_bytes()).contains(&anonymous_bytes()));
        assert!(system_memory_bytes() > resident_bytes());
        assert!(system().contains("Linux"));
        assert_ne!(random_u128(), random_u128());
        assert!(usage(libc::RUSAGE_SELF).user_seconds >= 0.0);
    }
}
