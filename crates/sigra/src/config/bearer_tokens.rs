//! The settings of bearer tokens.

use crate::{
    base::config_error::ConfigError,
    model::permission::{BadList, PermissionList},
};

const MAX_PREFIX: usize = 40;

#[derive(Clone, Debug)]
pub(crate) struct BearerTokens {
    pub permissions: PermissionList,
    pub prefix: String,
    /// The maximum number of personal access tokens.
    pub per_user: usize,
    pub resource_metadata: Option<String>,
}

impl BearerTokens {
    /// Returns the defaults of an application.
    pub fn of(app: &str) -> Self {
        Self { permissions: PermissionList::new(), prefix: prefix_of(app), per_user: 50, resource_metadata: None }
    }

    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_prefix()?;
        self.check_resource_metadata()?;
        self.permissions.check().map_err(|bad| match bad {
            BadList::Name(name) => ConfigError::PermissionName(name),
            BadList::Twice(name) => ConfigError::SamePermission(name),
        })
    }

    fn check_prefix(&self) -> Result<(), ConfigError> {
        let is_prefix = self.prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match is_prefix && (1..=MAX_PREFIX).contains(&self.prefix.len()) {
            true => Ok(()),
            false => Err(ConfigError::TokenPrefix(self.prefix.clone())),
        }
    }

    fn check_resource_metadata(&self) -> Result<(), ConfigError> {
        let is_url = |url: &str| url.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        match &self.resource_metadata {
            Some(url) if !is_url(url) => Err(ConfigError::ResourceMetadata(url.clone())),
            _ => Ok(()),
        }
    }
}

/// Returns the name of an application as a prefix of tokens, which a double click selects as a whole.
fn prefix_of(app: &str) -> String {
    let prefix = app.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    let prefix: String = prefix.take(MAX_PREFIX).collect();
    if prefix.is_empty() { "app".to_owned() } else { prefix }
}
