//! The engine: blocking sockets, safe Rust. What a worker needs from the web server is the trait [`Downstream`].

use crate::ajp::request::ForwardRequest;
use crate::ajp::response::ResponseHead;

/// The client is gone or its request body broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientError;

/// The web server as a worker sees it. Implemented by `apache/request.rs` and by a fake in the tests.
///
/// The body of the response is passed in batches: any number of [`Downstream::body`] calls, then one [`Downstream::pass`], which
/// must come before the bytes given to `body` are overwritten.
pub trait Downstream {
    /// Reads request body bytes into `buffer`, blocking; 0 = end of body.
    ///
    /// # Errors
    /// [`ClientError`] when the client is gone, stalls past httpd's Timeout or broke its framing.
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError>;
    /// Starts the response. Nothing reaches the network yet.
    fn start(&mut self, head: &ResponseHead<'_>);
    /// Adds body bytes to the batch, without a copy: `bytes` must stay valid and unchanged until `pass`.
    fn body(&mut self, bytes: &[u8]);
    /// Passes the batch on; with `flush`, all the way to the client's socket.
    ///
    /// # Errors
    /// [`ClientError`] when the client is gone.
    fn pass(&mut self, flush: bool) -> Result<(), ClientError>;
    /// Whether any response byte may have left httpd (an error page can no longer replace the response).
    fn committed(&self) -> bool;
}

/// A request as the worker gets it: encoded per attempt, because route, secret and activation depend on the member.
#[derive(Debug)]
pub struct Request<'a> {
    /// All but secret, route and JK_LB_ACTIVATION.
    pub forward: ForwardRequest<'a>,
}
