//! Layers of the generated application that refuse some requests.

use syn::{Expr, visit::Visit};

use super::requirement::Requirement;
use crate::{plan::users::UserNames, template::rename};

/// A layer that refuses some requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Requires(Requirement),
    LimitsIpAddress,
}

/// The gates, by the names that their functions have in this application.
pub struct Gates(Vec<(String, Gate)>);

impl Gates {
    pub fn of(users: &UserNames) -> Self {
        let gates = [
            ("require_sudo_mode", Gate::Requires(Requirement::Sudo)),
            ("require_authenticated_user", Gate::Requires(Requirement::User)),
            ("allow_mfa_enrollment", Gate::Requires(Requirement::Enrollment)),
            ("redirect_if_user_is_authenticated", Gate::Requires(Requirement::Visitor)),
            ("limit_ip_address", Gate::LimitsIpAddress),
        ];
        Self(gates.map(|(name, gate)| (rename::users_in_name(users, name), gate)).into())
    }

    /// Returns the gates that are named anywhere in these layers.
    pub fn in_layers(&self, layers: &[&Expr]) -> Vec<Gate> {
        let mut names = Names(Vec::new());
        layers.iter().for_each(|layer| names.visit_expr(layer));
        self.0.iter().filter(|(name, _)| names.0.contains(name)).map(|(_, gate)| *gate).collect()
    }
}

struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.0.push(ident.to_string());
    }
}
