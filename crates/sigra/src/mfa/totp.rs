//! Authenticator apps: their secrets, and the codes that they show.

use std::fmt;

use qrcode::{EcLevel, QrCode, render::svg};
use time::OffsetDateTime;
use totp_rs::{Builder, Secret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    base::{error::Error, token::random_bytes},
    browser::{cookie_session::CookieSession, entries::new_name, sealed_entry::SealedEntries},
    mfa::handle::Mfa,
    model::{second_factor::MfaCode, user::AuthUser},
};

/// As long as the HMAC's hash, in bytes: RFC 4226 section 4.
const SECRET: usize = 20;

/// The seconds of one time step: RFC 6238 section 5.2.
const STEP: i64 = 30;

/// The prefix of the cookie session's entries that hold a secret, encrypted, until its first code is confirmed. Each
/// secret has its own entry, so that two tabs that begin at once don't overwrite each other.
const ENTRY: &str = "totp-";

/// The secret that an authenticator app and the application share.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct TotpSecret([u8; SECRET]);

impl TotpSecret {
    pub fn generate() -> Result<Self, Error> {
        random_bytes().map(Self)
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the step that this is the code of, if it is the current one or the one before.
    pub fn step_of(&self, code: &MfaCode, now: OffsetDateTime) -> Option<i64> {
        let totp = self.builder().with_skew(0).build_noncompliant();
        let code_of = |at: i64| totp.check(code.expose(), u64::try_from(at).ok()?).map(|_| at.div_euclid(STEP));
        let now = now.unix_timestamp();
        let (before, present) = (code_of(now.saturating_sub(STEP)), code_of(now));
        present.or(before)
    }

    #[cfg(feature = "testing")]
    pub fn code_at(&self, now: OffsetDateTime) -> String {
        let totp = self.builder().build_noncompliant();
        totp.generate(now.unix_timestamp().unsigned_abs()).to_string()
    }

    fn builder(&self) -> Builder {
        Builder::new().with_secret(Secret::new_stack(self.0))
    }
}

/// An authenticator app that is being set up: the user scans or types its secret, then enters a first code.
///
/// `Debug` redacts it.
///
/// ```
/// # use sigra::mfa::TotpEnrollment;
/// fn page(totp: &TotpEnrollment) -> String {
///     format!("{}<p>Or type {} into your app.</p>", totp.qr_code(), *totp.manual_key())
/// }
/// ```
pub struct TotpEnrollment {
    secret: TotpSecret,
    url: Zeroizing<String>,
}

impl TotpEnrollment {
    fn new(secret: TotpSecret, issuer: &str, account: &str) -> Self {
        // A colon would end the issuer's name (Key URI Format).
        let [issuer, account] = [issuer, account].map(|name| name.replace(':', " "));
        let totp = secret.builder().with_issuer(Some(issuer)).with_account_name(account).build_noncompliant();
        let url = Zeroizing::new(totp.to_url().unwrap_or_default());
        Self { secret, url }
    }

    /// Returns the secret for typing by hand: base32 in groups of four.
    #[must_use]
    pub fn manual_key(&self) -> Zeroizing<String> {
        let base32 =
            Zeroizing::new(base32::encode(base32::Alphabet::Rfc4648 { padding: false }, self.secret.as_bytes()));
        Zeroizing::new(grouped(&base32, ' '))
    }

    /// Returns the `otpauth:` URL, for a link that opens the app on the same phone.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL as a QR code: an SVG element for the page, so that no third party sees the secret.
    #[must_use]
    pub fn qr_code(&self) -> String {
        // A URL this short always fits.
        let Ok(code) = QrCode::with_error_correction_level(self.url.as_bytes(), EcLevel::M) else {
            return String::new();
        };
        let svg = code.render::<svg::Color>().min_dimensions(240, 240).build();
        // A page needs the element without the XML declaration.
        svg.find("<svg").map_or_else(String::new, |at| svg[at..].to_owned())
    }
}

impl fmt::Debug for TotpEnrollment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpEnrollment([redacted])")
    }
}

/// Splits text into groups of four, which are easier to read.
pub(super) fn grouped(text: &str, separator: char) -> String {
    let mut grouped = String::with_capacity(text.len() * 5 / 4);
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            grouped.push(separator);
        }
        grouped.push(letter);
    }
    grouped
}

