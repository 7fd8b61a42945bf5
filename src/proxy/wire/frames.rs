//! A client's HTTP/2 connection: what costs the client next to nothing and the gateway something.
//!
//! The library below bounds what it keeps: streams, header lists, CONTINUATION frames, tiny and empty DATA, streams
//! that are reset before anybody has seen them. Not bounded there are frames that are answered or thrown away as they
//! come (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, unknown types), and the time that a header block may take.
//! Both are here, by a look at the nine bytes that every frame begins with (RFC 9113 section 4.1); nothing else of a
//! frame is read.
//!
//! Such frames are paid for from an allowance. It fills up with time, and with every byte that the client takes off us,
//! because whoever reads a large answer sends WINDOW_UPDATE all the while. Whoever has none left is cut off.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Frames that a connection may send for nothing, at the most.
const MOST: u32 = 1000;
/// How many it gets back in each [`PERIOD`].
const REFILL: u32 = 100;
const PERIOD: Duration = Duration::from_secs(1);
/// So many bytes written to the client are worth one frame.
const BYTES_PER_FRAME: usize = 256;
/// What a connection begins with.
const PREFACE: usize = 24;
/// Length, type, flags, stream.
const FRAME_HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// A client's connection, to be given to whoever speaks HTTP/2.
#[derive(Debug)]
pub struct Frames<S> {
    stream: S,
    reading: Reading,
    allowance: u32,
    /// Written bytes that were not worth a frame yet.
    change: usize,
    period: Pin<Box<Sleep>>,
    /// How long the preface, and each header block, may take.
    patience: Duration,
    /// Runs while one of them has begun and not ended.
    late: Option<Pin<Box<Sleep>>>,
    heard: Heard,
}

/// How often a client has said something that shows that it still means to use its connection.
#[derive(Debug, Clone, Default)]
pub struct Heard(Rc<Cell<u64>>);

impl Heard {
    /// Grows with every such frame.
    pub fn count(&self) -> u64 {
        self.0.get()
    }
}

/// Where in the client's bytes we are.
#[derive(Debug)]
struct Reading {
    /// Bytes to skip: of the preface, of a frame's payload.
    left: usize,
    head: [u8; FRAME_HEAD],
    /// So much of it has come.
    known: usize,
    /// A header block, or the preface, has begun and not ended.
    unfinished: bool,
    /// The frame whose payload is skipped ends what is unfinished.
    ends: bool,
}

/// A frame, as far as anybody here wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    kind: u8,
    length: usize,
}

impl<S> Frames<S> {
    /// Watches a connection from its first byte.
    pub fn new(stream: S, patience: Duration) -> (Self, Heard) {
        let heard = Heard::default();
        let frames = Self {
            stream,
            reading: Reading::new(),
            allowance: MOST,
            change: 0,
            period: Box::pin(sleep(PERIOD)),
            patience,
            late: None,
            heard: heard.clone(),
        };
        (frames, heard)
    }

    fn saw(&mut self, bytes: &[u8], context: &mut Context<'_>) -> io::Result<()> {
        let (mut costly, mut heard) = (0_u32, 0_u64);
        self.reading.read(bytes, |frame| {
            match frame.kind {
                HEADERS => heard += 1,
                DATA if frame.length > 0 => heard += 1,
                WINDOW_UPDATE => (heard, costly) = (heard + 1, costly + 1),
                // Anything else, and what says nothing: DATA and CONTINUATION without a byte.
                CONTINUATION if frame.length > 0 => {}
                _ => costly += 1,
            }
        });
        self.heard.0.set(self.heard.0.get().wrapping_add(heard));
        if !self.reading.unfinished {
            self.late = None;
        }
        self.pay(costly, context)
    }

    fn pay(&mut self, costly: u32, context: &mut Context<'_>) -> io::Result<()> {
        if self.allowance < costly && self.period.as_mut().poll(context).is_ready() {
            self.allowance = (self.allowance + REFILL).min(MOST);
            self.period.set(sleep(PERIOD));
        }
        self.allowance = self
            .allowance
            .checked_sub(costly)
            .ok_or_else(|| io::Error::other("the client sent more control frames than it is allowed"))?;
        Ok(())
    }

