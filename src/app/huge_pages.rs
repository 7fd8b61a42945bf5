//! Memory comes in pages of the usual size.
//!
//! A transparent huge page is 2 MiB, resident as a whole as soon as one byte of it is touched. What many threads hold of
//! small things lies scattered, so half of the memory of a gateway with ten thousand known keys was nothing but that. The
//! allocator does not ask for such pages either (its feature `no_thp`).

/// Asks the kernel for none, also where it gives them unasked. A kernel that refuses leaves things as they were.
pub fn decline() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
