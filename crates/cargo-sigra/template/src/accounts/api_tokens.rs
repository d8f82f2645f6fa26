//! Personal access tokens: what a user asks for, and the email about it. The library does the rest.

use sigra::{
    Client, Sudo,
    api_tokens::{ApiToken, ApiTokenProblem, CreatedApiToken, Expiry, NewApiToken},
    bearer::Permissions,
};
use time::{Date, Month, Time};

use super::{AccountError, Accounts, FieldErrors, Transaction, User};

/// The longest time in days that a token can be valid, unless the user chooses a date or that it never expires.
const MAX_DAYS: u64 = 3650;

/// A request for a token, with the fields as the user entered them.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct ApiTokenRequest {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub permissions: Vec<String>,
    /// A number of days, `date` or `never`. There is no default: a token that never expires has to be chosen.
    #[serde(default, deserialize_with = "string_or_number")]
    pub expires_in_days: String,
    /// The last day on which it is valid, such as `2027-01-31`, if `expires_in_days` is `date`.
    #[serde(default)]
    pub expires_on: String,
}

impl Accounts {
    /// Creates a token of the user, and emails them about it.
    pub async fn create_api_token(
        &self,
        sudo: &Sudo<User>,
        client: &Client,
        request: &ApiTokenRequest,
    ) -> Result<CreatedApiToken, AccountError> {
        let user = sudo.user();
        let new = NewApiToken::new(&request.name, parse_permissions(request)?, parse_expiry(request)?);
        self.limit_changes("api token", user).await?;
        let notify = async |tx: &mut Transaction, token: &ApiToken| {
            self.notifier.notify_in(tx, user, "api token", self.notifier.api_token_created(user, token)).await
        };
        match self.sigra.api_tokens().create_with(sudo, &new, client, notify).await {
            Err(sigra::Error::ApiToken(problem)) => Err(field_errors(&problem).into()),
            created => Ok(created?),
        }
    }
}

/// A token that allows nothing is a mistake.
fn parse_permissions(request: &ApiTokenRequest) -> Result<Permissions, FieldErrors> {
    let permissions = Permissions::of(&request.permissions).ok().filter(|permissions| !permissions.is_empty());
    let missing = || FieldErrors { permissions: Some(t!("Choose at least one permission.")), ..FieldErrors::default() };
    permissions.ok_or_else(missing)
}

/// Returns when the token expires. An invalid value never means "never".
fn parse_expiry(request: &ApiTokenRequest) -> Result<Expiry, FieldErrors> {
    let expiry = match request.expires_in_days.trim() {
        "never" => Some(Expiry::Never),
        "date" => end_of_day(request.expires_on.trim()),
        days => days.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days)).map(in_days),
    };
    expiry.ok_or_else(|| expiry_error(t!("Choose when the token expires.")))
}

fn in_days(days: u64) -> Expiry {
    Expiry::After(std::time::Duration::from_secs(days * 24 * 60 * 60))
}

/// Returns the last second of a day in UTC, such as `2027-01-31`.
fn end_of_day(day: &str) -> Option<Expiry> {
    let mut numbers = day.splitn(3, '-');
    let (year, month, day) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    let time = Time::from_hms(23, 59, 59).ok()?;
    Some(Expiry::At(date.with_time(time).assume_utc()))
}

fn field_errors(problem: &ApiTokenProblem) -> FieldErrors {
    let name_error = |name: String| FieldErrors { name: Some(name), ..FieldErrors::default() };
    match problem {
        ApiTokenProblem::Unnamed => name_error(t!("Give the token a name.").to_owned()),
        ApiTokenProblem::LongName { max } => name_error(t!("Use a name of at most {max} characters.", max)),
        ApiTokenProblem::Expired => expiry_error(t!("Choose a date in the future.")),
        _ => FieldErrors { permissions: Some(t!("Choose permissions from the list.")), ..FieldErrors::default() },
    }
}

fn expiry_error(problem: &'static str) -> FieldErrors {
    FieldErrors { expires_in_days: Some(problem), ..FieldErrors::default() }
}

/// Reads a string, or a number of JSON.
fn string_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let sent: serde_json::Value = serde::Deserialize::deserialize(deserializer)?;
    Ok(match sent {
        serde_json::Value::String(word) => word,
        serde_json::Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(in_days: &str, on: &str) -> Option<Expiry> {
        parse_expiry(&ApiTokenRequest {
            expires_in_days: in_days.into(),
            expires_on: on.into(),
            ..ApiTokenRequest::default()
        })
        .ok()
    }

    #[test]
    fn only_the_word_never_means_never() {
        assert_eq!(expiry("never", ""), Some(Expiry::Never));
        assert_eq!(expiry("30", ""), Some(in_days(30)));
        assert_eq!(expiry(" 365 ", "2027-01-31"), Some(in_days(365)));
        for bad in ["", "0", "-1", "3651", "1.5", "1e3", "Never", "null", "date", "99999999999999999999"] {
            assert_eq!(expiry(bad, ""), None, "{bad}");
        }
    }

    #[test]
    fn a_date_is_valid_until_its_end() {
        let end = time::macros::datetime!(2027-01-31 23:59:59 UTC);
        assert_eq!(expiry("date", "2027-01-31"), Some(Expiry::At(end)));
        for bad in ["2027-02-30", "2027-13-01", "31.01.2027", "2027-01", "tomorrow", "-1-1-1", "2027-01-31-01"] {
            assert_eq!(expiry("date", bad), None, "{bad}");
        }
    }
}
