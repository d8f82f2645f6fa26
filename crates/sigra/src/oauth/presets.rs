//! Providers that users often have an account at.

use serde_json::Value;
use zeroize::Zeroizing;

use crate::oauth::{
    apple::AppleKey,
    id_token::{TENANT, is_tenant_id},
    provider::{Credential, Emails, Profile, Protocol, Provider},
};

/// Presets.
impl Provider {
    /// Google. An email address is proven if Google is authoritative for it: it is of Gmail, or of a Google Workspace
    /// (the claim `hd`).
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// assert_eq!(Provider::google("client-id", "client-secret").name(), "google");
    /// ```
    #[must_use]
    pub fn google(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        let mut google =
            Self::oidc("google", "https://accounts.google.com", client_id, client_secret).with_label("Google");
        google.emails = Emails::Google;
        // Google's documentation has neither `prompt=login` nor `max_age`.
        google.reauthenticates = false;
        google
    }

    /// Microsoft. The tenant is `common`, `organizations`, `consumers`, or the ID of one. The ID is a UUID.
    ///
    /// Email addresses are never proven, because an administrator of any tenant can write any address into the claim.
    ///
    /// ```
    /// # use sigra::oauth::{Provider, Providers};
    /// let own_tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    /// Providers::new([
    ///     Provider::microsoft("common", "client-id", "client-secret"),
    ///     Provider::microsoft(own_tenant, "client-id", "client-secret").with_name("work"),
    /// ])?;
    /// # Ok::<(), sigra::ConfigError>(())
    /// ```
    #[must_use]
    pub fn microsoft(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        let tenant = tenant.into();
        let base = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let issuer = match tenant.as_str() {
            "common" | "organizations" => TENANT,
            // The tenant of all personal accounts.
            "consumers" => "9188040d-6c67-4c5b-b112-36a304b66dad",
            tenant => tenant,
        };
        let issuer = format!("https://login.microsoftonline.com/{issuer}/v2.0");
        let mut microsoft = Self::oidc("microsoft", "", client_id, client_secret).with_label("Microsoft");
        microsoft.protocol = Protocol::Oidc { issuer, base };
        if !matches!(tenant.as_str(), "common" | "organizations" | "consumers") && !is_tenant_id(&tenant) {
            microsoft.mistake = Some("its tenant must be common, organizations, consumers or the tenant's UUID");
        }
        microsoft
    }

    /// Apple. The client ID is that of the Services ID. The key is the content of the `.p8` file, and `key_id` and
    /// `team_id` are in the developer account. Line breaks of the key can be written as `\n`, because not every file of
    /// environment variables can have them.
    ///
    /// Apple sends the callback as a form: see [`posts_callback`](Self::posts_callback). An email address is proven if
    /// it is of iCloud or of Apple's private relay.
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let key = "-----BEGIN PRIVATE KEY-----\n...";
    /// let apple = Provider::apple("com.example.web", "9ABCDEFGHI", "1ABCDEFGHI", key);
    /// assert!(apple.posts_callback());
    /// ```
    #[must_use]
    pub fn apple(
        client_id: impl Into<String>,
        team_id: impl Into<String>,
        key_id: impl Into<String>,
        key: impl Into<String>,
    ) -> Self {
        let pem = Zeroizing::<String>::new(key.into()).replace("\\n", "\n").into();
        let key = AppleKey { team_id: team_id.into(), key_id: key_id.into(), pem };
        let mut apple = Self::oidc("apple", "https://appleid.apple.com", client_id, "").with_label("Apple");
        if key.team_id.is_empty() || key.key_id.is_empty() {
            apple.mistake = Some("its team ID or its key ID is empty: copy both from the Apple Developer account");
        } else if !key.is_valid() {
            apple.mistake = Some("its key can't be read: use the whole content of the .p8 file");
        }
        apple.credential = Credential::Apple(key);
        apple.emails = Emails::Apple;
        apple.scopes = vec!["openid".to_owned(), "email".to_owned()];
        apple.reauthenticates = false;
        apple.posts_callback = true;
        apple
    }

    /// GitLab.com. For your own GitLab, use [`oidc`](Self::oidc) with its address.
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// let own = Provider::oidc("gitlab", "https://gitlab.example.com", "client-id", "client-secret")
    ///     .with_label("GitLab");
    /// assert_eq!(own.name(), Provider::gitlab("client-id", "client-secret").name());
    /// ```
    #[must_use]
    pub fn gitlab(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self::oidc("gitlab", "https://gitlab.com", client_id, client_secret).with_label("GitLab")
    }

