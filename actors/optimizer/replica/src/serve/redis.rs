//! As much of Redis' protocol as the replica speaks: commands out, one reply each back.
//!
//! A client library would do more than GET and SET need, and its own work would be measured as the tier's. Source:
//! the RESP2 specification, redis.io/docs/latest/develop/reference/protocol-spec.

use bytes::{Buf, BytesMut};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest reply that is read: above the largest object that the planner loads.
const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest line of a reply: a status, an error, a length.
const LINE_BYTES_MAX: usize = 4096;

/// Why Redis gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The connection failed.
    #[error("connection to redis: {0}")]
    Io(#[from] io::Error),
    /// Redis refused a command.
    #[error("redis: {0}")]
    Refused(String),
    /// It does not speak the protocol.
    #[error("redis sent what is no reply: {0}")]
    Malformed(&'static str),
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    /// A status such as `OK`.
    Status(String),
    /// An error's text.
    Error(String),
    /// A number.
    Number(i64),
    /// A value of so many bytes; its bytes are not kept.
    Value(usize),
    /// There is no value.
    Missing,
}

/// A connection.
#[derive(Debug)]
pub struct RedisConnection {
    stream: TcpStream,
    read: BytesMut,
    write: Vec<u8>,
}

impl RedisConnection {
    /// Connects.
    ///
    /// # Errors
    /// [`RedisError::Io`].
    pub async fn connect(address: &str) -> Result<Self, RedisError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: BytesMut::with_capacity(16 * 1024),
            write: Vec::new(),
        })
    }

    /// Says whether a key has a value.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn get(&mut self, key: &str) -> Result<bool, RedisError> {
        encode(&mut self.write, &[b"GET", key.as_bytes()]);
        Ok(matches!(self.ask(1).await?, Reply::Value(_)))
    }

    /// Sets a key.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn set(&mut self, key: &str, value: &[u8]) -> Result<(), RedisError> {
        encode(&mut self.write, &[b"SET", key.as_bytes(), value]);
        self.ask(1).await.map(drop)
    }

    /// Sets many keys to one value in one go.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn set_all(&mut self, keys: &[String], value: &[u8]) -> Result<(), RedisError> {
        for key in keys {
            encode(&mut self.write, &[b"SET", key.as_bytes(), value]);
        }
        self.ask(keys.len()).await.map(drop)
    }

    /// Asks whether it answers at all; a Redis that still reads its data does not.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn ping(&mut self) -> Result<(), RedisError> {
        encode(&mut self.write, &[b"PING"]);
        self.ask(1).await.map(drop)
    }

    /// Counts the keys.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn size(&mut self) -> Result<i64, RedisError> {
        encode(&mut self.write, &[b"DBSIZE"]);
        match self.ask(1).await? {
            Reply::Number(count) => Ok(count),
            _ => Err(RedisError::Malformed("DBSIZE answers with a number")),
        }
    }

    /// Sends what was encoded and reads as many replies; the last one is the answer, an error among them the error.
    async fn ask(&mut self, replies: usize) -> Result<Reply, RedisError> {
        self.stream.write_all(&self.write).await?;
        self.write.clear();
        let mut last = Reply::Missing;
        for _ in 0..replies {
            last = loop {
                if let Some(reply) = decode(&mut self.read)? {
                    break reply;
                }
                if self.stream.read_buf(&mut self.read).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            };
            if let Reply::Error(text) = last {
                return Err(RedisError::Refused(text));
            }
        }
        Ok(last)
    }
}

/// Appends a command.
fn encode(to: &mut Vec<u8>, words: &[&[u8]]) {
    to.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        to.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        to.extend_from_slice(word);
        to.extend_from_slice(b"\r\n");
    }
}

/// Takes one reply off the front; `None` while it is not whole.
fn decode(from: &mut BytesMut) -> Result<Option<Reply>, RedisError> {
    let Some(end) = from
        .windows(2)
        .take(LINE_BYTES_MAX)
        .position(|two| two == b"\r\n")
    else {
        if from.len() > LINE_BYTES_MAX {
            return Err(RedisError::Malformed("a line without an end"));
        }
        return Ok(None);
    };
    let line = std::str::from_utf8(&from[..end])
        .map_err(|_malformed| RedisError::Malformed("a line that is no text"))?;
    let malformed = RedisError::Malformed("a reply of an unknown kind");
    let mut letters = line.chars();
    let Some(kind) = letters.next() else {
        return Err(malformed);
    };
    let rest = letters.as_str();
    let number = || {
        let number: Result<i64, _> = rest.parse();
        number.map_err(|_malformed| RedisError::Malformed("a number that is none"))
    };
    let reply = match kind {
        '+' => Reply::Status(rest.to_owned()),
        '-' => Reply::Error(rest.to_owned()),
        ':' => Reply::Number(number()?),
        '$' => {
            let length = number()?;
            let Ok(length) = usize::try_from(length) else {
                from.advance(end + 2);
                return Ok(Some(Reply::Missing));
            };
            if length > REPLY_BYTES_MAX {
                return Err(RedisError::Malformed("a value that is too long"));
            }
            if from.len() < end + 2 + length + 2 {
                from.reserve(length);
                return Ok(None);
            }
            from.advance(end + 2 + length + 2);
            return Ok(Some(Reply::Value(length)));
        }
        _ => return Err(malformed),
    };
    from.advance(end + 2);
    Ok(Some(reply))
}

#[cfg(test)]
mod tests {
    use super::{Reply, decode, encode};
    use bytes::BytesMut;

    #[test]
    fn commands_are_lists_of_lengths_and_bytes() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &[b"GET", b"a"]);
        assert_eq!(bytes, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    }

    #[test]
    fn replies_come_whole_or_not_at_all() {
        let text = b"+OK\r\n:12\r\n$-1\r\n$3\r\nab\n\r\n-ERR no\r\n";
        let expected = [
            Reply::Status("OK".to_owned()),
            Reply::Number(12),
            Reply::Missing,
            Reply::Value(3),
            Reply::Error("ERR no".to_owned()),
        ];
        let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
        for byte in text {
            buffer.extend_from_slice(&[*byte]);
            found.extend(decode(&mut buffer).expect("it is well-formed"));
        }
        assert_eq!(found, expected);
        assert!(buffer.is_empty());
    }

    #[test]
    fn garbage_is_refused() {
        for text in [
            &b"?\r\n"[..],
            b"\r\n",
            b"$x\r\n",
            b"$99999999999\r\n",
            b":\xff\r\n",
        ] {
            assert!(decode(&mut BytesMut::from(text)).is_err(), "{text:?}");
        }
        let endless = vec![b'+'; 5000];
        assert!(decode(&mut BytesMut::from(endless.as_slice())).is_err());
    }
}
