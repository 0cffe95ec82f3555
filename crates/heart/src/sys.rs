//! What the C library knows of local time.
#![expect(unsafe_code, reason = "local time is known to the C library only")]

/// How many seconds local time is ahead of UTC at a moment, in milliseconds since 1970.
pub(crate) fn seconds_east(at_ms: u64) -> i64 {
    let Ok(at) = libc::time_t::try_from(at_ms / 1000) else { return 0 };
    // SAFETY: `tm` is plain numbers and a pointer that may be null; all zeros is one of its values.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types; the call keeps neither.
    let done = unsafe { libc::localtime_r(&raw const at, &raw mut local) };
    if done.is_null() { 0 } else { local.tm_gmtoff }
}
