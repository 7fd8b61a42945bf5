//! Room that a thread's connections read into, one after the other, so that none of them holds any while it waits.

use std::{
    cell::{Cell, RefCell},
    future::Future as _,
    io,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::proxy::fields::Fields;

thread_local! {
    static BYTES: RefCell<BytesMut> = RefCell::default();
    static FIELDS: Cell<Fields> = const { Cell::new(Fields::new()) };
}

/// Reads what is there, `most` bytes at most; nothing: the other side has said all. What is read shares its memory with what
/// others read: whoever keeps a little of it for long copies it.
pub fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    most: usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
    BYTES.with_borrow_mut(|bytes| {
        if bytes.capacity() < most {
            bytes.reserve(most.max(SLAB));
        }
        ready!(pin!(stream.read_buf(&mut (&mut *bytes).limit(most))).poll(context))?;
        Poll::Ready(Ok(bytes.split().freeze()))
    })
}

/// Whether nobody holds any of what was read into this room.
#[cfg(test)]
pub(super) fn is_free() -> bool {
    BYTES.with_borrow_mut(|bytes| bytes.try_reclaim(SLAB))
}

/// A list with room for the fields of a message, with none in it.
pub fn fields() -> Fields {
    FIELDS.take()
}

/// Gives it back.
pub fn keep_fields(mut fields: Fields) {
    fields.clear();
    FIELDS.set(fields);
}

/// How much is read at a time, in bytes, until somebody sends more than that at once.
pub const GULP: usize = 8 << 10;
/// The most that is read at a time of what is longer than [`WHOLE`]; it is passed on while the core still has it at hand.
pub const MOST: usize = 32 << 10;
/// What a body of 64 KiB takes with its head: as much is read at once where no more is to come. A reader who takes nothing has
/// one such piece waiting, beside what is to be written to it.
pub const WHOLE: usize = 66 << 10;

/// How much to read when so much is to come.
pub fn piece(left: u64) -> usize {
    usize::try_from(left).ok().filter(|left| *left <= WHOLE).unwrap_or(MOST)
}

/// As much is made room for at a time.
const SLAB: usize = 16 << 10;