    fn earn(&mut self, written: usize) {
        self.change += written;
        if self.change >= BYTES_PER_FRAME {
            let earned = u32::try_from(self.change / BYTES_PER_FRAME).unwrap_or(u32::MAX);
            self.allowance = self.allowance.saturating_add(earned).min(MOST);
            self.change %= BYTES_PER_FRAME;
        }
    }

    /// Waits for the rest of what has begun.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.reading.unfinished {
            return Poll::Pending;
        }
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "a header block did not arrive in time")))
    }
}

impl Reading {
    const fn new() -> Self {
        Self { left: PREFACE, head: [0; FRAME_HEAD], known: 0, unfinished: true, ends: true }
    }

    /// Reads on; tells each frame when its head has come.
    fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
            } else {
                let taken = (FRAME_HEAD - self.known).min(bytes.len());
                self.head[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
                self.known += taken;
                bytes = &bytes[taken..];
                if self.known == FRAME_HEAD {
                    self.known = 0;
                    tell(self.begin());
                }
            }
            if self.left == 0 && self.ends {
                (self.unfinished, self.ends) = (false, false);
            }
        }
    }

    fn begin(&mut self) -> Frame {
        let [high, middle, low, kind, flags, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.left = length;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.unfinished = true;
            self.ends = flags & END_HEADERS != 0;
        }
        Frame { kind, length }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let frames = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut frames.stream).poll_read(context, buffer) {
            Poll::Pending => frames.wait(context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                Poll::Ready(frames.saw(buffer.filled().get(before..).unwrap_or_default(), context))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let frames = self.get_mut();
        let count = ready!(Pin::new(&mut frames.stream).poll_write(context, bytes))?;
        frames.earn(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let frames = self.get_mut();
        let count = ready!(Pin::new(&mut frames.stream).poll_write_vectored(context, parts))?;
        frames.earn(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// The frames, and whether something is unfinished after them.
    fn read(bytes: &[u8], piece: usize) -> (Vec<(u8, usize)>, bool) {
        let (mut reading, mut frames) = (Reading::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            reading.read(piece, |frame| frames.push((frame.kind, frame.length)));
        }
        (frames, reading.unfinished)
    }

    #[test]
    fn frames_are_told_and_blocks_end_where_they_end() {
        let preface = [b'x'; PREFACE];
        let begun = [&preface[..], &frame(4, 0, &[0; 6]), &frame(HEADERS, 0, &[1; 5])].concat();
        assert_eq!(read(&preface[..20], 7), (vec![], true));
        assert_eq!(read(&preface, 7), (vec![], false));
        assert_eq!(read(&begun, 1), (vec![(4, 6), (HEADERS, 5)], true));
        let more = [&begun[..], &frame(CONTINUATION, 0, &[])].concat();
        assert!(read(&more, 3).1);
        let ended = [&more[..], &frame(CONTINUATION, END_HEADERS, &[1; 300])].concat();
        assert!(read(&ended[..ended.len() - 1], 5).1);
        assert_eq!(read(&ended, 5), (vec![(4, 6), (1, 5), (9, 0), (9, 300)], false));
        let empty = [&begun[..], &frame(CONTINUATION, END_HEADERS, &[])].concat();
        assert!(!read(&empty, 2).1);
    }

    #[tokio::test]
    async fn what_costs_nothing_is_paid_for() {
        let (mut frames, heard) = Frames::new(tokio::io::empty(), Duration::from_secs(1));
        let mut context = Context::from_waker(std::task::Waker::noop());
        frames.saw(&[0; PREFACE], &mut context).unwrap();
        let ping = frame(6, 0, &[0; 8]);
        for _ in 0..MOST {
            frames.saw(&ping, &mut context).unwrap();
        }
        assert!(frames.saw(&ping, &mut context).is_err());
        sleep(PERIOD).await;
        for _ in 0..REFILL {
            frames.saw(&ping, &mut context).unwrap();
        }
        assert!(frames.saw(&ping, &mut context).is_err());
        assert_eq!(heard.count(), 0, "a ping is no use of a connection");
        // Whoever reads much may say so often.
        frames.earn(BYTES_PER_FRAME * 3 + 1);
        for _ in 0..3 {
            frames.saw(&frame(WINDOW_UPDATE, 0, &[0; 4]), &mut context).unwrap();
        }
        assert!(frames.saw(&ping, &mut context).is_err());
        assert_eq!(heard.count(), 3);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..40) {
            prop_assert_eq!(read(&bytes, piece), read(&bytes, usize::MAX));
        }
    }
}
