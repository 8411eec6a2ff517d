//! One key and the cell of its value.
//!
//! A node is allocated once per insert of a new key and shared by every table the key is copied to, so a change of the
//! value is seen through all of them. `value` says what the key maps to:
//!
//! | `value` | state | may become |
//! |---|---|---|
//! | a pointer | live | another pointer, tombstone, expunged (by `clear` alone) |
//! | null | tombstone: removed, may be revived | a pointer, expunged |
//! | [`expunged`] | expunged: dead, a later insert of the key makes a new node | nothing, ever |
//!
//! # The first value
//!
//! It lies in the node itself, so that a hit on a value that was never overwritten touches one line. Later values are
//! boxed; `value` never returns to the inline one. Two parties finish with a node whose inline value was replaced: the
//! retired [`Garbage::Inline`], which drops that value in place, and the retired [`Garbage::Node`], which drops the
//! rest. They are retired by different threads and ripen in either order, so they meet in one atomic byte, and the
//! second to arrive frees the memory. Values without drop glue need no first party and no byte.
//!
//! [`Garbage::Inline`]: super::garbage::Garbage::Inline
//! [`Garbage::Node`]: super::garbage::Garbage::Node

use std::alloc::{self, Layout};
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::sync::{AtomicPtr, AtomicU8, Ordering, UnsafeCell, ends, fault};

/// The value pointer of a removed entry that may be revived.
pub(super) const fn tombstone<V>() -> *mut V {
    ptr::null_mut()
}

/// The value pointer of a dead node.
///
/// All ones: no allocation ends there, and it is no dangling pointer to a zero-sized value either, since those are
/// powers of two.
pub(super) const fn expunged<V>() -> *mut V {
    ptr::without_provenance_mut(usize::MAX)
}

/// Whether a value pointer is one to a value.
#[inline(always)]
pub(super) fn is_live<V>(value: *mut V) -> bool {
    // Adding one maps expunged to 0 and the tombstone to 1: one comparison instead of two.
    value.addr().wrapping_add(1) > 1
}

#[inline(always)]
pub(super) fn is_expunged<V>(value: *mut V) -> bool {
    value == expunged()
}

pub(super) struct Node<K, V> {
    value: AtomicPtr<V>,
    key: K,
    inline: UnsafeCell<MaybeUninit<V>>,
}

/// Who has finished with a node; lies behind it if `V` has drop glue.
mod finished {
    /// The inline value has been dropped.
    pub(super) const INLINE: u8 = 1;
    /// The node has been dropped, but for its inline value.
    pub(super) const NODE: u8 = 2;
    /// The inline value is dropped with the node.
    pub(super) const TOGETHER: u8 = 4;
}

impl<K, V> Node<K, V> {
    const HAS_BYTE: bool = mem::needs_drop::<V>();

    fn layout() -> (Layout, usize) {
        let node = Layout::new::<Self>();
        if !Self::HAS_BYTE {
            return (node, 0);
        }
        match node.extend(Layout::new::<AtomicU8>()) {
            Ok((whole, offset)) => (whole.pad_to_align(), offset),
            Err(_) => capacity_overflow(),
        }
    }

    #[inline(always)]
    pub(super) fn key(&self) -> &K {
        &self.key
    }

    #[inline(always)]
    pub(super) fn value(&self) -> *mut V {
        // Acquire: pairs with the Release half of the exchange that stored the pointer, or of the tag word that
        // published the node, so the value behind it is seen whole.
        self.value.load(Ordering::Acquire)
    }

    /// Exchanges the value pointer if it is still `current`.
    #[inline]
    pub(super) fn exchange(&self, current: *mut V, new: *mut V) -> Result<(), *mut V> {
        #[cfg(readmostly_faults)]
        if fault!(SplitExchange) {
            let found = self.value();
            if found != current {
                return Err(found);
            }
            crate::sync::pause();
            // Release: publishes the new value; the mistake is the other half.
            self.value.store(new, Ordering::Release);
            return Ok(());
        }
        // AcqRel on success: Release publishes the new value to the Acquire load in `value`; Acquire orders the drop of
        // the old value, which the winner retires, after the stores that made it. Acquire on failure: the
        // pointer found is followed like a loaded one.
        self.value.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }

