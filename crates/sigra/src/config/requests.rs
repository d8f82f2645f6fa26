//! The settings of requests: proxies, limits and timeouts.

use std::time::Duration;

use ipnet::IpNet;

use crate::{
    base::config_error::{ConfigError, check_timeout},
    model::limit::AddressLimit,
};

#[derive(Clone, Debug)]
pub(crate) struct RequestSettings {
    pub trusted_proxies: Vec<IpNet>,
    pub rate_limits: bool,
    pub address_limit: AddressLimit,
    pub body_timeout: Duration,
}

impl Default for RequestSettings {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            rate_limits: true,
            address_limit: AddressLimit::default(),
            body_timeout: Duration::from_secs(30),
        }
    }
}

impl RequestSettings {
    pub fn check(&self) -> Result<(), ConfigError> {
        check_timeout("body_timeout", self.body_timeout)?;
        match self.trusted_proxies.iter().find(|network| is_everybody(network)) {
            Some(network) => Err(ConfigError::TrustsEverybody(*network)),
            None => Ok(()),
        }
    }

    /// Returns the limit of an IP address, unless limits are off.
    pub fn limit_of_addresses(&self) -> Option<AddressLimit> {
        self.rate_limits.then_some(self.address_limit)
    }
}

/// Returns whether a network is too wide to have only proxies.
///
/// Private networks have a prefix of at least 8 bits (RFC 1918) or 7 bits (RFC 4193). IPv6 contains the IPv4 addresses.
fn is_everybody(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < 8,
        IpNet::V6(network) if network.network().to_ipv4_mapped().is_some() => network.prefix_len() < 96 + 8,
        IpNet::V6(network) => network.prefix_len() < 7,
    }
}
