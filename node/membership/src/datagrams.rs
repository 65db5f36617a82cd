//! The network as membership sees it: datagrams from and to addresses, passed in.

use async_trait::async_trait;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

/// A network that sockets can be opened on.
#[async_trait]
pub trait Datagrams: Debug + Send + Sync {
    /// Opens a socket; port 0 takes a free one.
    ///
    /// # Errors
    /// The system's, such as an address in use.
    async fn bind(&self, at: SocketAddr) -> io::Result<Box<dyn DatagramSocket>>;
}

/// An open socket.
#[async_trait]
pub trait DatagramSocket: Debug + Send + Sync {
    /// Says where others reach this socket, if its address is not the unspecified one.
    ///
    /// # Errors
    /// The system's.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Sends a datagram; it may be lost, doubled or overtaken.
    ///
    /// # Errors
    /// The system's; the datagram is lost then.
    async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()>;

    /// Waits for a datagram; cancelling the wait loses none. What is longer than the buffer is cut.
    ///
    /// # Errors
    /// The system's.
    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
}

/// UDP of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpDatagrams;

#[async_trait]
impl Datagrams for UdpDatagrams {
    async fn bind(&self, at: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        Ok(Box::new(UdpSocket(tokio::net::UdpSocket::bind(at).await?)))
    }
}

#[derive(Debug)]
struct UdpSocket(tokio::net::UdpSocket);

#[async_trait]
impl DatagramSocket for UdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.0.send_to(datagram, to).await.map(drop)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.recv_from(buffer).await
    }
}
