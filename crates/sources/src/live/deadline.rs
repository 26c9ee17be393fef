//! A socket with a deadline: one that delivers a byte now and then never exceeds a read timeout.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A TCP stream on which every call fails with [`io::ErrorKind::TimedOut`] once the deadline has passed.
#[derive(Debug)]
pub(super) struct Timed {
    stream: TcpStream,
    deadline: Option<Instant>,
}

impl Timed {
    /// Everything that is read and written from now on must take less than `limit` in all.
    pub(super) fn new(stream: TcpStream, limit: Duration) -> io::Result<Self> {
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { stream, deadline: Some(Instant::now() + limit) })
    }

    /// Replaces the deadline by a timeout for each read.
    pub(super) fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.deadline = None;
        self.stream.set_read_timeout(Some(timeout))
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let Some(deadline) = self.deadline else { return Ok(None) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = self.left()? {
            self.stream.set_read_timeout(Some(left))?;
        }
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_trickle_ends_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let trickle = std::thread::spawn(move || {
            while peer.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mut timed = Timed::new(stream, Duration::from_millis(200)).unwrap();
        let (mut buffer, mut got) = ([0; 1], 0);
        let error = loop {
            match timed.read(&mut buffer) {
                Ok(count) => got += count,
                Err(error) => break error,
            }
        };
        assert!(got > 1, "{got}");
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        timed.set_read_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(timed.read(&mut buffer).unwrap(), 1);
        drop(timed);
        trickle.join().unwrap();
    }
}
