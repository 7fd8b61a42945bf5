//! Room that a thread's connections read into and write heads in, one after the other, so that none of them holds any while
//! it waits for a request.

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
    static TEXTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
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

/// A text with room for the head of a message and a short body, with nothing in it.
pub fn text() -> Vec<u8> {
    TEXTS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(USUAL_TEXT))
}

/// Gives it back.
pub fn keep_text(mut text: Vec<u8>) {
    TEXTS.with_borrow_mut(|texts| {
        if texts.len() < MOST_TEXTS && (USUAL_TEXT..=LONGEST_TEXT).contains(&text.capacity()) {
            text.clear();
            texts.push(text);
        }
    });
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
/// In bytes: nearly every head, with a body that is put behind it.
const USUAL_TEXT: usize = 2 << 10;
/// In bytes: of one that is kept.
const LONGEST_TEXT: usize = 8 << 10;
/// As many as requests that are begun in one turn of the runtime have use for.
const MOST_TEXTS: usize = 16;
