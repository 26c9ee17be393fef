//! The global allocator, also for librdkafka: it allocates in one thread what it frees in another, several
//! times per message, which makes the system's allocator the largest cost of producing
//! (docs/adr/0005-allocator.md).

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_arena_eager_commit` and `mi_option_purge_delay`, which the binding does not name.
const ARENA_EAGER_COMMIT: libmimalloc_sys::mi_option_t = 4;
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds after which unused memory is returned.
const PURGE_DELAY_MS: std::ffi::c_long = 100;

/// Commits no more memory than is used, and returns it after a while without use.
#[allow(unsafe_code, reason = "the allocator's options have no safe interface")]
extern "C" fn frugal() {
    // SAFETY: setting an option has no precondition.
    unsafe {
        libmimalloc_sys::mi_option_set(ARENA_EAGER_COMMIT, 0);
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
}

/// Called by the loader. `main` would be too late: the first allocation determines how the first arena, which
/// most programs never outgrow, is committed.
#[allow(unsafe_code, reason = "a function that runs before main has no safe interface")]
#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static BEFORE_MAIN: extern "C" fn() = frugal;
