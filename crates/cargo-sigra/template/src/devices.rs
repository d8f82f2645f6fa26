//! Devices, in words.

use sigra::client::Device;
// <oauth_server>
use sigra::oauth_server::Grant;
// </oauth_server>

// <pages>
/// The operating systems of phones.
const PHONES: [&str; 2] = ["iPhone", "Android"];

/// Returns whether a user agent is on a phone.
pub fn is_phone(user_agent: Option<&str>) -> bool {
    Device::from_user_agent(user_agent.unwrap_or_default()).system.is_some_and(|system| PHONES.contains(&system))
}
// </pages>

/// Returns the browser and the operating system of a user agent: `Firefox on Linux`.
pub fn describe(user_agent: Option<&str>) -> String {
    let device = Device::from_user_agent(user_agent.unwrap_or_default());
    match (device.browser, device.system) {
        (Some(browser), Some(system)) => t!("{browser} on {system}", browser, system),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => t!("Unknown browser on {system}", system),
        (None, None) => t!("Unknown browser").to_owned(),
    }
}

// <oauth_server>
/// Returns the name of a program that has access, and its operating system: `MyApp CLI on Linux`.
pub fn describe_program(grant: &Grant) -> String {
    match grant.system() {
        Some(system) => t!("{program} on {system}", program = grant.client_name, system),
        None => grant.client_name.clone(),
    }
}
// </oauth_server>
