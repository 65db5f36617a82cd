//! The recurrent quantile network on tch.
