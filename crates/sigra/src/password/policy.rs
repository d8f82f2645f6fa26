use zeroize::Zeroizing;

use crate::password::{common::is_common, password::Password};

/// How many characters a password must have besides the words that an attacker knows.
const CONTEXT_REST: usize = 8;

/// The rules for a new password: it must be long, and not common.
///
/// There are no composition rules: NIST SP 800-63B-4 section 3.1.1.2 forbids them. It requires 15 characters if the
/// password is the only factor, and 8 if there is a second one.
///
/// Common are thousands of leaked passwords (OWASP ASVS 6.2.4), and what is composed of them: adjacent keys and
/// letters, repetitions, and two or three common passwords together, also with digits, years and signs around them, or
/// with digits in place of letters. For passwords that leaked elsewhere, see [`BreachCheck`](super::BreachCheck).
///
/// ```
/// use sigra::{Password, password::{PasswordPolicy, PasswordProblem}};
///
/// let policy = PasswordPolicy::default();
/// assert_eq!(policy.check(&Password::new("violet lantern over quiet water")), Ok(()));
/// assert_eq!(policy.check(&Password::new("Tr0ub4dor&3")), Err(PasswordProblem::TooShort { min: 15 }));
/// assert_eq!(policy.check(&Password::new("Password12345678")), Err(PasswordProblem::Common));
/// assert_eq!(policy.check(&Password::new("correct horse battery staple")), Err(PasswordProblem::Common));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// The minimum number of code points (default: 15).
    pub min: usize,
    /// The maximum number of code points (default: 1024). It only bounds the work.
    pub max: usize,
}

impl PasswordPolicy {
    /// Creates a policy from the minimum and maximum number of code points.
    ///
    /// ```
    /// use sigra::{Password, password::{PasswordPolicy, PasswordProblem}};
    ///
    /// let policy = PasswordPolicy::new(20, 128);
    /// assert_eq!(policy.check(&Password::new("violet lantern")), Err(PasswordProblem::TooShort { min: 20 }));
    /// ```
    #[must_use]
    pub const fn new(min: usize, max: usize) -> Self {
        Self { min, max }
    }

    /// The policy for applications that require a second factor: at least 8 code points.
    pub const WITH_SECOND_FACTOR: Self = Self { min: 8, max: 1024 };

    /// Checks a new password. Don't check it at a login: an old password stays valid.
    ///
    /// # Errors
    ///
    /// [`PasswordProblem`], as a sentence to show next to the field.
    pub fn check(&self, password: &Password) -> Result<(), PasswordProblem> {
        let length = password.code_points();
        if length < self.min {
            return Err(PasswordProblem::TooShort { min: self.min });
        }
        if length > self.max {
            return Err(PasswordProblem::TooLong { max: self.max });
        }
        if is_common(password.expose()) { Err(PasswordProblem::Common) } else { Ok(()) }
    }
}

impl PasswordPolicy {
    /// Checks a new password, and that it isn't composed of words that an attacker knows about the user or the
    /// application, such as an email address or a name (OWASP ASVS 6.1.2, 6.2.11). Words of fewer than 4 characters are
    /// ignored.
    ///
    /// ```
    /// use sigra::{Password, password::{PasswordPolicy, PasswordProblem}};
    ///
    /// let policy = PasswordPolicy::default();
    /// let words = ["ada.lovelace", "example.com", "my_app"];
    /// let password = Password::new("ada.lovelace2026");
    /// assert_eq!(policy.check_in_context(&password, &words), Err(PasswordProblem::Contextual));
    /// assert_eq!(policy.check_in_context(&Password::new("ada.lovelace counts engines"), &words), Ok(()));
    /// ```
    ///
    /// # Errors
    ///
    /// [`PasswordProblem`], as a sentence to show next to the field.
    pub fn check_in_context(&self, password: &Password, words: &[&str]) -> Result<(), PasswordProblem> {
        self.check(password)?;
        let folded = Zeroizing::new(password.expose().to_lowercase());
        let mut rest = folded.clone();
        for word in words.iter().map(|word| word.to_lowercase()).filter(|word| word.chars().count() >= 4) {
            rest = Zeroizing::new(rest.replace(&word, ""));
        }
        let is_made_of_them = rest.len() < folded.len() && rest.chars().count() < CONTEXT_REST;
        if is_made_of_them { Err(PasswordProblem::Contextual) } else { Ok(()) }
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min: 15, ..Self::WITH_SECOND_FACTOR }
    }
}

/// Why a new password is refused. Displays as a sentence or two for the user, to show next to the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordProblem {
    /// It is too short.
    #[error("Your password should be at least {min} characters.")]
    TooShort {
        /// The minimum number of code points.
        min: usize,
    },
    /// It is too long.
    #[error("Your password should be at most {max} characters.")]
    TooLong {
        /// The maximum number of code points.
        max: usize,
    },
    /// It is composed of words that an attacker knows about the user.
    #[error("Your password is too close to your email address or to this site's name. Choose other words.")]
    Contextual,
    /// It is common, so attackers try it first.
    #[error("This password is too common. Choose another one.")]
    Common,
    /// It [leaked](super::BreachCheck) elsewhere.
    #[error("This password has leaked in a data breach of another site. Choose one that you don't use anywhere else.")]
    Breached,
    /// The service that checks whether it leaked failed.
    #[error("This password can't be checked right now. Try again in a minute.")]
    Unchecked,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str) -> Result<(), PasswordProblem> {
        PasswordPolicy::default().check(&Password::new(password))
    }

    #[test]
    fn invariant_15_length_counts_code_points() {
        assert_eq!(check("fourteen chars"), Err(PasswordProblem::TooShort { min: 15 }));
        assert_eq!(check("fifteen chars !"), Ok(()));
        assert_eq!(check("zwölf Bücher ☂ 傘"), Ok(()));
        assert_eq!(check(&"é".repeat(14)), Err(PasswordProblem::TooShort { min: 15 }));
        let long: String = ('a'..='z').cycle().step_by(7).take(1024).collect::<String>();
        assert_eq!(check(&format!("{}!", &long[..1023])), Ok(()));
        assert_eq!(check(&format!("{long}!")), Err(PasswordProblem::TooLong { max: 1024 }));
    }

    #[test]
    fn invariant_15_there_are_no_composition_rules() {
        for good in ["all lower case words", "482901573648201", "   spaces first, ?", "ALL UPPER CASE WORDS"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn invariant_15_common_passwords_are_refused_in_any_case() {
        for common in
            ["1q2w3e4r5t6y7u8i9o0p", "1Q2W3E4R5T6Y7U8I", "123456789987654321", "aaaaaaaaaaaaaaaa", "PasswordPassword"]
        {
            assert_eq!(check(common), Err(PasswordProblem::Common), "{common}");
        }
        let short = PasswordPolicy::WITH_SECOND_FACTOR;
        assert_eq!(short.check(&Password::new("password")), Err(PasswordProblem::Common));
        assert_eq!(short.check(&Password::new("iloveyou1")), Err(PasswordProblem::Common));
    }
}
