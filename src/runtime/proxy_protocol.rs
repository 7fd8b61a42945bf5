//! The PROXY protocol, versions 1 and 2: what a load balancer says about a connection before anything is said on it.
//!
//! The header is read to its end and not a byte further: what follows is TLS or HTTP. It is bounded in size, its time is
//! the caller's to bound, and whatever is not exactly a header ends the connection, because a byte that was taken for
//! part of it, or was not, would shift everything after it.

use std::{io, net::IpAddr};

use ppp::{v1, v2};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// A client with this address.
    Client(IpAddr),
    /// The load balancer's own: it looks whether we are there.
    Itself,
    /// Somebody's, without an address that can be told.
    Nobody,
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum NotAnnounced {
    /// It broke off.
    #[error("the PROXY header broke off: {0}")]
    Broken(#[from] io::Error),
    /// There is no header, or one that breaks the protocol.
    #[error("there is no valid PROXY header")]
    Invalid,
    /// It is longer than is read.
    #[error("the PROXY header has more than {LONGEST} bytes")]
    TooLong,
}

/// Reads the header.
pub async fn announced(stream: &mut TcpStream) -> Result<Announced, NotAnnounced> {
    // Shorter than any header: this much may be read whatever it is.
    let mut head = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut head).await?;
    if head == SIGNATURE {
        binary(stream, head).await
    } else if head.starts_with(b"PROXY ") {
        line(stream, head).await
    } else {
        Err(NotAnnounced::Invalid)
    }
}

/// Version 2: a length, then addresses and whatever else the load balancer has to say, which is skipped.
async fn binary(stream: &mut TcpStream, mut head: Vec<u8>) -> Result<Announced, NotAnnounced> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if head.len() + fixed.len() + length > LONGEST {
        return Err(NotAnnounced::TooLong);
    }
    head.extend_from_slice(&fixed);
    let begun = head.len();
    head.resize(begun + length, 0);
    stream.read_exact(&mut head[begun..]).await?;
    let header = v2::Header::try_from(head.as_slice()).map_err(|_| NotAnnounced::Invalid)?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Local, _) => Announced::Itself,
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => Announced::Client(ip.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => Announced::Client(ip.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => Announced::Nobody,
    })
}

/// Version 1: a line. What has come is looked at before it is taken, so that nothing behind the line is.
async fn line(stream: &mut TcpStream, mut head: Vec<u8>) -> Result<Announced, NotAnnounced> {
    let mut ahead = [0; LONGEST_LINE];
    while !head.ends_with(b"\n") {
        let room = LONGEST_LINE - head.len();
        if room == 0 {
            return Err(NotAnnounced::TooLong);
        }
        let seen = stream.peek(&mut ahead[..room]).await?;
        if seen == 0 {
            return Err(NotAnnounced::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let end = ahead[..seen].iter().position(|byte| *byte == b'\n');
        let take = end.map_or(seen, |end| end + 1);
        stream.read_exact(&mut ahead[..take]).await?;
        head.extend_from_slice(&ahead[..take]);
    }
    let header = v1::Header::try_from(head.as_slice()).map_err(|_| NotAnnounced::Invalid)?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(ip) => Announced::Client(ip.source_address.into()),
        v1::Addresses::Tcp6(ip) => Announced::Client(ip.source_address.into()),
        v1::Addresses::Unknown => Announced::Nobody,
    })
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// In bytes, with its end.
const LONGEST_LINE: usize = 107;
/// In bytes: addresses need 52, and what cloud providers add some hundreds.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// What is read of these bytes, and what is left of them.
    async fn read(bytes: &[u8]) -> (Result<Announced, NotAnnounced>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let outcome = announced(&mut stream).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        (outcome, rest)
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, body].concat()
    }

    const V4: [u8; 12] = [203, 0, 113, 5, 10, 0, 0, 1, 0, 80, 1, 187];

    #[tokio::test]
    async fn a_header_is_read_to_its_end_and_no_further() {
        let client = Announced::Client([203, 0, 113, 5].into());
        let v6 = Announced::Client("2001:db8::1".parse().unwrap());
        let mut sixes = [0; 36];
        sixes[..16]
            .copy_from_slice(&u128::from("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap()).to_be_bytes());
        let cases = [
            (b"PROXY TCP4 203.0.113.5 10.0.0.1 80 443\r\n".to_vec(), client),
            (b"PROXY TCP6 2001:db8::1 ::1 80 443\r\n".to_vec(), v6),
            (b"PROXY UNKNOWN\r\n".to_vec(), Announced::Nobody),
            (v2(1, 0x11, &V4), client),
            (v2(1, 0x21, &sixes), v6),
            // With two further values behind the addresses.
            (v2(1, 0x11, &[&V4[..], &[4, 0, 1, 0], &[0xea, 0, 2, 7, 7]].concat()), client),
            (v2(0, 0x00, &[]), Announced::Itself),
            (v2(0, 0x11, &V4), Announced::Itself),
            (v2(1, 0x00, &[]), Announced::Nobody),
            (v2(1, 0x31, &[0; 216]), Announced::Nobody),
        ];
        for (header, expected) in cases {
            for rest in [&b""[..], b"GET / HTTP/1.1\r\n", b"\n\nPROXY "] {
                let (outcome, left) = read(&[&header, rest].concat()).await;
                assert_eq!(outcome.ok(), Some(expected), "{header:?}");
                assert_eq!(left, rest);
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_whole_header_is_refused() {
        let long = format!("PROXY TCP4 {} 10.0.0.1 80 443\r\n", "1".repeat(100));
        let cut = &v2(1, 0x11, &V4)[..20];
        let endless = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff], &[0; 100]].concat();
        let version3 = [SIGNATURE, &[0x31, 0x11, 0, 12], &V4].concat();
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n",
            b"PROXY TCP4 203.0.113.5 10.0.0.1 80 443",
            b"PROXY TCP4 203.0.113.5 10.0.0.1 80 443\nGET / HTTP/1.1\r\n",
            b"PROXY TCP4 010.0.0.1 10.0.0.1 80 443\r\n",
            b"PROXY TCP4 203.0.113.5 10.0.0.1 80 99999\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 80 443\r\n",
            b"PROXY  TCP4 203.0.113.5 10.0.0.1 80 443\r\n",
            b"proxy TCP4 203.0.113.5 10.0.0.1 80 443\r\n",
            b"PROXY TCP4 203.0.113.5\r\n",
            long.as_bytes(),
            cut,
            &endless,
            &version3,
            &v2(1, 0x11, &V4[..11]),
            &v2(7, 0x11, &V4),
        ] {
            let (outcome, _) = read(bytes).await;
            assert!(outcome.is_err(), "{outcome:?} of {:?}", String::from_utf8_lossy(bytes));
        }
    }
}
