//! A tier's server: what runs in each container of a service or queue tier.
//!
//! One thread does all input and output; as many threads as the model has workers burn the demands. A visit waits
//! for a worker in the order of arrival, is refused when the line is full, burns what its class costs, makes its
//! calls in stages, and is answered. A visit whose caller gave up goes on, as in the simulation.

mod balance;
mod call;
mod http;
mod redis;
mod tier;
mod workers;

pub use self::balance::Spread;
pub use self::http::{HttpConnection, Serving, serve};
pub use self::redis::{RedisConnection, RedisError};
pub use self::workers::WORKERS_MAX;
