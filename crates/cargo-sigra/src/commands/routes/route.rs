//! Routes, as they are listed.

use serde::Serialize;

use super::requirement::Requirement;

/// A line of the list.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    pub method: String,
    pub path: String,
    pub requirement: Requirement,
    /// The permissions that a token must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// Whether there is a rate limit for each IP address.
    #[serde(rename = "limited")]
    pub is_limited: bool,
    pub handler: String,
}