    /// GitHub: an OAuth app, or a GitHub App with the permission to read email addresses. The subject is the numeric
    /// ID of the account, and the email address is the primary one. The issuer is `https://github.com/login/oauth`, as
    /// GitHub documents it. GitHub adds it to callbacks as `iss`, but a callback without it is accepted.
    ///
    /// GitHub verifies addresses once, by an email, and is not their domain's owner. So they are not proven unless you
    /// [trust](Self::trust_verified_emails) that.
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// assert!(!Provider::github("client-id", "client-secret").can_reauthenticate());
    /// ```
    #[must_use]
    pub fn github(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        let mut github =
            Self::oauth2("github", "https://github.com/login/oauth", client_id, client_secret, read_github)
                .with_label("GitHub")
                .endpoints("https://github.com/login/oauth/authorize", "https://github.com/login/oauth/access_token")
                .profile("https://api.github.com/user")
                .profile("https://api.github.com/user/emails")
                .scopes(["read:user", "user:email"]);
        if let Protocol::OAuth2(oauth2) = &mut github.protocol {
            oauth2.secret_in_body = true;
        }
        github
    }

    /// Discord. Its `verified` is not trusted unless you [do](Self::trust_verified_emails).
    ///
    /// ```
    /// # use sigra::oauth::Provider;
    /// assert_eq!(Provider::discord("client-id", "client-secret").label(), "Discord");
    /// ```
    #[must_use]
    pub fn discord(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self::oauth2("discord", "https://discord.com", client_id, client_secret, read_discord)
            .with_label("Discord")
            .endpoints("https://discord.com/oauth2/authorize", "https://discord.com/api/oauth2/token")
            .profile("https://discord.com/api/users/@me")
            .scopes(["identify", "email"])
    }
}

/// Reads `/user` and `/user/emails`. The primary address counts only if GitHub verified it.
fn read_github(responses: &[Value]) -> Option<Profile> {
    let [user, emails] = responses else { return None };
    let profile = Profile::new(user.get("id")?.as_u64()?);
    let is_true = |email: &Value, key| email.get(key).and_then(Value::as_bool) == Some(true);
    let primary = emails.as_array()?.iter().find(|email| is_true(email, "primary") && is_true(email, "verified"));
    Some(match primary.and_then(|email| email.get("email")).and_then(Value::as_str) {
        Some(email) => profile.email(email, true),
        None => profile,
    })
}

/// Reads `/users/@me`.
fn read_discord(responses: &[Value]) -> Option<Profile> {
    let user = responses.first()?;
    let profile = Profile::new(user.get("id")?.as_str()?);
    let verified = user.get("verified").and_then(Value::as_bool) == Some(true);
    Some(match user.get("email").and_then(Value::as_str) {
        Some(email) => profile.email(email, verified),
        None => profile,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_of_github_is_their_numeric_id_and_their_verified_primary_address() {
        let user = json!({ "id": 583_231, "login": "octocat", "email": "public@example.com" });
        let read =
            |emails: Value| read_github(&[user.clone(), emails]).map(|it| (it.subject, it.email, it.email_verified));
        let primary = json!({ "email": "octocat@example.com", "primary": true, "verified": true });
        let other = json!({ "email": "other@example.com", "primary": false, "verified": true });
        let unverified = json!({ "email": "octocat@example.com", "primary": true, "verified": false });
        let id = || "583231".to_owned();
        assert_eq!(read(json!([other, primary])), Some((id(), Some("octocat@example.com".to_owned()), true)));
        for without in [json!([]), json!([other]), json!([unverified])] {
            assert_eq!(read(without), Some((id(), None, false)));
        }
        assert_eq!(read(json!({ "message": "Not Found" })), None);
        for nonsense in [json!({ "login": "octocat" }), json!({ "id": "583231" }), json!({ "id": -1 }), json!([])] {
            assert!(read_github(&[nonsense.clone(), json!([])]).is_none(), "{nonsense}");
        }
        assert!(read_github(&[user]).is_none());
    }

    #[test]
    fn a_user_of_discord_is_their_id() {
        let read = |user: Value| read_discord(&[user]).map(|it| (it.subject, it.email, it.email_verified));
        let jane =
            json!({ "id": "80351110224678912", "username": "jane", "email": "jane@example.com", "verified": true });
        let expected = ("80351110224678912".to_owned(), Some("jane@example.com".to_owned()), true);
        assert_eq!(read(jane), Some(expected));
        assert_eq!(read(json!({ "id": "1", "email": null })), Some(("1".to_owned(), None, false)));
        assert_eq!(read(json!({ "username": "jane" })), None);
    }
}
