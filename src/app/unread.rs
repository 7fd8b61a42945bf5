//! Connections whose clients do not read: an answer that is not taken in time ends the connection, or a few hundred
//! such clients, without any credential, would hold every place there is.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A connection on which all that was written has to be taken within a time.
#[derive(Debug)]
pub(super) struct Taken<S> {
    stream: S,
    within: Duration,
    /// Runs from the first byte that had to wait until none waits. A trickle does not stop it.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    /// Gives the client so long to take what is written.
    pub(super) const fn new(stream: S, within: Duration) -> Self {
        Self { stream, within, waiting: None }
    }

    fn or_late<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            let within = self.within;
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(within)));
            if waiting.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = self.get_mut();
        let polled = Pin::new(&mut taken.stream).poll_write(context, bytes);
        taken.or_late(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = self.get_mut();
        let polled = Pin::new(&mut taken.stream).poll_write_vectored(context, parts);
        taken.or_late(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once its own buffer is empty: then nothing waits any more.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let taken = self.get_mut();
        let polled = Pin::new(&mut taken.stream).poll_flush(context);
        if matches!(polled, Poll::Ready(Ok(()))) {
            taken.waiting = None;
        }
        taken.or_late(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let taken = self.get_mut();
        let polled = Pin::new(&mut taken.stream).poll_shutdown(context);
        taken.or_late(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const WITHIN: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn nobody_holds_a_place_by_not_reading() {
        let (ours, theirs) = duplex(16);
        let mut ours = Taken::new(ours, WITHIN);
        let written = ours.write_all(&[0; 64]).await;
        assert_eq!(written.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        drop(theirs);
    }

    #[tokio::test]
    async fn a_trickle_is_not_reading() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Taken::new(ours, WITHIN);
        let trickle = async {
            loop {
                let mut byte = [0];
                if theirs.read(&mut byte).await.unwrap_or(0) == 0 {
                    return;
                }
                sleep(WITHIN / 10).await;
            }
        };
        tokio::select! {
            written = ours.write_all(&[0; 4096]) => {
                assert_eq!(written.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
            }
            () = trickle => panic!("the writer was still there"),
        }
    }

    #[tokio::test]
    async fn who_reads_is_served_for_as_long_as_they_like() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Taken::new(ours, WITHIN);
        for _ in 0..3 {
            let mut answer = [0; 64];
            let (written, read) = tokio::join!(
                async {
                    ours.write_all(&[7; 64]).await?;
                    ours.flush().await
                },
                theirs.read_exact(&mut answer)
            );
            assert!(written.is_ok() && read.is_ok());
            sleep(WITHIN).await;
        }
    }
}
