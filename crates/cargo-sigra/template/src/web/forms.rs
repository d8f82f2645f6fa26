//! The fields of all forms. A page calls a field `user[email]`, JSON calls it `email`: both fill the same struct.

use serde::Deserialize;
// <pages>
use serde::Deserializer;
// <passkeys>
use serde::de::{DeserializeOwned, Error};
// </passkeys>
use serde_json::Value;
// </pages>
use sigra::{Password, RememberMe};
// <mfa>
use sigra::mfa::{MfaCode, SecondFactor, TrustBrowser};
// </mfa>
// <passkeys>
use sigra::mfa::{PublicKeyCredential, RegisterPublicKeyCredential};
// </passkeys>

use crate::accounts::Proof;
// <oauth_server>
use crate::accounts::User;
// </oauth_server>

#[derive(Deserialize)]
pub struct Credentials {
    pub email: String,
    pub password: Password,
    // <pages>
    #[serde(default, deserialize_with = "checkbox")]
    // </pages>
    // <!pages>
    // #[serde(default)]
    // </!pages>
    pub remember_me: RememberMe,
    // <pages>
    /// `tried` if the page has set a cookie, which the browser should send with the form.
    #[serde(default)]
    pub cookies: String,
    // </pages>
}

#[derive(Deserialize)]
pub struct Registration {
    pub email: String,
    pub password: Password,
}

/// An email address: to send a link to, to change to, or to confirm the deletion of the account with.
#[derive(Deserialize)]
pub struct EmailForm {
    pub email: String,
}

#[derive(Deserialize)]
pub struct NewPassword {
    pub password: Password,
    password_confirmation: Option<Password>,
}

impl NewPassword {
    /// Returns the password as it was typed the second time. Programs send it once.
    pub fn confirmation(&self) -> &Password {
        self.password_confirmation.as_ref().unwrap_or(&self.password)
    }
}

#[derive(Deserialize)]
pub struct PasswordChange {
    /// Required if the user has a password and didn't log in with it.
    pub current_password: Option<Password>,
    #[serde(flatten)]
    pub new: NewPassword,
}

/// Confirms an email address. The password is required in browsers other than the one that registered.
#[derive(Deserialize)]
pub struct Confirmation {
    pub password: Option<Password>,
}

// <api_tokens>
#[derive(Deserialize)]
pub struct LogOutEverywhere {
    /// Whether the user's access tokens are revoked, too.
    // <pages>
    #[serde(default, deserialize_with = "checkbox")]
    // </pages>
    // <!pages>
    // #[serde(default)]
    // </!pages>
    pub revoke_api_tokens: bool,
}
// </api_tokens>

// <oauth_server>
/// Whether a program gets access.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    Allow,
    Deny,
}

impl Consent {
    pub fn is_allowed(self) -> bool {
        self == Self::Allow
    }
}

/// Decides about a program that asks for access.
#[derive(Deserialize)]
pub struct Decision {
    pub decision: Consent,
    /// The user who was shown what the program asks for.
    pub shown_to: Option<String>,
}

impl Decision {
    /// Returns whether the page was shown to another user: in another tab, the browser may have logged in as someone
    /// else since.
    pub fn is_for_another_user(&self, user: &User) -> bool {
        self.shown_to.as_ref().is_some_and(|shown_to| *shown_to != user.id.to_string())
    }
}

/// The code that a program on another device shows.
#[derive(Deserialize)]
pub struct UserCodeForm {
    pub user_code: String,
}

/// Decides about a program on another device.
#[derive(Deserialize)]
pub struct DeviceDecision {
    pub user_code: String,
    pub decision: Consent,
}
// </oauth_server>

// <languages>
// <pages>
#[derive(Deserialize)]
pub struct LanguageForm {
    /// A tag. Empty for the browser's language.
    pub language: String,
}

/// Chooses the language of this browser.
#[derive(Deserialize)]
pub struct BrowserLanguageForm {
    #[serde(flatten)]
    pub chosen: LanguageForm,
    /// Where the form was.
    #[serde(rename = "_return_to", default)]
    pub return_to: String,
}
// </pages>
// </languages>

// <magic_link>
// <pages>
/// Requests a login link on the login page.
#[derive(Deserialize)]
pub struct LinkRequest {
    pub email: String,
    #[serde(flatten)]
    pub remember: RememberMeForm,
}
// </pages>

/// Logs in with a link.
#[derive(Deserialize)]
pub struct RememberMeForm {
    // <pages>
    #[serde(default, deserialize_with = "checkbox")]
    // </pages>
    // <!pages>
    // #[serde(default)]
    // </!pages>
    pub remember_me: RememberMe,
}
// </magic_link>

// <oauth>
/// Logs in at a provider.
#[derive(Deserialize)]
pub struct ProviderLogin {
    // <pages>
    #[serde(default, deserialize_with = "checkbox")]
    // </pages>
    // <!pages>
    // #[serde(default)]
    // </!pages>
    pub remember_me: RememberMe,
}

