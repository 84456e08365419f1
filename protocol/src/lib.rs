//! The Redis serialization protocol (RESP) as Larder's server speaks it.
//!
//! Requests and replies are treated differently because they come from different people. A request
//! comes from anyone who can reach the port: [`Parser`] reads it in place, bounded by [`Limits`],
//! looks at each byte once, knows no nesting, and allocates nothing per command. A reply is ours:
//! command handlers build one [`Reply`], and only [`encode()`] knows how RESP2 and RESP3 differ.
//!
//! The modules, in the order a request travels:
//!
//! * [`limits`]: what a peer may make us hold, before and after it has authenticated
//! * [`parser`]: bytes to argument positions, incrementally; [`inline`] holds the telnet form
//! * [`args`]: the arguments as a handler reads them, with a cursor that latches the first error
//! * [`kept`]: the arguments of commands that run later
//! * [`number`], [`decimal`]: numbers as Redis reads and prints them
//! * [`slot`]: key to cluster hash slot
//! * [`reply`], [`mod@encode`]: what a handler answers, and its bytes on the wire
//! * [`error`]: every error text, in one table
//!
//! What the crate does not do: no sockets, no clock, no knowledge of any command, no decoding of
//! replies.
//!
//! ```
//! use larder_protocol::{Limits, Parsed, Parser, Reply, Version, encode};
//!
//! let mut parser = Parser::new();
//! let input = b"*2\r\n$3\r\nGET\r\n$5\r\ncolor\r\nPING\r\n";
//!
//! let Ok(Parsed::Command { consumed }) = parser.parse(input, &Limits::DEFAULT) else { panic!() };
//! let args = parser.args(input);
//! assert_eq!((args.len(), args.at(0), args.at(1)), (2, &b"GET"[..], &b"color"[..]));
//! assert_eq!(&input[consumed..], b"PING\r\n");
//!
//! let mut output = Vec::new();
//! encode(&Reply::Bulk(b"blue"), Version::Resp2, &mut output);
//! encode(&Reply::Null, Version::Resp3, &mut output);
//! assert_eq!(output, b"$4\r\nblue\r\n_\r\n");
//! ```

pub mod args;
pub mod decimal;
pub mod encode;
pub mod error;
mod fpconv;
pub mod inline;
pub mod kept;
pub mod limits;
pub mod number;
pub mod parser;
pub mod rdb;
pub mod reply;
pub mod slot;
pub mod strings;

pub use args::{ArgReader, Args};
pub use encode::{Output, Version, encode};
pub use error::{CommandError, ProtocolError};
pub use kept::KeptArgs;
pub use limits::Limits;
pub use parser::{Parsed, Parser};
pub use reply::Reply;
pub use slot::key_slot;
pub use strings::Strings;
