//! Tests of the JSON protocol.
