//! The providers that users can log in with: `OAUTH_PROVIDERS` names them, and each has variables of its own.

use sigra::oauth::{Provider, Providers};

use super::{error::SettingsError, variables::Variables};

/// Reads the providers. For one that isn't listed here, `OAUTH_<NAME>_ISSUER` names its OpenID Connect issuer. For
/// another OAuth 2.0 provider, add a line with `Provider::oauth2`.
pub fn providers(env: &Variables, prod: bool) -> Result<Providers, SettingsError> {
    let names: Vec<String> = env.list("OAUTH_PROVIDERS", "names such as google, separated by commas")?;
    let providers =
        names.iter().map(|name| Ok(provider(&ProviderVariables { env, name }, name)?.http_on_loopback(!prod)));
    let providers: Vec<Provider> = providers.collect::<Result<_, SettingsError>>()?;
    Ok(Providers::new(providers)?)
}

fn provider(env: &ProviderVariables<'_>, name: &str) -> Result<Provider, SettingsError> {
    let id = env.required("CLIENT_ID")?;
    let provider = match name {
        "apple" => Provider::apple(id, env.required("TEAM_ID")?, env.required("KEY_ID")?, env.required("KEY")?),
        "discord" => Provider::discord(id, env.required("CLIENT_SECRET")?),
        "github" => Provider::github(id, env.required("CLIENT_SECRET")?),
        "gitlab" if env.text("ISSUER")?.is_none() => Provider::gitlab(id, env.required("CLIENT_SECRET")?),
        "google" => Provider::google(id, env.required("CLIENT_SECRET")?),
        "microsoft" => {
            let tenant = env.text("TENANT")?.unwrap_or_else(|| "common".to_owned());
            Provider::microsoft(tenant, id, env.required("CLIENT_SECRET")?)
        }
        _ => Provider::oidc(name, env.required("ISSUER")?, id, env.required("CLIENT_SECRET")?),
    };
    let provider = match env.text("LABEL")? {
        Some(label) => provider.with_label(label),
        None => provider,
    };
    Ok(if env.switch("TRUST_EMAILS")? { provider.trust_verified_emails() } else { provider })
}

/// The environment variables of one provider: `OAUTH_MY_CORP_CLIENT_ID` for `my-corp`.
struct ProviderVariables<'a> {
    env: &'a Variables,
    name: &'a str,
}

impl ProviderVariables<'_> {
    fn variable(&self, what: &str) -> String {
        format!("OAUTH_{}_{what}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    fn text(&self, what: &str) -> Result<Option<String>, SettingsError> {
        self.env.provider_text(&self.variable(what))
    }

    fn required(&self, what: &str) -> Result<String, SettingsError> {
        let missing = || SettingsError::ProviderSetting { name: self.variable(what), provider: self.name.to_owned() };
        self.text(what)?.ok_or_else(missing)
    }

    fn switch(&self, what: &str) -> Result<bool, SettingsError> {
        match self.text(what)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(value) => Err(SettingsError::ProviderSwitch { name: self.variable(what), value: value.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], prod: bool) -> Result<Vec<String>, String> {
        let env: Variables = variables.iter().copied().collect();
        let providers = providers(&env, prod).map_err(|error| error.to_string())?;
        Ok(providers.iter().map(|provider| format!("{}: {}", provider.name(), provider.label())).collect())
    }

    #[test]
    fn providers_are_read_from_the_environment() {
        assert_eq!(read(&[], true), Ok(Vec::new()));
        let two = [
            ("OAUTH_PROVIDERS", "google, my-corp"),
            ("OAUTH_GOOGLE_CLIENT_ID", "id"),
            ("OAUTH_GOOGLE_CLIENT_SECRET", "secret"),
            ("OAUTH_MY_CORP_CLIENT_ID", "id"),
            ("OAUTH_MY_CORP_CLIENT_SECRET", "secret"),
            ("OAUTH_MY_CORP_ISSUER", "https://login.corp.example"),
            ("OAUTH_MY_CORP_LABEL", "Corp"),
        ];
        assert_eq!(read(&two, true), Ok(vec!["google: Google".to_owned(), "my-corp: Corp".to_owned()]));
    }

    #[test]
    fn a_wrong_setting_of_a_provider_names_the_variable() {
        let corp = |issuer: &'static str, prod| {
            let variables = [
                ("OAUTH_PROVIDERS", "corp"),
                ("OAUTH_CORP_CLIENT_ID", "id"),
                ("OAUTH_CORP_CLIENT_SECRET", "a secret"),
                ("OAUTH_CORP_ISSUER", issuer),
            ];
            read(&variables, prod)
        };
        assert_eq!(
            read(&[("OAUTH_PROVIDERS", "google")], true),
            Err("OAUTH_GOOGLE_CLIENT_ID is not set, and the provider google in OAUTH_PROVIDERS needs it".to_owned())
        );
        let message = corp("", true).unwrap_err();
        assert!(message.starts_with("OAUTH_CORP_ISSUER is not set"), "{message}");
        let message = corp("http://127.0.0.1:9000", true).unwrap_err();
        assert!(message.contains("`corp`") && message.contains("https") && !message.contains("a secret"), "{message}");
        assert!(corp("http://127.0.0.1:9000", false).is_ok());
        let trust =
            [("OAUTH_PROVIDERS", "github"), ("OAUTH_GITHUB_CLIENT_ID", "id"), ("OAUTH_GITHUB_CLIENT_SECRET", "s")];
        let message = read(&[&trust[..], &[("OAUTH_GITHUB_TRUST_EMAILS", "yes")]].concat(), true).unwrap_err();
        assert_eq!(message, "OAUTH_GITHUB_TRUST_EMAILS is `yes`: it must be true or false");
    }
}