    /// Makes a live or removed node dead; returns the value pointer it had.
    pub(super) fn expunge(&self) -> *mut V {
        // AcqRel: Release so that whoever finds the node dead also finds, through the map's lock or `read` pointer,
        // what replaced it; Acquire because the value found is dropped later. Partner: the exchange in
        // `exchange`.
        self.value.swap(expunged(), Ordering::AcqRel)
    }

    /// Where the first value lies.
    pub(super) fn inline(&self) -> *mut V {
        self.inline.get().cast()
    }

    fn is_inline(&self, value: *mut V) -> bool {
        ptr::eq(value, self.inline())
    }
}

/// A node that this thread alone knows; dropped with its key and value unless it is published.
pub(super) struct OwnedNode<K, V>(NodePtr<K, V>);

impl<K, V> OwnedNode<K, V> {
    pub(super) fn new(key: K, value: V) -> Self {
        let (layout, byte) = Node::<K, V>::layout();
        // SAFETY: the layout is not empty, since a node holds at least its value pointer.
        let raw = unsafe { alloc::alloc(layout) };
        let Some(node) = NonNull::new(raw.cast::<Node<K, V>>()) else { alloc::handle_alloc_error(layout) };
        // SAFETY: the allocation is new, large enough and aligned for a node and the byte behind it. The inline pointer
        // is taken from the allocation, not from a reference, and lives as long as it.
        unsafe {
            let inline = (&raw mut (*node.as_ptr()).inline).cast::<V>();
            node.write(Node { value: AtomicPtr::new(inline), key, inline: UnsafeCell::new(MaybeUninit::new(value)) });
            if Node::<K, V>::HAS_BYTE {
                raw.add(byte).cast::<AtomicU8>().write(AtomicU8::new(0));
            }
        }
        OwnedNode(NodePtr(node))
    }

    /// Key and value back, if the node was not published after all.
    pub(super) fn into_parts(self) -> (K, V) {
        let node = self.0;
        mem::forget(self);
        // SAFETY: the node was never published, so its value is the inline one and nobody else can reach it; both parts
        // are moved out once and the memory is freed without dropping them.
        unsafe {
            let key = ptr::read(&raw const (*node.0.as_ptr()).key);
            let value = ptr::read((&raw const (*node.0.as_ptr()).inline).cast::<V>());
            node.deallocate();
            (key, value)
        }
    }

    /// The node, for a table, or the garbage, that owns it from here on.
    pub(super) fn publish(self) -> NodePtr<K, V> {
        let node = self.0;
        mem::forget(self);
        node
    }

    pub(super) fn key(&self) -> &K {
        // SAFETY: the node is initialised and this thread's own.
        unsafe { self.0.as_ref() }.key()
    }
}

impl<K, V> Drop for OwnedNode<K, V> {
    fn drop(&mut self) {
        // SAFETY: a node that was not published is dropped here and nowhere else.
        unsafe { self.0.free() }
    }
}

/// A pointer to a published node, without a claim that it is still allocated.
pub(super) struct NodePtr<K, V>(NonNull<Node<K, V>>);

impl<K, V> Clone for NodePtr<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for NodePtr<K, V> {}

impl<K, V> NodePtr<K, V> {
    pub(super) fn from_raw(raw: *mut Node<K, V>) -> Option<Self> {
        NonNull::new(raw).map(NodePtr)
    }

    pub(super) fn as_raw(self) -> *mut Node<K, V> {
        self.0.as_ptr()
    }

    /// # Safety
    ///
    /// The node must stay allocated, with its key not dropped, for `'t`.
    #[inline(always)]
    pub(super) unsafe fn by_ref<'t>(self) -> NodeRef<'t, K, V> {
        NodeRef { ptr: self, lives: PhantomData }
    }

