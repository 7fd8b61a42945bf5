//! Requests bent at random, the same in each run: what parsers have disagreed about.

/// Requests to bend; `{HEAD}` stands for the lines that each needs.
pub const SEEDS: [&str; 6] = [
    "GET /api/e HTTP/1.1\r\n{HEAD}\r\n",
    "POST /api/e HTTP/1.1\r\n{HEAD}Content-Length: 52\r\n\r\nGET /admin/pwn HTTP/1.1\r\nHost: gw\r\nX-API-Key: x\r\n\r\n..",
    "POST /api/e HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /api/e?a=b HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\nGET /api/f HTTP/1.1\r\n{HEAD}\r\n",
    "GET http://gw/api/e HTTP/1.1\r\n{HEAD}Connection: keep-alive, x-a\r\nX-A: 1\r\nCookie: a=b\r\n\r\n",
    "HEAD /api/e HTTP/1.0\r\n{HEAD}Connection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
];

/// What bends a request: pieces that parsers have disagreed about.
const PIECES: [&[u8]; 30] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"0",
    b"-1",
    b"0x",
    b"+",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: evil\r\n",
    b"X-Tenant-Id: B\r\n",
    b"Connection: content-length\r\n",
    b"HTTP/1.1",
    b"GET /admin/pwn HTTP/1.1\r\nHost: gw\r\n\r\n",
    b"0\r\n\r\n",
];

/// The same numbers in each run (xorshift64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or(0)
    }
}

/// The request, with one to four accidents.
pub fn bend(mut bytes: Vec<u8>, numbers: &mut Numbers) -> Vec<u8> {
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len());
        match numbers.below(5) {
            0 => drop(bytes.remove(at)),
            1 => bytes[at] = u8::try_from(numbers.below(256)).unwrap_or(0),
            2 => {
                let until = (at + 1 + numbers.below(20)).min(bytes.len());
                let again = bytes[at..until].to_vec();
                bytes.splice(at..at, again);
            }
            _ => drop(bytes.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied())),
        }
    }
    bytes
}
