//! The node that commands ask about one customer.

use crate::service::client::{ApiClient, Target};
use clap::Args;

/// Which node is asked; the command has an argument `customer`.
#[derive(Debug, Args)]
pub(super) struct AskedNode {
    /// Address of the node that is asked about the customer.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:7878",
        requires = "customer"
    )]
    url: String,
}

impl AskedNode {
    /// A client of it.
    pub(super) fn client(&self) -> ApiClient {
        ApiClient::new(Target::Url(self.url.clone()))
    }
}
