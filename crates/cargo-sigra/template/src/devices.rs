//! Devices, in words.

use sigra::client::Device;

// <pages>
/// The operating systems of phones.
const PHONES: [&str; 2] = ["iPhone", "Android"];

/// Returns whether a user agent is on a phone.
pub fn is_phone(user_agent: Option<&str>) -> bool {
    Device::from_user_agent(user_agent.unwrap_or_default()).system.is_some_and(|system| PHONES.contains(&system))
}
// </pages>

/// Returns the browser and the operating system of a user agent: `Firefox on Linux`.
pub fn described(user_agent: Option<&str>) -> String {
    let device = Device::from_user_agent(user_agent.unwrap_or_default());
    match (device.browser, device.system) {
        (Some(browser), Some(system)) => t!("{browser} on {system}", browser, system),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => t!("Unknown browser on {system}", system),
        (None, None) => t!("Unknown browser").to_owned(),
    }
}
