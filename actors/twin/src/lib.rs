//! The digital twin of one customer.
