//! A client's socket with an end to patience: whoever does not take an answer loses it.
//!
//! A client that stops reading, or reads a byte at a time, would otherwise hold a connection to an upstream, what is
//! buffered on the way, and its own place, for as long as it likes. Nothing is timed as long as the kernel takes what
//! is written.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::domain::time::Clock;

/// How slow a client may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long it may keep us waiting before it is judged; the longest silence.
    pub within: Duration,
    /// The least bytes in a second, on average over that time; 0: any byte will do.
    pub rate: u64,
}

impl Pace {
    /// Whether so many bytes are enough for so long a wait.
    pub fn allows(&self, bytes: u64, waited: Duration) -> bool {
        bytes > 0 && u128::from(bytes) * 1000 >= u128::from(self.rate) * waited.as_millis()
    }
}

/// What the other side was waited for, since it was last found fast enough. Time in which it is not waited for does not
/// count, and costs no look at the clock.
#[derive(Debug, Default)]
pub struct Waits {
    /// When the present wait began, by the clock's uptime.
    since: Option<Duration>,
    sum: Duration,
    bytes: u64,
}

impl Waits {
    /// It is waited for; whether that begins now.
    pub fn begin(&mut self, clock: &Clock) -> bool {
        let begins = self.since.is_none();
        if begins {
            self.since = Some(clock.uptime());
        }
        begins
    }

    /// So many bytes moved. Whether that is enough for the time in which they were waited for.
    pub fn moved(&mut self, bytes: usize, pace: Pace, clock: &Clock) -> bool {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let Some(since) = self.since.take() else { return true };
        self.sum += clock.uptime().saturating_sub(since);
        if self.sum < pace.within {
            return true;
        }
        let Self { sum, bytes, .. } = std::mem::take(self);
        pace.allows(bytes, sum)
    }
}

/// A connection that is reset when the other side takes what is written more slowly than it may.
#[derive(Debug)]
pub struct Patient {
    stream: TcpStream,
    pace: Pace,
    clock: Clock,
    waits: Waits,
    /// For the longest silence; made for the first byte that has to wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// A connection on which nothing was written yet.
    pub fn new(stream: TcpStream, pace: Pace, clock: Clock) -> Self {
        Self { stream, pace, clock, waits: Waits::default(), timer: None }
    }

    /// What is not written by now is lost, and the other side sees that it is.
    pub fn end_in_reset(&self) {
        let _ = self.stream.set_zero_linger();
    }

    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let fast_enough = match &written {
            Poll::Pending => self.wait(context),
            Poll::Ready(Ok(count)) => self.waits.moved(*count, self.pace, &self.clock),
            Poll::Ready(Err(_)) => true,
        };
        if fast_enough { written } else { Poll::Ready(Err(self.give_up())) }
    }

    /// Whether the other side may go on taking nothing.
    fn wait(&mut self, context: &mut Context<'_>) -> bool {
        let within = self.pace.within;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(within)));
        if self.waits.begin(&self.clock) {
            timer.set(sleep(within));
        }
        timer.as_mut().poll(context).is_pending()
    }

    /// What was not taken is not kept in the kernel either, and half an answer never ends as a whole one does.
    fn give_up(&self) -> io::Error {
        self.end_in_reset();
        io::Error::new(io::ErrorKind::TimedOut, "the client takes its answer too slowly")
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.judge(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.judge(context, written)
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
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    use super::*;
    use crate::domain::time::Timestamp;

    const WITHIN: Duration = Duration::from_millis(200);

    async fn pair(rate: u64) -> (Patient, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        (Patient::new(ours, Pace { within: WITHIN, rate }, Clock::system()), theirs)
    }

    #[test]
    fn a_rate_is_an_average_and_silence_is_never_enough() {
        let pace = |rate| Pace { within: WITHIN, rate };
        for (rate, bytes, millis, enough) in [
            (0, 0, 1, false),
            (0, 1, u64::MAX, true),
            (100, 99, 1000, false),
            (100, 100, 1000, true),
            (100, 5999, 60_000, false),
            (u64::MAX, u64::MAX, 1000, true),
            (u64::MAX, u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(
                pace(rate).allows(bytes, Duration::from_millis(millis)),
                enough,
                "{rate} {bytes} {millis}"
            );
        }
    }

    #[tokio::test]
    async fn whoever_reads_nothing_is_reset() {
        let (mut ours, mut theirs) = pair(0).await;
        let written = timeout(WITHIN * 50, ours.write_all(&vec![0; 64 << 20])).await.expect("an end");
        assert_eq!(written.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        drop(ours);
        let mut rest = Vec::new();
        let end = theirs.read_to_end(&mut rest).await.map_err(|error| error.kind());
        assert_eq!(end, Err(io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn only_waiting_counts_and_a_window_begins_anew() {
        let (clock, pace) = (Clock::manual(Timestamp::default()), Pace { within: WITHIN, rate: 100 });
        let mut waits = Waits::default();
        let mut after = |waited: u64, bytes: usize| {
            clock.advance(WITHIN * 10);
            assert!(waits.begin(&clock) && !waits.begin(&clock));
            clock.advance(Duration::from_millis(waited));
            waits.moved(bytes, pace, &clock)
        };
        // 100 in a second are 20 in 200 ms.
        for (waited, bytes, enough) in
            [(199, 1, true), (1, 19, true), (199, 1, true), (1, 18, false), (200, 20, true), (200, 0, false)]
        {
            assert_eq!(after(waited, bytes), enough, "{bytes} after {waited} ms");
        }
        assert!(Waits::default().moved(0, pace, &clock), "nobody waited");
    }

    #[tokio::test]
    async fn time_in_which_nothing_waits_is_nobody_s_fault() {
        let (mut ours, mut theirs) = pair(1 << 20).await;
        let reading = async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.map(|_| all.len())
        };
        let writing = async move {
            for _ in 0..3 {
                ours.write_all(&vec![0; 8 << 20]).await.unwrap();
                sleep(WITHIN * 2).await;
            }
            ours.shutdown().await.unwrap();
        };
        assert_eq!(tokio::join!(reading, writing).0.unwrap(), 24 << 20);
    }
}