    /// # Safety
    ///
    /// As for [`NodePtr::by_ref`].
    unsafe fn as_ref<'t>(self) -> &'t Node<K, V> {
        // SAFETY: the caller vouches for the node.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    ///
    /// The node must be allocated, and `V` must have drop glue.
    unsafe fn finished(&self) -> &AtomicU8 {
        // SAFETY: with drop glue the allocation has the byte, initialised when the node was made.
        unsafe { &*self.finished_ptr() }
    }

    /// # Safety
    ///
    /// As for [`NodePtr::finished`].
    unsafe fn finished_ptr(&self) -> *mut AtomicU8 {
        let (_, byte) = Node::<K, V>::layout();
        // SAFETY: with drop glue the byte lies at this offset; the pointer was made from the whole allocation, not from
        // a reference to the node.
        unsafe { self.0.as_ptr().cast::<u8>().add(byte).cast::<AtomicU8>() }
    }

    /// # Safety
    ///
    /// Nothing may use the node afterwards; key and values must have been dropped or moved out.
    unsafe fn deallocate(self) {
        let (layout, _) = Node::<K, V>::layout();
        // SAFETY: the caller's word; allocated with this layout in `OwnedNode::new`.
        unsafe {
            ends(&raw mut (*self.0.as_ptr()).value);
            if Node::<K, V>::HAS_BYTE {
                ends(self.finished_ptr());
            }
            alloc::dealloc(self.0.as_ptr().cast(), layout);
        }
    }

    /// Leaves the inline value, just replaced, to be dropped with the node.
    ///
    /// # Safety
    ///
    /// The caller must be the one whose exchange took the inline value out of `value`, and the node must still be
    /// allocated.
    pub(super) unsafe fn keep_inline(self) {
        if Node::<K, V>::HAS_BYTE {
            // Relaxed: the node reaches the thread that frees it through a lock or a bin, which orders this store.
            // SAFETY: allocated by the caller's word, and `V` has drop glue.
            unsafe { self.finished() }.store(finished::TOGETHER, Ordering::Relaxed);
        }
    }

    /// Drops the inline value, and frees the node if the rest of it is dropped already.
    ///
    /// # Safety
    ///
    /// The inline value must have been replaced, no reader may look at it any more, and this must be the only call.
    pub(super) unsafe fn free_inline(self) {
        let finish = OnDrop(|| {
            // AcqRel: Release orders the drop of the value before the other party's deallocation, Acquire orders ours
            // after its drop of key and value. Partner: the `fetch_or` in `free`.
            // SAFETY: the other party leaves the node allocated until it has seen this bit; only values with drop glue
            // are retired like this.
            let others = unsafe { self.finished() }.fetch_or(finished::INLINE, Ordering::AcqRel);
            if others & finished::NODE != 0 {
                // SAFETY: both parties have finished.
                unsafe { self.deallocate() };
            }
        });
        // SAFETY: the caller's word: replaced, unreachable, dropped once.
        unsafe { ptr::drop_in_place((&raw mut (*self.0.as_ptr()).inline).cast::<V>()) };
        drop(finish);
    }

    /// Drops key and current value, and frees the node unless its inline value is still to be dropped.
    ///
    /// # Safety
    ///
    /// No reader or writer may reach the node any more, and this must be the only call.
    pub(super) unsafe fn free(self) {
        let raw = self.0.as_ptr();
        // SAFETY: still allocated, since only this call and `free_inline` free it, the latter not before this one.
        let node = unsafe { &*raw };
        // Relaxed: whoever got the node to this call ordered every earlier exchange before it.
        let value = node.value.load(Ordering::Relaxed);
        let inline_now = node.is_inline(value);
        let finish = OnDrop(|| {
            let waits_for_inline = Node::<K, V>::HAS_BYTE && !inline_now && !fault!(NodeAlone) && {
                // AcqRel: as in `free_inline`, its partner.
                // SAFETY: allocated, and `V` has drop glue.
                let others = unsafe { self.finished() }.fetch_or(finished::NODE, Ordering::AcqRel);
                others & (finished::INLINE | finished::TOGETHER) == 0
            };
            if !waits_for_inline {
                // SAFETY: both parties have finished, or there is only this one.
                unsafe { self.deallocate() };
            }
        });
        let together = Node::<K, V>::HAS_BYTE && !inline_now && {
            // Relaxed: the store in `keep_inline` is ordered before this call like every exchange.
            // SAFETY: allocated, and `V` has drop glue.
            unsafe { self.finished() }.load(Ordering::Relaxed) & finished::TOGETHER != 0
        };
        // SAFETY: the key and the value that `value` points at are owned by the node alone now; an inline value that
        // was replaced is dropped here only if it was left to us. A panic of one drop runs the others, then
        // `finish`.
        unsafe {
            let inline = (&raw mut (*raw).inline).cast::<V>();
            let _inline = OnDrop(|| {
                if inline_now || together {
                    ptr::drop_in_place(inline);
                }
            });
            let _boxed = OnDrop(|| {
                if is_live(value) && !inline_now {
                    drop(Box::from_raw(value));
                }
            });
            ptr::drop_in_place(&raw mut (*raw).key);
        }
        drop(finish);
    }

    /// Moves key and value out, and frees the node unless its inline value is still to be dropped.
    ///
    /// # Safety
    ///
    /// As for [`NodePtr::free`]. Nothing but this map's garbage may know the node.
    pub(super) unsafe fn take(self) -> Option<(K, V)> {
        let raw = self.0.as_ptr();
        // SAFETY: still allocated, as in `free`.
        let node = unsafe { &*raw };
        // Relaxed: as in `free`.
        let value = node.value.load(Ordering::Relaxed);
        if !is_live(value) {
            // SAFETY: passed on.
            unsafe { self.free() };
            return None;
        }
        let inline = node.is_inline(value);
        // SAFETY: the node's own key and value are moved out once each; the node's last step below drops neither.
        unsafe {
            let key = ptr::read(&raw const (*raw).key);
            let value = if inline { ptr::read(value) } else { *Box::from_raw(value) };
            let waits_for_inline = Node::<K, V>::HAS_BYTE && !inline && {
                // AcqRel: as in `free_inline`, its partner.
                let others = self.finished().fetch_or(finished::NODE, Ordering::AcqRel);
                others & finished::INLINE == 0
            };
            if !waits_for_inline {
                self.deallocate();
            }
            Some((key, value))
        }
    }
}

/// A node that stays allocated for `'t`, because a table that holds it does.
pub(super) struct NodeRef<'t, K, V> {
    ptr: NodePtr<K, V>,
    lives: PhantomData<&'t Node<K, V>>,
}

impl<K, V> Clone for NodeRef<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for NodeRef<'_, K, V> {}

impl<'t, K, V> NodeRef<'t, K, V> {
    pub(super) fn ptr(self) -> NodePtr<K, V> {
        self.ptr
    }

    /// The key, for as long as the node stays.
    #[inline(always)]
    pub(super) fn key_for(self) -> &'t K {
        // SAFETY: `'t` vouches for the node.
        unsafe { self.ptr.as_ref() }.key()
    }

    pub(super) fn holds_inline(self, value: *mut V) -> bool {
        self.is_inline(value)
    }
}

impl<K, V> Deref for NodeRef<'_, K, V> {
    type Target = Node<K, V>;

    #[inline(always)]
    fn deref(&self) -> &Node<K, V> {
        // SAFETY: `'t` vouches for the node, and the reference cannot outlive `self`, so not `'t` either.
        unsafe { self.ptr.0.as_ref() }
    }
}

/// Runs a closure when dropped, in unwinding too.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cold]
pub(super) fn capacity_overflow() -> ! {
    panic!("capacity overflow: the map would need more memory than the address space holds")
}