/// Registers with the identity that waits for this browser.
#[derive(Deserialize)]
pub struct PendingRegistration {
    pub pending: String,
    pub email: String,
}

/// Names the identity that waits for this browser.
#[derive(Deserialize)]
pub struct Pending {
    pub pending: String,
}
// </oauth>

/// Enters sudo mode.
#[derive(Deserialize)]
pub struct Reauthentication {
    password: Option<Password>,
    // <mfa>
    #[serde(flatten)]
    answer: SecondFactorForm,
    // </mfa>
}

impl Reauthentication {
    pub fn proof(&self) -> Option<Proof<'_>> {
        // <mfa>
        if let Some(answer) = self.answer.second_factor() {
            return Some(Proof::SecondFactor(answer));
        }
        // </mfa>
        self.password.as_ref().map(Proof::Password)
    }

    // <pages>
    /// The message for a user whose proof is wrong.
    pub fn problem(&self) -> &'static str {
        // <mfa>
        if self.password.is_none() {
            return self.answer.problem();
        }
        // </mfa>
        t!("Wrong password. Try again.")
    }
    // </pages>
}

// <mfa>
/// A second factor: a code, or a response signed by a passkey.
#[derive(Deserialize)]
pub struct SecondFactorForm {
    code: Option<MfaCode>,
    // <passkeys>
    // <pages>
    #[serde(default, deserialize_with = "json_field")]
    // </pages>
    credential: Option<PublicKeyCredential>,
    // </passkeys>
    // <pages>
    #[serde(default, deserialize_with = "checkbox")]
    // </pages>
    // <!pages>
    // #[serde(default)]
    // </!pages>
    pub trust_browser: TrustBrowser,
}

impl SecondFactorForm {
    pub fn second_factor(&self) -> Option<SecondFactor<'_>> {
        // <passkeys>
        if let Some(credential) = &self.credential {
            return Some(SecondFactor::Passkey(credential));
        }
        // </passkeys>
        self.code.as_ref().map(SecondFactor::Code)
    }

    // <pages>
    /// The message for a user whose answer is wrong.
    pub fn problem(&self) -> &'static str {
        // <passkeys>
        if self.credential.is_some() {
            return t!("We don't recognize that passkey. Try again, or use another method.");
        }
        // </passkeys>
        t!("That code is wrong or has expired. Try again.")
    }
    // </pages>
}

/// The first code of a new authenticator app.
#[derive(Deserialize)]
pub struct TotpForm {
    pub code: MfaCode,
    // <pages>
    #[serde(flatten)]
    pub form_key: FormKey,
    // </pages>
}

// <pages>
/// The idempotency key of a form, which recognizes it when a reload sends it again.
#[derive(Deserialize)]
pub struct FormKey {
    #[serde(rename = "_idempotency_key", default)]
    pub idempotency_key: String,
}
// </pages>
// </mfa>

// <passkeys>
#[derive(Deserialize)]
pub struct NewPasskey {
    #[serde(default)]
    pub name: String,
    // <pages>
    #[serde(default, deserialize_with = "json_field")]
    // </pages>
    pub credential: Option<RegisterPublicKeyCredential>,
    // <pages>
    #[serde(flatten)]
    pub form_key: FormKey,
    // </pages>
}

#[derive(Deserialize)]
pub struct PasskeyName {
    pub name: String,
}

#[derive(Deserialize)]
pub struct PasskeyLogin {
    // <pages>
    #[serde(default, deserialize_with = "json_field")]
    // </pages>
    pub credential: Option<PublicKeyCredential>,
    // <pages>
    #[serde(default, deserialize_with = "checkbox")]
    // </pages>
    // <!pages>
    // #[serde(default)]
    // </!pages>
    pub remember_me: RememberMe,
}
// </passkeys>

// <pages>
/// Reads a checkbox, which sends `true` if it is checked.
fn checkbox<'de, D: Deserializer<'de>, T: From<bool>>(deserializer: D) -> Result<T, D::Error> {
    let sent = Value::deserialize(deserializer)?;
    // <template>
    // JSON sends a boolean.
    if let Value::Bool(is_checked) = sent {
        return Ok(is_checked.into());
    }
    // </template>
    Ok((sent == "true").into())
}

// <passkeys>
/// Reads a field that a script fills with JSON. Without a script it stays empty.
fn json_field<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let sent = match Value::deserialize(deserializer)? {
        Value::String(json) if !json.is_empty() => serde_json::from_str(&json),
        // <template>
        // JSON sends an object.
        value @ Value::Object(_) => serde_json::from_value(value),
        // </template>
        _ => return Ok(None),
    };
    sent.map(Some).map_err(D::Error::custom)
}
// </passkeys>
// </pages>
