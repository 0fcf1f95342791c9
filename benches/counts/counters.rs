//! Counts the memory that this process allocates, and the bytes that it copies.
//!
//! This is the only `unsafe` code of the package. An allocator cannot be written without it, nor
//! can `memcpy` be replaced. No other file of the program has any, and no user compiles it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static COPIED: AtomicU64 = AtomicU64::new(0);
static TASKS: AtomicU64 = AtomicU64::new(0);

/// tokio aligns the allocation of a task to 128 bytes on this architecture, and nothing else does.
const TASK_ALIGNMENT: usize = 128;

/// The counts of this process so far: allocations, bytes allocated, bytes copied, tasks spawned.
pub(crate) fn counts() -> [u64; 4] {
    [&ALLOCATIONS, &ALLOCATED, &COPIED, &TASKS].map(|count| count.load(Relaxed))
}

fn count(bytes: usize, align: usize) {
    ALLOCATIONS.fetch_add(1, Relaxed);
    ALLOCATED.fetch_add(bytes as u64, Relaxed);
    if align == TASK_ALIGNMENT {
        TASKS.fetch_add(1, Relaxed);
    }
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the allocator of the system, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), layout.align());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), layout.align());
        unsafe { System.alloc_zeroed(layout) }
    }

    /// Counts as a new allocation, to which the old one is copied. The system may do better, but
    /// not on each machine.
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.align());
        COPIED.fetch_add(layout.size().min(size) as u64, Relaxed);
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

unsafe extern "C" {
    /// The `memmove` of glibc under another name. The last argument bounds the destination. The
    /// compiler must not see its value: it would call `memmove` here, which is below.
    fn __memmove_chk(
        to: *mut c_void,
        from: *const c_void,
        bytes: usize,
        most: usize,
    ) -> *mut c_void;
}

/// Replaces that of glibc for this program. The compiler calls it to move values of more than about
/// 128 bytes, and for slices.
///
/// # Safety
///
/// The same as for the function of C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void {
    COPIED.fetch_add(bytes as u64, Relaxed);
    unsafe { __memmove_chk(to, from, bytes, black_box(usize::MAX)) }
}

/// The same for memory that overlaps.
///
/// # Safety
///
/// The same as for the function of C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void {
    COPIED.fetch_add(bytes as u64, Relaxed);
    unsafe { __memmove_chk(to, from, bytes, black_box(usize::MAX)) }
}