impl<U: AuthUser> Mfa<'_, U> {
    /// Begins to set up an authenticator app, which shows `account` as the account's name. The cookie session keeps the
    /// secret, encrypted, until [`confirm_totp`](crate::mfa::Mfa::confirm_totp), so a page that is opened again shows
    /// the same one. Two tabs that begin at the same moment show two secrets, and both work until one is confirmed.
    ///
    /// # Errors
    ///
    /// [`Error::Random`].
    pub fn begin_totp(self, session: &CookieSession, user: &U, account: &str) -> Result<TotpEnrollment, Error> {
        let secret = match self.totps_under_way(session, user).pop() {
            Some(secret) => secret,
            None => {
                let secret = TotpSecret::generate()?;
                self.entries_under_way(user).put(session, &new_name(ENTRY), secret.as_bytes())?;
                secret
            }
        };
        Ok(TotpEnrollment::new(secret, &self.sigra.parts.config.second_factors.issuer, account))
    }

    /// Returns the secrets that are being set up in this browser: one, unless several tabs began at the same moment.
    pub(super) fn totps_under_way(self, session: &CookieSession, user: &U) -> Vec<TotpSecret> {
        let entries = self.entries_under_way(user);
        let open = |name: String| TotpSecret::from_bytes(&entries.get(session, &name)?);
        session.names_of_entries(ENTRY).into_iter().filter_map(open).collect()
    }

    pub(crate) fn encrypt_totp(self, secret: &TotpSecret, user: &U::Id) -> Result<Vec<u8>, Error> {
        self.sigra.parts.encryption_keys.encrypt(secret.as_bytes(), &secret_context(user))
    }

    /// Decrypts a secret. Returns `None`, and logs an error, if no known key decrypts it.
    pub(crate) fn decrypt_totp(self, encrypted: &[u8], user: &U::Id) -> Option<TotpSecret> {
        let secret = self.sigra.parts.encryption_keys.decrypt(encrypted, &secret_context(user));
        let secret = secret.and_then(|secret| TotpSecret::from_bytes(&secret));
        if secret.is_none() {
            tracing::error!(
                target: "sigra", user_id = %user,
                "an authenticator app's secret can't be decrypted: add the previous secret key base with Config::older_secrets",
            );
        }
        secret
    }
}

impl<'a, U: AuthUser> Mfa<'a, U> {
    fn entries_under_way(self, user: &U) -> SealedEntries<'a> {
        SealedEntries::of(&self.sigra.parts.encryption_keys, format!("totp enrollment {}", user.id()))
    }
}

/// Binds a secret to its user. The context differs from an unconfirmed secret's, so neither can replace the other.
fn secret_context<Id: fmt::Display>(user: &Id) -> String {
    format!("totp {user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, SHA-1: the last six of eight digits.
    #[test]
    fn codes_are_those_of_rfc_6238() {
        let secret = TotpSecret(*b"12345678901234567890");
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            let now = OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
            assert_eq!(secret.step_of(&MfaCode::new(code), now), Some(seconds / STEP), "{seconds}");
        }
    }

    #[test]
    fn a_code_is_valid_in_its_step_and_the_next() {
        let secret = TotpSecret(*b"12345678901234567890");
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
        let code = MfaCode::new("005 924");
        let begin = 1_234_567_890 / STEP * STEP;
        for (seconds, is_valid) in [(-1, false), (0, true), (29, true), (30, true), (59, true), (60, false)] {
            assert_eq!(secret.step_of(&code, at(begin + seconds)).is_some(), is_valid, "{seconds}");
        }
        for bad in ["", "00592", "0059240", "00592a", "\u{660}\u{660}5924", "-05924"] {
            assert_eq!(secret.step_of(&MfaCode::new(bad), at(begin)), None, "{bad:?}");
        }
    }

    #[test]
    fn an_app_is_set_up_by_scanning_or_typing() {
        let secret = TotpSecret(*b"12345678901234567890");
        let enrollment = TotpEnrollment::new(secret, "My: App", "ada@example.com");
        assert_eq!(*enrollment.manual_key(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        let url = enrollment.url();
        assert!(url.starts_with("otpauth://totp/My%20%20App:ada%40example"), "{url}");
        assert!(url.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ") && url.contains("issuer=My%20%20App"), "{url}");
        let svg = enrollment.qr_code();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("style"), "{svg}");
        assert_eq!(format!("{enrollment:?}"), "TotpEnrollment([redacted])");
    }
}
