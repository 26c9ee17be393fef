//! A connection to one broker: one request at a time, its answer read as far as it has come.

use super::wire::{self, Limits, Want};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long a broker's address is tried.
const CONNECT: Duration = Duration::from_secs(1);
/// How long beyond the wait it was asked for a broker may keep silent.
const SILENCE: Duration = Duration::from_secs(10);
/// No answer is longer: what says it is, is no Kafka broker.
const LARGEST: usize = 512 * 1024 * 1024;

/// What was asked of a partition, and by which of its holdings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) want: Want,
    pub(super) holding: u64,
}

pub(super) struct Connection {
    stream: TcpStream,
    number: i32,
    out: Vec<u8>,
    sent: usize,
    inbox: Vec<u8>,
    filled: usize,
    /// When it was asked, or last sent something.
    since: Instant,
    asked: Vec<Asked>,
}

impl Connection {
    pub(super) fn open(host: &str, port: u16) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "its name has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    let (out, inbox, asked) = (Vec::new(), vec![0; 64 * 1024], Vec::new());
                    let since = Instant::now();
                    return Ok(Self { stream, number: 0, out, sent: 0, inbox, filled: 0, since, asked });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whether nothing is asked that was not answered.
    pub(super) fn idle(&self) -> bool {
        self.asked.is_empty()
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether a request is not wholly sent.
    pub(super) fn unsent(&self) -> bool {
        self.sent < self.out.len()
    }

    /// Sends a request; only when [idle](Self::idle).
    pub(super) fn ask(&mut self, names: &[String], asked: Vec<Asked>, limits: Limits) -> io::Result<()> {
        let wants: Vec<Want> = asked.iter().map(|asked| asked.want).collect();
        self.number = self.number.wrapping_add(1);
        wire::request(&mut self.out, self.number, names, &wants, limits);
        (self.sent, self.asked, self.since) = (0, asked, Instant::now());
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        while self.unsent() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends and reads what can be at once. True when an answer is whole.
    pub(super) fn pump(&mut self) -> io::Result<bool> {
        self.send()?;
        loop {
            let whole = self.whole()?;
            if self.filled == whole {
                return Ok(true);
            }
            if self.inbox.len() < whole {
                self.inbox.resize(whole, 0);
            }
            match self.stream.read(&mut self.inbox[self.filled..]) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection")),
                Ok(count) => {
                    self.filled += count;
                    self.since = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !self.idle() && self.since.elapsed() > SILENCE {
            return Err(io::Error::new(ErrorKind::TimedOut, "it does not answer"));
        }
        Ok(false)
    }

    /// Bytes of the answer that is coming, its length included, as far as that is known.
    fn whole(&self) -> io::Result<usize> {
        let Some(length) = self.inbox[..self.filled].first_chunk::<4>() else { return Ok(4) };
        let whole = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX).saturating_add(4);
        if whole > LARGEST || self.filled > whole {
            return Err(io::Error::new(ErrorKind::InvalidData, "it answers as no Kafka broker does"));
        }
        Ok(whole)
    }

    /// The answer that [`pump`](Self::pump) found whole: its bytes behind the length, in exchange for room for the next,
    /// and what had been asked.
    pub(super) fn answer(&mut self, room: Vec<u8>) -> io::Result<(Vec<u8>, usize, Vec<Asked>)> {
        let bytes = std::mem::replace(&mut self.inbox, room);
        let filled = std::mem::take(&mut self.filled);
        if self.inbox.len() < 4 {
            self.inbox.resize(64 * 1024, 0);
        }
        if bytes.get(4..8) != Some(&self.number.to_be_bytes()) {
            return Err(io::Error::new(ErrorKind::InvalidData, "it answers what was not asked"));
        }
        Ok((bytes, filled, std::mem::take(&mut self.asked)))
    }
}
