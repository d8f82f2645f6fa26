//! The user, as a row of the table `users`.

use sigra::{
    HashedPassword, Password,
    password::{PasswordPolicy, PasswordProblem},
};
use sqlx::query::QueryAs;
use time::OffsetDateTime;

use super::policy::{DEMO_PASSWORD, Policy};
use crate::database::Database;
// <languages>
use crate::languages::{self, Language};
// </languages>

/// The message for an address that can't receive email.
pub fn invalid_email() -> &'static str {
    t!("Enter a valid email address.")
}

/// The id of a user, in the database and in the audit trail.
// <uuid>
pub type UserId = uuid::Uuid;
// </uuid>
// <!uuid>
// pub type UserId = i64;
// </!uuid>

/// A user of the application: a row of `users`. For a new column, add a field here.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub hashed_password: Option<HashedPassword>,
    pub confirmed_at: Option<OffsetDateTime>,
    pub delete_after: Option<OffsetDateTime>,
    // <mfa>
    pub mfa_required: bool,
    // </mfa>
    // <languages>
    /// The tag of the language that the user has chosen.
    pub language: Option<String>,
    // </languages>
    pub inserted_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl sigra::AuthUser for User {
    // <!users_table>
    // const TABLE: &'static str = "users";
    // </!users_table>
    type Id = UserId;
    type Database = Database;

    fn id(&self) -> UserId {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }

    // <mfa>
    /// Returns whether the user must have a second factor, as administrators should. Until they have set one up, they
    /// can't do anything else.
    fn requires_second_factor(&self) -> bool {
        self.mfa_required
    }
    // </mfa>
}

impl User {
    /// Returns whether a typed address is the user's. Rows that the application didn't write may have another form of
    /// it.
    pub fn has_email(&self, typed: &str) -> bool {
        let normal = |email: &str| normalize_email(email).unwrap_or_else(|| email.trim().to_owned());
        normal(typed) == normal(&self.email)
    }
}

/// Creates a statement that returns users with all their columns.
pub(super) fn query_user(
    sql: &'static str,
) -> QueryAs<'static, Database, User, <Database as sqlx::Database>::Arguments> {
    // Prepares it each time: once a migration has added a column, a statement with `*` fails on each connection that has
    // prepared it, such as those of old processes.
    sqlx::query_as(sql).persistent(false)
}

// <languages>
impl User {
    /// Returns the language that the user has chosen. `None` if that is the browser's, or its file was removed.
    pub fn language(&self) -> Option<&'static Language> {
        languages::find(self.language.as_deref()?)
    }
}
// </languages>

/// A user to insert. For a new column that the registration fills, add a field here.
pub(super) struct NewUser<'a> {
    pub email: &'a str,
    pub hashed_password: Option<&'a HashedPassword>,
}

/// The result of inserting a user.
pub(super) enum Inserted {
    New(User),
    /// The address has an account: its owner, unless they were deleted in the meantime.
    Taken(Option<User>),
}

/// What is wrong with the fields of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors {
    pub email: Option<&'static str>,
    pub password: Option<PasswordProblem>,
    pub password_confirmation: Option<&'static str>,
    pub current_password: Option<&'static str>,
    // <api_tokens>
    pub name: Option<String>,
    pub permissions: Option<&'static str>,
    pub expires_in_days: Option<&'static str>,
    // </api_tokens>
}

impl FieldErrors {
    pub fn of(email: &str, password: &Password, policy: &Policy) -> Self {
        let normalized = normalize_email(email);
        let password = check_password(password, normalized.as_deref().unwrap_or(email), policy).err();
        let email = normalized.is_none().then(invalid_email);
        Self { email, password, ..Self::default() }
    }

    pub fn of_email(problem: &'static str) -> Self {
        Self { email: Some(problem), ..Self::default() }
    }

    pub fn of_password(problem: PasswordProblem) -> Self {
        Self { password: Some(problem), ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what is wrong with the password, in words.
    pub fn password(&self) -> Option<String> {
        self.password.map(password_message)
    }
}

fn password_message(problem: PasswordProblem) -> String {
    // <languages>
    match problem {
        PasswordProblem::TooShort { min } => t!("Your password should be at least {min} characters.", min),
        PasswordProblem::TooLong { max } => t!("Your password should be at most {max} characters.", max),
        PasswordProblem::Contextual => {
            t!("Your password is too close to your email address or to this site's name. Choose other words.")
                .to_owned()
        }
        PasswordProblem::Common => t!("This password is too common. Choose another one.").to_owned(),
        PasswordProblem::Breached => t!(
            "This password has leaked in a data breach of another site. Choose one that you don't use anywhere else."
        )
        .to_owned(),
        PasswordProblem::Unchecked => t!("This password can't be checked right now. Try again in a minute.").to_owned(),
        // A newer version of the library has it, and its words are English.
        problem => problem.to_string(),
    }
    // </languages>
    // <!languages>
    // problem.to_string()
    // </!languages>
}

/// Checks a new password. It can't be made of the email address or of the application's name.
pub fn check_password(password: &Password, email: &str, policy: &Policy) -> Result<(), PasswordProblem> {
    if policy.allow_demo_password && password.matches(&Password::new(DEMO_PASSWORD)) {
        return Ok(());
    }
    let (local, domain) = email.split_once('@').unwrap_or((email, ""));
    PasswordPolicy::default().check_in_context(password, &[email, local, domain, "my_app", "myapp"])
}

/// Returns an email address in the form that is stored and looked up, or `None` if it can't receive email.
pub fn normalize_email(email: &str) -> Option<String> {
    sigra::mail::normalize_address(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_address_has_one_normal_form() {
        assert_eq!(normalize_email("  Ada@Example.COM ").as_deref(), Some("ada@example.com"));
        assert_eq!(normalize_email("ada@b\u{fc}cher.example"), normalize_email("ada@xn--bcher-kva.example"));
        for bad in ["", "@", "ada", "ada@", "a da@example.com", "a@b,c.com", "a@b@c.com", "ada@example..com"] {
            assert_eq!(normalize_email(bad), None, "{bad:?}");
        }
    }

    /// CVE-2019-19844: characters that case folding maps to ASCII letters must stay different from them.
    #[test]
    fn lookalike_addresses_stay_different() {
        for email in ["m\u{131}ke@example.com", "mi\u{212a}e@example.com", "MIKE\u{130}@example.com"] {
            assert!(!normalize_email(email).expect("an address").is_ascii(), "{email}");
        }
        assert_eq!(normalize_email("mike\u{ff20}example.com"), None);
    }
}
